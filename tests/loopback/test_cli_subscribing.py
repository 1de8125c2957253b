"""`sockstore listen --subscribe`, as a user runs it: real processes, real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import unicodedata
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from loopback.processes import run, start

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("CL1")]

LIMIT = 60
EVIL = "no\u009b31m\x1b]0;title\x07\n[connected]"

FEED = """
import json

from sockstore.protocols import (
    BaseProtocol, Conversation, Missed, Plain, Received, Subscribed, TopicAnswer, Topics, Write
)


def _answer(data):
    if "answer" in data:
        return TopicAnswer(data["answer"], error=data.get("error"))


def _subscribe(keys):
    return {"subscribe": keys}


exchange = Topics(
    key=lambda data: data.get("symbol"), subscribe=_subscribe, answers=_answer, requests=None
)
careless = Topics(key=lambda data: data["nothing"], subscribe=_subscribe, requests=None)
plain = Plain()
number = 1


class _Counted(Conversation):
    def subscribe(self, subscriptions, now):
        self.each, self.next = subscriptions[0], 0
        return [Write('{"subscribe": ["ACME"]}'), Subscribed(self.each)]

    def hear(self, frame, now):
        said = json.loads(frame)
        if "price" not in said:
            return []
        gap = [] if said["price"] == self.next else [Missed(self.each, "unavailable")]
        self.next = said["price"] + 1
        return [*gap, Received(said, self.each)]


class Counting(BaseProtocol):
    has_subscriptions = True

    def converse(self, memory, attempt):
        return _Counted()


counted = Counting()
"""


@pytest.fixture
def modules(tmp_path):
    """A folder with modules of the user, as the environment of a command."""
    (tmp_path / "feed.py").write_text(FEED)
    (tmp_path / "zero.py").write_text("secret = 1\n1 / 0\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "typo.py").write_text("x = = 1\n")
    (tmp_path / "needy.py").write_text("import no_such_package\n")
    return {"PYTHONPATH": str(tmp_path)}


class Exchange:
    """Answers `{"subscribe": [symbols]}`, and tells three prices of each.

    Attributes:
        asked: What each connection said, as it came.
        refusals: The words to refuse a symbol with.
        prices: The prices that it tells of each symbol.
    """

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.refusals: dict[str, str] = {}
        self.prices: Sequence[int] = range(3)
        self.connections: list[Any] = []

    async def talk(self, websocket: Any) -> None:
        asked: list[str] = []
        self.asked.append(asked)
        self.connections.append(websocket)
        try:
            async for message in websocket:
                asked.append(message)
                for symbol in json.loads(message).get("subscribe", ()):
                    await self.answer(websocket, symbol)
        except ConnectionClosed:
            pass

    async def answer(self, websocket: Any, symbol: str) -> None:
        error = self.refusals.get(symbol)
        await websocket.send(json.dumps({"answer": symbol, "error": error}))
        if error is None:
            for price in self.prices:
                await websocket.send(json.dumps({"symbol": symbol, "price": price}))


@asynccontextmanager
async def running(exchange: Exchange):
    async with serve(exchange.talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def line_of(stream: asyncio.StreamReader, wanted: str) -> str:
    async with asyncio.timeout(LIMIT):
        while wanted not in (line := (await stream.readline()).decode()):
            assert line, f"{wanted!r} never came"
    return line


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# A message as it is typed


@pytest.mark.contract("SU2", "SU7")
async def test_a_message_is_sent_as_it_was_typed_on_each_connection_and_all_that_comes_is_printed():
    exchange = Exchange()
    typed = '{"subscribe":  ["ACME"], "token": "s3cret"}'
    async with running(exchange) as url:
        listening = await start("listen", url, "--subscribe", typed, "--count", "8")
        await line_of(listening.stdout, '"price":2')
        exchange.connections[0].transport.abort()
        async with asyncio.timeout(LIMIT):
            out, err = (text.decode() for text in await listening.communicate())
    assert listening.returncode == 0
    assert exchange.asked == [[typed], [typed]]
    assert lines(out) == [
        {"answer": "ACME", "error": None},
        *({"symbol": "ACME", "price": price} for price in range(3)),
    ]
    assert "[subscribed: the message of --subscribe; messages may be missing]" in err
    assert "s3cret" not in err


@pytest.mark.contract("SU6", "CL2")
async def test_a_refusal_is_the_servers_words_and_status_1():
    async def talk(websocket):
        async for message in websocket:
            said = json.loads(message)
            await websocket.send(json.dumps({"news": 1}))
            await websocket.send(
                json.dumps({"id": said["id"], "error": {"code": 4, "message": EVIL}})
            )

    async with serve(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        typed = '{"op": "subscribe", "args": ["x"], "token": "s3cret", "id": 7}'
        heard = await run("listen", url, "--subscribe", typed)
    assert (heard.status, lines(heard.out)) == (1, [{"news": 1}])
    last = heard.err.splitlines()[-1]
    assert last.startswith(
        "sockstore listen: the server refused the message of --subscribe: no\ufffd31m"
    )
    assert not [c for c in last if unicodedata.category(c) == "Cc"]
    assert "s3cret" not in heard.err
    assert "Traceback" not in heard.err


async def test_one_refusal_of_two_is_said_and_the_other_goes_on():
    async def talk(websocket):
        async for message in websocket:
            said = json.loads(message)
            error = "no such symbol" if said["args"] == ["bad"] else None
            await websocket.send(json.dumps({"id": said["id"], "result": None, "error": error}))

    async with serve(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        heard = await run(
            *("listen", url, "--count", "1", "--json"),
            *("--subscribe", '{"args": ["bad"], "id": "a"}'),
            *("--subscribe", '{"args": ["good"], "id": "b"}'),
        )
    assert (heard.status, heard.err) == (1, "")
    events = [each for each in lines(heard.out) if each["event"] != "status"]
    assert [
        (each["subscription"], each["phase"], each["error"])
        for each in events
        if each["event"] == "subscription" and each["phase"] != "subscribing"
    ] == [(1, "refused", "no such symbol"), (2, "subscribed", None)]
    assert events[-1] == {
        "event": "message",
        "number": 1,
        "data": {"id": "b", "result": None, "error": None},
    }


# Keys of a protocol


async def test_a_key_of_a_protocol_names_its_messages(modules):
    exchange = Exchange()
    exchange.refusals["NOPE"] = "no such symbol"
    async with running(exchange) as url:
        listening = await start(
            *("listen", url, "--protocol", "feed:exchange", "--json", "--count", "12"),
            *("--subscribe", "ACME", "--subscribe", "NOPE", "--subscribe", "INITECH"),
            environment=modules,
        )
        told = [await line_of(listening.stdout, '"price":2') for _ in range(2)]
        exchange.connections[0].transport.abort()
        async with asyncio.timeout(LIMIT):
            out, err = (text.decode() for text in await listening.communicate())
    assert (listening.returncode, err) == (1, "")
    assert [json.loads(message)["subscribe"] for asked in exchange.asked for message in asked] == [
        ["ACME", "NOPE", "INITECH"],
        ["ACME", "INITECH"],
    ]
    assert [json.loads(line)["subscription"] for line in told] == ["ACME", "INITECH"]
    after = [each for each in lines(out) if each["event"] != "status"]
    assert after[0] == {
        "event": "subscription",
        "subscription": "ACME",
        "phase": "waiting",
        "error": None,
        "gap": False,
    }
    assert [each["gap"] for each in after if each.get("phase") == "subscribed"] == [True, True]
    assert after[-1] == {
        "event": "message",
        "subscription": "INITECH",
        "number": 6,
        "data": {"symbol": "INITECH", "price": 2},
    }


async def test_in_words_each_key_is_named_and_ctrl_c_ends_it_cleanly(modules):
    exchange = Exchange()
    exchange.refusals["NOPE"] = EVIL
    async with running(exchange) as url:
        listening = await start(
            *("listen", url, "--protocol", "feed:exchange"),
            *("--subscribe", "ACME", "--subscribe", "NOPE"),
            environment=modules,
        )
        await line_of(listening.stdout, '"price":2')
        listening.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT):
            out, err = (text.decode() for text in await listening.communicate())
    assert listening.returncode == 130
    assert out == ""
    assert "[subscribed: 'ACME']\n" in err
    assert "sockstore listen: the server refused 'NOPE': no\ufffd31m" in err
    assert "Warning" not in err
    assert "refused for now" not in err
    assert not [c for c in err if c != "\n" and unicodedata.category(c) == "Cc"]


@pytest.mark.contract("SU7")
@pytest.mark.parametrize("shows_events", [False, True])
async def test_a_gap_in_the_middle_of_a_connection_is_told_before_what_follows(
    shows_events, modules
):
    exchange = Exchange()
    exchange.prices = (0, 1, 5, 6)
    form = ("--json",) if shows_events else ()
    async with running(exchange) as url:
        heard = await run(
            *("listen", url, *form, "--protocol", "feed:counted", "--subscribe", "ACME"),
            *("--count", "4"),
            environment=modules,
        )
    assert heard.status == 0
    if not shows_events:
        assert [line["price"] for line in lines(heard.out)] == [0, 1, 5, 6]
        assert heard.err.count("[messages may be missing: 'ACME']") == 1
        return
    told = [
        line["data"]["price"] if line["event"] == "message" else (line["phase"], line["gap"])
        for line in lines(heard.out)
        if line["event"] in {"message", "subscription"} and line.get("phase") != "subscribing"
    ]
    assert told == [("subscribed", False), 0, 1, ("subscribed", True), 5, 6]


async def test_once_the_server_has_ended_or_refused_all_it_is_over(modules):
    exchange = Exchange()
    exchange.refusals["NOPE"] = "no such symbol"
    async with running(exchange) as url:
        heard = await run(
            *("listen", url, "--protocol", "feed:exchange", "--subscribe", "NOPE"),
            environment=modules,
        )
    assert (heard.status, heard.out) == (1, "")
    assert heard.err.splitlines()[-1] == (
        "sockstore listen: the server refused 'NOPE': no such symbol"
    )


@pytest.mark.contract("CL3")
async def test_what_the_protocol_raises_is_said_once_and_the_messages_are_printed(modules):
    exchange = Exchange()
    async with running(exchange) as url:
        heard = await run(
            *("listen", url, "--protocol", "feed:careless", "--subscribe", "ACME", "--count", "4"),
            environment=modules,
        )
    assert heard.status == 0
    assert len(heard.out.splitlines()) == 4
    said = [line for line in heard.err.splitlines() if "raised" in line]
    assert said == ["sockstore listen: the protocol raised KeyError: 'nothing' (feed.py, line 21)"]
    assert "Traceback" not in heard.err


# Wrong usage


@pytest.mark.contract("CL3")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--subscribe", "ACME s3cret"), ("--subscribe", "JSON", "--protocol")),
        (("--subscribe", "7"), ("--subscribe", "JSON")),
        (("--subscribe", "[" * 100_000), ("--subscribe", "JSON")),
        (("--subscribe", '{"id": 1}', "--subscribe", '{"id": 1, "a": 2}'), ("the id '1'",)),
        (("--subscribe", "{}", "--room", "x"), ("--subscribe", "--room")),
        (("--protocol", "feed:exchange", "--room", "x"), ("--protocol", "--room")),
        (("--protocol", "feed"), ("--protocol", "MODULE:NAME")),
        (("--protocol", ":x"), ("--protocol", "MODULE:NAME")),
        (("--protocol", "feed.py:exchange"), ("--protocol", "no module 'feed.py'")),
        (("--protocol", ".feed:exchange"), ("--protocol", "'.feed'")),
        (("--protocol", "nowhere:x"), ("--protocol", "no module 'nowhere'")),
        (("--protocol", "needy:x"), ("--protocol", "no_such_package")),
        (("--protocol", "feed:nothing"), ("--protocol", "no such name")),
        (("--protocol", "feed:number"), ("--protocol", "something else")),
        (("--protocol", "feed:plain", "--subscribe", "ACME"), ("--subscribe", "Plain")),
        (("--protocol", "zero:x"), ("--protocol", "ZeroDivisionError", "zero.py, line 2")),
        (("--protocol", "leaves:x"), ("--protocol", "SystemExit")),
        (("--protocol", "typo:x"), ("--protocol", "SyntaxError", "typo.py")),
    ],
    ids=lambda value: " ".join(value)[:40],
)
async def test_what_cannot_be_subscribed_to_is_one_line_and_status_2(arguments, words, modules):
    done = await run("listen", "ws://127.0.0.1:9", *arguments, environment=modules)
    assert (done.status, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert "--help" in line
    assert len(line) < 400
    for word in words:
        assert word in line
    assert "s3cret" not in line
