"""The session over real sockets: the door, the limits, and many readers at once."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from loopback.server_kit import PATIENCE, QUICK, Mute, note_buffered, running
from sockstore.server import Limits, create_app
from sockstore.testing import assert_no_leaks
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

PATH = "/connection/websocket"
JSON_SUBPROTOCOL = "centrifuge-json"


class Visitor:
    """A client of the session that is not of the library under test."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.waiting: list[dict[str, Any]] = []
        self.pushes: list[dict[str, Any]] = []
        self._number = 0

    async def read(self) -> dict[str, Any]:
        while not self.waiting:
            async with asyncio.timeout(PATIENCE):
                text = await self.connection.recv()
            self.waiting += map(json.loads, text.split("\n"))
        frame = self.waiting.pop(0)
        if "push" in frame:
            self.pushes.append(frame["push"])
        return frame

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        await self.connection.send(json.dumps({"id": self._number, command: fields}))
        while (frame := await self.read()).get("id") != self._number:
            pass
        return frame.get(command, frame)

    async def send(self, channel: str, message_id: str, data: Any) -> dict[str, Any]:
        content = {"channel": channel, "id": message_id, "data": data}
        return (await self.ask("rpc", method="send", data=content))["data"]

    async def publications(self, count: int) -> list[dict[str, Any]]:
        """Return that many publications that were pushed, in order."""
        while len([push for push in self.pushes if "pub" in push]) < count:
            await self.read()
        return [push["pub"] for push in self.pushes if "pub" in push][:count]

    async def close_of(self) -> tuple[int, str]:
        try:
            while True:
                await self.read()
        except ConnectionClosed:
            return self.connection.close_code or 0, self.connection.close_reason or ""


@asynccontextmanager
async def visiting(url: str, *, connects: bool = True, **options: Any) -> AsyncIterator[Visitor]:
    async with connect(url, max_size=None, proxy=None, **options) as connection:
        visitor = Visitor(connection)
        if connects:
            await visitor.ask("connect")
        yield visitor


@pytest.mark.contract("SE1", "SE2", "SV6")
async def test_both_protocols_share_one_room():
    """P23."""
    async with running() as server, server.enter("lobby", "Bob") as bob:
        async with visiting(server.url(f"{PATH}?name=Ann")) as ann:
            told = await ann.ask("subscribe", channel="lobby", join_leave=True)
            assert (told["offset"], told["publications"]) == (0, [])
            joined = await bob.read()
            assert (joined["type"], joined["sender"], joined["count"]) == ("join", "Ann", 2)
            stored = await ann.send("lobby", "a", {"content": "hello", "timestamp": "t", "x": 1})
            assert (stored["offset"], stored["duplicate"]) == (1, False)
            message = await bob.read_until("message")
            assert message == {
                "type": "message",
                "sender": "Ann",
                "content": "hello",
                "timestamp": "t",
                "id": "a",
                "offset": 1,
            }
            await bob.say("hi", timestamp="u")
            first, second = await ann.publications(2)
            assert first["data"] == {"content": "hello", "timestamp": "t", "x": 1}
            assert second["data"] == {"content": "hi", "timestamp": "u"}
            assert second["info"] == {"user": "Bob", "client": ""}
            assert second["tags"] == {"id": (await bob.read_until("message"))["id"]}
            async with server.enter("lobby", "Cyd"):
                pass
            while len([push for push in ann.pushes if "leave" in push]) < 1:
                await ann.read()
        assert (await bob.read_until("leave", sender="Ann"))["count"] == 1


@pytest.mark.contract("SV4")
async def test_a_room_speaks_the_session_to_who_offers_the_subprotocol():
    async with running() as server:
        options = {"subprotocols": ["other", JSON_SUBPROTOCOL]}
        async with visiting(server.url("/chat/lobby?name=Ann"), **options) as ann:
            assert ann.connection.subprotocol == JSON_SUBPROTOCOL
            assert "epoch" in await ann.ask("subscribe", channel="lobby")
            assert (await ann.ask("subscribe", channel="other"))["error"]["code"] == 102
            assert server.chat.rooms == {"lobby": ["Ann"]}
        async with visiting(server.url(PATH), **options) as ann:
            assert ann.connection.subprotocol == JSON_SUBPROTOCOL
        async with visiting(server.url(PATH)) as ann:
            assert ann.connection.subprotocol is None


@pytest.mark.contract("SV4")
@pytest.mark.parametrize("path", [PATH, "/chat/lobby"])
async def test_a_token_is_shown_in_the_handshake_or_in_the_first_command(path):
    """P4, P5, P21."""
    options = {"connects": False, "subprotocols": [JSON_SUBPROTOCOL]}
    async with running(create_app(token="secret")) as server:
        for query, command in (("?token=secret", {}), ("", {"token": "secret"})):
            async with visiting(server.url(path + query), **options) as visitor:
                assert "client" in await visitor.ask("connect", **command)
        for command in ({}, {"token": "wrong"}, {"token": ""}):
            async with visiting(server.url(path), **options) as visitor:
                await visitor.connection.send(json.dumps({"id": 1, "connect": command}))
                assert await visitor.close_of() == (3500, "the token is wrong or missing")
        for query in ("?token=wrong", "?token="):
            with pytest.raises(InvalidStatus, match="401"):
                async with visiting(server.url(path + query), **options):
                    pass


@pytest.mark.contract("SV4")
async def test_a_token_check_that_fails_ends_the_session_with_3004():
    def check(token: str | None) -> bool:
        raise ZeroDivisionError

    async with running(create_app(token=check)) as server:
        async with visiting(server.url(PATH), connects=False) as visitor:
            await visitor.connection.send('{"id":1,"connect":{"token":"t"}}')
            assert (await visitor.close_of())[0] == 3004


@pytest.mark.contract("SV4")
async def test_another_token_of_a_connection_is_checked():
    """P42: also if the first one was shown in the handshake."""
    valid = {"first", "second"}
    async with running(create_app(token=lambda token: token in valid)) as server:
        async with visiting(server.url(f"{PATH}?token=first")) as visitor:
            valid.remove("first")
            assert "client" in await visitor.ask("refresh", token="second")
            await visitor.connection.send('{"id":9,"refresh":{"token":"first"}}')
            assert await visitor.close_of() == (3500, "the token is wrong or missing")
    async with running() as server, visiting(server.url(PATH)) as visitor:
        assert "client" in await visitor.ask("refresh", token="any")


@pytest.mark.contract("SE1", "SV1")
async def test_messages_that_were_stored_together_reach_both_kinds_of_readers():
    """P10, P24."""
    async with running() as server, server.enter("lobby", "Bob") as bob:
        async with visiting(server.url(f"{PATH}?name=Ann")) as ann:
            await ann.ask("subscribe", channel="lobby")
            sends = [
                {"method": "send", "data": {"channel": "lobby", "id": f"i{n}", "data": "é" * n}}
                for n in range(1, 31)
            ]
            await ann.connection.send(
                "\n".join(json.dumps({"id": n, "rpc": rpc}) for n, rpc in enumerate(sends, 100))
            )
            pushed = await ann.publications(30)
            assert [each["tags"]["id"] for each in pushed] == [f"i{n}" for n in range(1, 31)]
            for number in range(1, 31):
                message = await bob.read_until("message")
                assert (message["offset"], message["content"]) == (number, "é" * number)


@pytest.mark.contract("SV4")
async def test_a_name_is_checked_at_the_door():
    """P2."""
    async with running() as server:
        with pytest.raises(InvalidStatus, match="400"):
            async with visiting(server.url(f"{PATH}?name={'x' * 65}")):
                pass


@pytest.mark.contract("SV4")
async def test_who_does_not_connect_in_time_is_closed_with_3502():
    """P21."""
    limits = Limits(**QUICK, connect_seconds=0.01)
    async with running(limits=limits) as server:
        async with visiting(server.url(PATH), connects=False) as visitor:
            assert await visitor.close_of() == (3502, "no connect in time")


@pytest.mark.contract("SV4")
async def test_who_answers_pings_stays_and_who_does_not_is_closed_with_3012():
    """P22."""
    limits = Limits(**QUICK, ping_seconds=0.02, pong_seconds=0.01)
    async with running(limits=limits) as server, visiting(server.url(PATH)) as visitor:
        with pytest.raises(ConnectionClosed):
            while True:
                assert await visitor.read() == {}
        assert visitor.connection.close_code == 3012
    limits = Limits(**QUICK, ping_seconds=0.02, pong_seconds=PATIENCE)
    async with running(limits=limits) as server, visiting(server.url(PATH)) as visitor:
        assert await visitor.read() == {}
        await visitor.connection.send("{}")
        assert await visitor.ask("ping") == {}


@pytest.mark.contract("SV3")
async def test_a_message_that_is_too_large_is_closed_with_1009():
    async with running() as server, visiting(server.url(PATH)) as visitor:
        await visitor.connection.send(json.dumps({"id": 2, "ping": {"x": "x" * 70_000}}))
        assert (await visitor.close_of())[0] == 1009


@pytest.mark.contract("SV5")
async def test_closing_tells_sessions_1012_and_leaves_nothing_behind(tmp_path):
    """P19."""
    async with assert_no_leaks():
        app = create_app(history=f"sqlite:///{tmp_path / 'history.db'}")
        async with running(app) as server, visiting(server.url(PATH)) as visitor:
            await visitor.ask("subscribe", channel="lobby")
            await visitor.send("lobby", "a", 1)
            async with asyncio.timeout(PATIENCE):
                await server.chat.aclose()
            assert (await visitor.close_of())[0] == 1012


@pytest.mark.contract("SE1", "SE2", "SV2")
async def test_what_was_missed_over_a_restart_of_the_server_is_recovered(tmp_path):
    """P11, P12, P25, P29."""
    address = f"sqlite:///{tmp_path / 'history.db'}"
    async with running(create_app(history=address)) as server:
        async with visiting(server.url(f"{PATH}?name=Ann")) as ann:
            position = await ann.ask("subscribe", channel="lobby")
            for number in range(1, 6):
                await ann.send("lobby", f"a{number}", number)
    async with running(create_app(history=address)) as server:
        async with visiting(server.url(f"{PATH}?name=Ann")) as ann:
            back = await ann.ask(
                "subscribe", channel="lobby", recover=True, epoch=position["epoch"], offset=2
            )
            assert (back["recovered"], back["offset"]) == (True, 2)
            assert [each["data"] for each in back["publications"]] == [3, 4, 5]
            again = await ann.send("lobby", "a5", 5)
            assert again == {"offset": 5, "epoch": position["epoch"], "duplicate": True}
            assert (await ann.send("lobby", "a6", 6))["offset"] == 6


@pytest.mark.contract("SE1")
async def test_a_long_absence_is_recovered_over_a_small_pipe():
    """P24, P25."""
    total = 3000
    limits = Limits(**QUICK, buffer_bytes=200_000, buffer_messages=64)
    async with running(limits=limits) as server, visiting(server.url(PATH)) as talker:
        await talker.ask("subscribe", channel="elsewhere")
        for start in range(0, total, 100):
            await talker.connection.send(
                "\n".join(
                    json.dumps({"id": 9000 + n, "publish": {"channel": "lobby", "data": "x" * 500}})
                    for n in range(start, start + 100)
                )
            )
            while (await talker.read()).get("id") != 9000 + start + 99:
                pass
        async with visiting(server.url(PATH)) as late:
            told = await late.ask("subscribe", channel="lobby", recover=True)
            assert told["recovered"]
            first = [each["offset"] for each in told["publications"]]
            assert told["offset"] == 0
            assert first[-1] < total
            await talker.ask("publish", channel="lobby", data="live")
            rest = await late.publications(total + 1 - len(first))
            assert first + [each["offset"] for each in rest] == list(range(1, total + 2))


@pytest.mark.contract("SV3")
async def test_a_thousand_readers_are_not_held_up_by_one_that_stopped(monkeypatch):
    """P17."""
    readers, buffer_bytes = 1000, 100_000
    buffered = note_buffered(monkeypatch, "Mute")
    limits = Limits(
        **QUICK,
        max_message_bytes=20_000,
        buffer_bytes=buffer_bytes,
        close_seconds=0.05,
        ping_seconds=3600,  # these readers answer none
    )
    async with running(limits=limits) as server, AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(
                visiting(server.url(PATH), compression=None, ping_interval=None)
            )
            for _ in range(readers)
        ]
        for person in people:
            await person.ask("subscribe", channel="lobby")
        mute = await Mute.connect(server.port, f"{PATH}?name=Mute")
        await mute_says(mute, '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"lobby"}}')
        await until(lambda: len(server.chat.rooms.get("lobby", [])) == readers + 1)
        sent = 0
        while server.chat.clients == readers + 1:
            sent += 1
            await people[0].ask("publish", channel="lobby", data="x" * 10_000)
            heard = await asyncio.gather(*(person.publications(sent) for person in people))
            assert all(each[-1]["offset"] == sent for each in heard)
            assert sent < 200, "it is never dropped"
        assert max(buffered) <= buffer_bytes
        mute.sock.close()
        for person in people:
            person.connection.transport.abort()


async def mute_says(mute: Mute, text: str) -> None:
    data = text.encode()
    head = bytes((0x81, 0x80 | len(data)))
    await asyncio.get_running_loop().sock_sendall(mute.sock, head + b"\0\0\0\0" + data)


@pytest.mark.contract("SE1", "SE2")
async def test_everything_arrives_once_and_in_order_through_aborted_connections(tmp_path):
    """P25, P29."""
    chance, total = random.Random(4), 300
    async with running(create_app(history=f"sqlite:///{tmp_path / 'h.db'}")) as server:
        url = server.url(f"{PATH}?name=Ann")

        async def write() -> None:
            number = 1
            while number <= total:
                try:
                    async with visiting(url) as ann:
                        while number <= total:
                            await ann.send("lobby", f"id-{number}", number)
                            number += 1
                except (WebSocketException, OSError):
                    continue

        async def read() -> list[tuple[int, int]]:
            seen: list[tuple[int, int]] = []
            position: dict[str, Any] = {"epoch": "", "offset": 0}
            while len(seen) < total:
                try:
                    async with visiting(url) as bob:
                        told = await bob.ask("subscribe", channel="lobby", recover=True, **position)
                        assert told["recovered"]
                        seen += [(each["offset"], each["data"]) for each in told["publications"]]
                        position = {"epoch": told["epoch"], "offset": seen[-1][0] if seen else 0}
                        bob.pushes.clear()
                        while len(seen) < total:
                            (each,) = await bob.publications(1)
                            bob.pushes.clear()
                            seen.append((each["offset"], each["data"]))
                            position["offset"] = each["offset"]
                except (WebSocketException, OSError):
                    continue
            return seen

        async def harm() -> None:
            while True:
                await until(lambda: server.state.connections)
                for _ in range(chance.randrange(500)):
                    await asyncio.sleep(0)
                for connection in list(server.state.connections):
                    connection.transport.abort()

        harming = asyncio.create_task(harm())
        async with asyncio.timeout(60):
            reading = [asyncio.create_task(read()) for _ in range(3)]
            await write()
            harming.cancel()
            for seen in await asyncio.gather(*reading):
                assert seen == [(number, number) for number in range(1, total + 1)]
