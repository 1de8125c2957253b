"""`sockstore listen --room` and `send --room`, as a user runs them: real processes and sockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import serve

from loopback import server_kit
from loopback.processes import run, start

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("CL1")]

LIMIT = 60


async def line_of(stream: asyncio.StreamReader, wanted: str) -> str:
    async with asyncio.timeout(LIMIT):
        while wanted not in (line := (await stream.readline()).decode()):
            assert line, f"{wanted!r} never came"
    return line


class Rooms:
    """Speaks Centrifugo's protocol as far as its answers say: what has none is not answered.

    Attributes:
        connections: The WebSockets, and what each has said.
        answers: The fields of the answer to a command by its name, or by its name and room.
        pushes: What is said right behind the answer to a subscription, by room.
    """

    def __init__(self, **answers: Any) -> None:
        self.connections: list[tuple[Any, list[dict[str, Any]]]] = []
        self.answers: dict[object, dict[str, Any]] = {
            "connect": {"connect": {"client": "c1"}},
            "subscribe": {"subscribe": {"recoverable": True, "epoch": "e", "offset": 0}},
            **answers,
        }
        self.pushes: dict[str, list[Any]] = {}

    async def talk(self, websocket: Any) -> None:
        asked: list[dict[str, Any]] = []
        self.connections.append((websocket, asked))
        async for frame in websocket:
            for command in map(json.loads, frame.split("\n")):
                asked.append(command)
                await self.answer(websocket, command)

    async def answer(self, websocket: Any, command: dict[str, Any]) -> None:
        name = next(key for key in command if key != "id")
        room = command[name].get("channel")
        answer = self.answers.get((name, room), self.answers.get(name))
        if answer is not None:
            await websocket.send(json.dumps({"id": command["id"], **answer}))
        if name == "subscribe":
            for number, data in enumerate(self.pushes.get(room, ()), start=1):
                pub = {"offset": number, "data": data}
                await websocket.send(json.dumps({"push": {"channel": room, "pub": pub}}))


@asynccontextmanager
async def running(rooms: Rooms):
    async with serve(rooms.talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# listen


@pytest.mark.contract("SE0")
async def test_listen_prints_the_messages_of_several_rooms_of_one_connection():
    rooms = Rooms()
    rooms.pushes = {"orders": [1, {"n": 2}], "trades": [3]}
    async with running(rooms) as url:
        asked = ("--room", "orders", "--room", "trades", "--room", "orders", "--count", "3")
        heard = await run("listen", url, *asked)
    assert heard.status == 0
    lines = [json.loads(line) for line in heard.out.splitlines()]
    assert [each["data"] for each in lines if each["room"] == "orders"] == [1, {"n": 2}]
    assert [each["data"] for each in lines if each["room"] == "trades"] == [3]
    shown = heard.err.splitlines()
    assert shown[:2] == ["[connecting]", "[connected]"]
    assert "[subscribed: the room 'orders']" in shown
    assert "[subscribed: the room 'trades']" in shown
    ((_, asked),) = rooms.connections
    assert [each["subscribe"]["channel"] for each in asked[1:3]] == ["orders", "trades"]


@pytest.mark.contract("SE0")
async def test_the_lines_of_a_single_room_are_its_messages():
    rooms = Rooms()
    rooms.pushes = {"orders": ["text", {"n": 2}]}
    async with running(rooms) as url:
        heard = await run("listen", url, "--room", "orders", "--count", "2")
        raw = await run("listen", url, "--room", "orders", "--count", "2", "--raw")
    assert heard.out == '{"type":"text","content":"text"}\n{"n":2}\n'
    assert raw.out == 'text\n{"n":2}\n'


@pytest.mark.contract("SE0", "SE3")
async def test_with_json_each_message_and_each_event_names_its_room():
    rooms = Rooms()
    rooms.pushes = {"orders": [1]}
    async with running(rooms) as url:
        heard = await run("listen", url, "--room", "orders", "--count", "1", "--json")
    lines = [json.loads(line) for line in heard.out.splitlines()]
    assert lines[-2] == {
        "event": "subscription",
        "room": "orders",
        "phase": "subscribed",
        "error": None,
        "gap": False,
    }
    assert lines[-1] == {"event": "message", "room": "orders", "number": 1, "data": 1}


@pytest.mark.contract("SE1", "SE3")
async def test_after_an_outage_the_gap_of_one_room_is_told():
    rooms = Rooms()
    async with running(rooms) as url:
        process = await start("listen", url, "--room", "orders", "--room", "trades")
        await line_of(process.stderr, "subscribed: the room 'trades'")
        is_there = {"recovered": True, "was_recovering": True}
        room = {"recoverable": True, "epoch": "e", "offset": 0}
        trimmed = {**room, "offset": 7, "was_recovering": True}
        rooms.answers["subscribe", "orders"] = {"subscribe": {**room, **is_there}}
        rooms.answers["subscribe", "trades"] = {"subscribe": trimmed}
        rooms.connections[0][0].transport.abort()
        shown = ""
        while not ("'orders'" in shown and "'trades'" in shown):
            shown += await line_of(process.stderr, "subscribed: ")
        process.terminate()
        await process.communicate()
    assert "[subscribed: the room 'orders']" in shown
    assert "[subscribed: the room 'trades'; messages may be missing]" in shown
    again = [each["subscribe"] for each in rooms.connections[1][1] if "subscribe" in each]
    assert [(each["recover"], each["offset"]) for each in again] == [(True, 0), (True, 0)]


@pytest.mark.contract("SE1", "SE3")
async def test_a_room_that_goes_on_without_a_new_connection_tells_its_gap_once():
    rooms = Rooms()
    rooms.pushes = {"orders": ["first"]}
    async with running(rooms) as url:
        process = await start("listen", url, "--room", "orders", "--count", "2")
        await line_of(process.stdout, "first")
        rooms.answers["subscribe"] = {"subscribe": {"epoch": "f", "offset": 0, "recoverable": True}}
        rooms.pushes = {"orders": ["second"]}
        ended = {"code": 2500, "reason": "insufficient state"}
        push = {"push": {"channel": "orders", "unsubscribe": ended}}
        await rooms.connections[0][0].send(json.dumps(push))
        out, err = await process.communicate()
    assert (process.returncode, json.loads(out)["content"]) == (0, "second")
    told = err.decode().splitlines()
    assert [line for line in told if "missing" in line] == [
        "[messages may be missing: the room 'orders']"
    ]
    assert len(rooms.connections) == 1


@pytest.mark.contract("SE1", "SU6")
async def test_a_refused_room_is_told_and_the_others_go_on():
    error = {"error": {"code": 103, "message": "permission denied"}}
    rooms = Rooms()
    rooms.answers["subscribe", "secret"] = error
    rooms.pushes = {"orders": [1]}
    async with running(rooms) as url:
        both = ("--room", "secret", "--room", "orders", "--count", "1")
        heard = await run("listen", url, *both)
        alone = await run("listen", url, "--room", "secret")
    words = "sockstore listen: the server refused the room 'secret': permission denied (103)"
    assert (heard.status, heard.out) == (1, '{"room":"orders","data":1}\n')
    assert words in heard.err
    assert (alone.status, alone.err.splitlines()[-1]) == (1, words)


@pytest.mark.contract("CL3")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("listen", "ws://h", "--room", " "), "argument --room: the name of a room is not empty"),
        (("listen", "ws://h", "--room", "a", "--room", "b", "--raw"), "argument --raw: "),
        (("send", "ws://h", "x", "--room", "a", "--room", "b"), "messages go to one room"),
    ],
)
async def test_wrong_rooms_are_wrong_options(arguments, words):
    finished = await run(*arguments)
    assert (finished.status, finished.out) == (2, "")
    assert words in finished.err
    assert len(finished.err.splitlines()) == 1


# send


@pytest.mark.contract("SE0", "SE2")
async def test_send_returns_once_the_server_has_stored_the_messages():
    async with server_kit.running() as server:
        url = server.url("/connection/websocket?name=Ann")
        arguments = ("--room", "orders", '{"n": 1}', "no JSON", "--replies", "2")
        sent = await run("send", url, *arguments)
        kept = await run("listen", url, "--room", "orders", "--attempts", "0", "--count", "0")
    assert (sent.status, sent.out, sent.err) == (0, '{"n":1}\nno JSON\n', "")
    assert kept.status == 2  # nothing to wait for is a wrong option, as ever


PLAIN = 'does not speak Centrifugo\'s protocol: it said \'{"type":"history"'


@pytest.mark.parametrize("path", ["/chat/lobby?name=Ann", "/echo"])
async def test_a_server_that_does_not_speak_the_protocol_is_told_at_once(path):
    async with server_kit.running() as server:
        sent = await run("send", server.url(path), "--room", "lobby", "1", "--timeout", "30")
        heard = await run("listen", server.url(path), "--room", "lobby")
    words = "a reply to connect that names no client, as an echo does"
    for finished in (sent, heard):
        assert (finished.status, finished.out) == (1, "")
        assert (words if path == "/echo" else PLAIN) in finished.err.splitlines()[-1]


REFUSAL = {"error": {"code": 103, "message": "permission denied"}}
LATER = {"error": {"code": 100, "message": "internal error", "temporary": True}}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"connect": None}, "does not answer the command `connect` of Centrifugo's protocol"),
        ({"subscribe": None}, "does not answer the request to enter the room 'orders'"),
        ({"subscribe": LATER}, "refused the room 'orders' for now: internal error (100)"),
        ({"subscribe": REFUSAL}, "refused the subscription 'orders': permission denied (103)"),
        ({}, "the server has stored 0 of 2 messages in the room 'orders'"),
        (
            {"publish": REFUSAL},
            "not delivered: the message is refused: the server said: permission",
        ),
    ],
)
async def test_what_a_server_does_not_do_is_said(answers, words):
    async with running(Rooms(**answers)) as url:
        sent = await run("send", url, "--room", "orders", "1", "2", "--timeout", "2")
    assert (sent.status, sent.out) == (1, "")
    assert words in sent.err
    assert len(sent.err.splitlines()) == 1


async def test_a_server_without_ids_stores_at_least_once():
    rooms = Rooms(publish={"publish": {}})
    async with running(rooms) as url:
        sent = await run("send", url, "--room", "orders", '{"n": 1}')
    assert (sent.status, sent.out, sent.err) == (0, "", "")
    ((_, asked),) = rooms.connections
    assert asked[2]["publish"] == {"channel": "orders", "data": {"n": 1}}
