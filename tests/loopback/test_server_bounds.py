"""Everything that a peer can send at every stage, and what bounds it: the table in the docs.

`row` names the row of docs/reference/server-limits.md that a test proves; the last test compares.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from loopback import processes
from loopback.server_kit import (
    HTTP,
    PATIENCE,
    QUICK,
    Mute,
    doors,
    guest,
    masked,
    running,
    send_without_end,
)
from sockstore.server import Limits, create_app
from sockstore.server.uvicorn_protocol import MOST_FRAMES_AFTER_CLOSE
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("SV11", "SV3")]

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "server-limits.md"
PATHS = ["/echo", "/chat/lobby", "/connection/websocket"]
TIGHT = Limits(rate=0.001, burst=50)
"""So little that whatever is counted soon ends the connection, and nothing else does."""


@pytest.fixture(autouse=True)
def _short_ends(monkeypatch):
    """A peer that does not end by itself is ended soon, so that tests need not wait for it."""
    monkeypatch.setattr("sockstore.server.bounded_transport.SECONDS_TO_CLOSE", 0.2)


Test = TypeVar("Test", bound=Callable[..., Any])
tested: set[str] = set()


def row(*names: str) -> Callable[[Test], Test]:
    """Name the rows of the table that a test proves."""
    tested.update(names)
    return lambda test: test


async def send(mute: Mute, data: bytes) -> None:
    """Send all of it, or as much as the server takes before it ends the connection."""
    with suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(mute.sock, data)


@asynccontextmanager
async def flooding(mute: Mute, data: bytes) -> Any:
    """Send without an end, and read nothing, until the block ends."""
    sending = asyncio.create_task(send_without_end(mute, data))
    try:
        yield sending
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        mute.sock.close()


async def assert_echoes(other: Any, count: int = 20) -> None:
    """Another client is answered."""
    for number in range(count):
        await other.connection.send(str(number))
        async with asyncio.timeout(PATIENCE):
            assert await other.connection.recv() == str(number)


class TokenCheck:
    """A check of tokens that answers when the test says so."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.is_asked = False

    def __call__(self, token: str | None) -> asyncio.Future[bool]:
        del token
        self.is_asked = True
        return self.answer


def is_paused(connection: Any) -> bool:
    """Whether the server does not read what the peer of a connection sends, for the time being."""
    inner = connection.transport.inner
    return not (inner.is_reading() or inner.is_closing())


def count_parsed(connection: Any) -> list[int]:
    """Count the frames that `websockets` parses of a connection from now on, for each read."""
    take, counts = connection.conn.events_received, []

    def counted() -> list[Any]:
        events = take()
        counts.append(len(events))
        return events

    connection.conn.events_received = counted
    return counts


def closed_with(data: bytes, code: int) -> bool:
    return struct.pack("!H", code) in data


COUNTED = {
    "pings": masked(0x89, b""),
    "long pings": masked(0x89, b"p" * 125),
    "pongs without a ping": masked(0x8A, b""),
    "empty fragments": masked(0x01, b"") + masked(0x00, b"") * 1000,
    "fragments of one byte": masked(0x02, b"") + masked(0x00, b"x") * 1000,
    "whole messages in two fragments": masked(0x01, b"") + masked(0x80, b""),
}


@row("pings", "pongs that the server did not ask for", "small fragments")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", COUNTED)
async def test_what_is_not_a_message_counts_as_one(path, kind):
    async with running(limits=TIGHT) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, path)
        await send(mute, COUNTED[kind] * 1000)
        assert closed_with(await mute.until_gone(), 4429)
        await assert_echoes(other)


@row("pings", "pongs that the server did not ask for", "small fragments")
@pytest.mark.parametrize("kind", COUNTED)
async def test_an_application_that_counts_nothing_has_the_usual_limit(kind):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with running(app, lifespan="off") as server:
        mute = await Mute.connect(server.port, "/")
        await send(mute, COUNTED[kind] * 1000)
        assert closed_with(await mute.until_gone(), 1008)


@row("pings")
async def test_pings_within_the_limit_are_answered():
    async with running(limits=TIGHT) as server:
        mute = await Mute.connect(server.port, "/echo")
        await send(mute, masked(0x89, b"a") * 49 + masked(0x89, b"last"))
        await mute.read_until(b"\x8a\x04last")
        await send(mute, masked(0x81, b"one too many"))
        assert closed_with(await mute.until_gone(), 4429)


@row("small fragments")
async def test_large_fragments_and_the_last_one_of_a_message_are_free():
    message = masked(0x01, b"x" * 1024) + masked(0x00, b"x" * 1024) * 3 + masked(0x80, b"end")
    async with running(limits=TIGHT) as server:
        mute = await Mute.connect(server.port, "/echo")
        for _ in range(50):
            await send(mute, message)
            await mute.read_until(b"xend")
        await send(mute, message)
        assert closed_with(await mute.until_gone(), 4429)


@row("text and binary messages")
@pytest.mark.parametrize("opcode", [0x81, 0x82])
async def test_messages_count(opcode):
    async with running(limits=TIGHT) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, "/echo")
        await send(mute, masked(opcode, b"x") * 10_000)
        assert closed_with(await mute.until_gone(), 4429)
        await assert_echoes(other)


@row("many commands in one message of Centrifugo's protocol")
async def test_each_command_of_a_message_counts():
    async with running(limits=TIGHT) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, "/connection/websocket")
        await send(mute, masked(0x81, b'{"id":1,"connect":{}}' + b"\n{}" * 10_000))
        assert closed_with(await mute.until_gone(), 4429)
        await assert_echoes(other)


@row("many subscriptions of one connection")
async def test_one_subscription_too_many_is_refused_and_the_others_stay():
    async with running(limits=Limits(subscriptions=2)) as server:
        mute = await Mute.connect(server.port, "/connection/websocket")
        asked = [{"id": 1, "connect": {}}]
        asked += [{"id": n, "subscribe": {"channel": f"room{n}"}} for n in (2, 3, 4)]
        asked += [{"id": 5, "publish": {"channel": "room2", "data": "here"}}]
        frame = "\n".join(map(json.dumps, asked)).encode()
        await send(mute, masked(0x81, frame))
        said = await mute.read_until(b'"publish":{}')
        mute.sock.close()
        assert said.count(b'"code":106') == 1


@row("the answer to a ping of the server")
async def test_the_pong_that_the_server_asked_for_is_free():
    async with running(limits=Limits(rate=0.001, burst=1), ws_ping_interval=0.001) as server:
        async with guest(server.url()) as visitor:
            await until(lambda: server.state.connections)
            (connection,) = server.state.connections
            asked = set()
            while len(asked) < 20:
                await asyncio.sleep(0.001)
                asked.add(connection.ping_sent_at)
            await visitor.connection.send("still here")
            assert await visitor.connection.recv() == "still here"


UNCOUNTED = {
    "pings": masked(0x89, b""),
    "pongs": masked(0x8A, b""),
    "empty messages": masked(0x81, b""),
    "messages": masked(0x82, b"x" * 1000),
}


@row("frames without a pause, each allowed")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", UNCOUNTED)
async def test_others_are_answered_while_one_floods(path, kind):
    """The limits are out of reach here: only the turns of the event loop are shared."""
    async with running(limits=Limits(**QUICK)) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, path)
        async with flooding(mute, UNCOUNTED[kind] * 2000):
            await assert_echoes(other)
        mute.sock.close()


@row("frames in tiny segments")
async def test_a_frame_may_come_byte_by_byte_and_others_do_not_wait():
    async with running(limits=TIGHT) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, "/echo")
        mute.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in masked(0x89, b"ping") * 51:
            await send(mute, bytes((byte,)))
        await assert_echoes(other)
        assert closed_with(await mute.until_gone(), 4429)


@row("a frame or a message that is too large")
@pytest.mark.parametrize(
    "frames",
    [
        b"\x82\xff" + b"\xff" * 8,
        b"\x81\xff" + struct.pack("!Q", 65537),
        masked(0x02, b"x" * 2048) + masked(0x00, b"x" * 2048) * 100,
    ],
    ids=["2^64 bytes", "64 KiB and one", "fragments without an end"],
)
async def test_what_is_too_large_is_not_even_received(frames):
    async with running(ws_max_size=65536) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, "/echo")
        await send(mute, frames)
        assert closed_with(await mute.until_gone(), 1009)
        await assert_echoes(other)


@row("little that becomes much when it is decompressed")
async def test_a_bomb_is_too_large():
    compressor = zlib.compressobj(wbits=-12)
    bomb = compressor.compress(b"\0" * 2**26) + compressor.flush(zlib.Z_SYNC_FLUSH)
    frame = b"\xc2\xff" + struct.pack("!Q", len(bomb[:-4])) + b"\0\0\0\0" + bomb[:-4]
    async with running(ws_max_size=65536, ws_per_message_deflate=True) as server:
        async with connect(server.url(), compression="deflate", proxy=None) as hostile:
            hostile.transport.write(frame)
            async with asyncio.timeout(PATIENCE):
                await hostile.wait_closed()
            assert hostile.close_code == 1009


@row("a frame that never comes to its end")
async def test_half_a_frame_ends_with_the_pings():
    async with running(ws_ping_interval=0.02, ws_ping_timeout=0.02) as server:
        mute = await Mute.connect(server.port, "/echo")
        await send(mute, b"\x82\xfe\x10")
        assert closed_with(await mute.until_gone(), 1011)


@row("nothing at all, and no pong")
async def test_a_silent_peer_ends_with_the_pings():
    async with running(ws_ping_interval=0.02, ws_ping_timeout=0.02) as server:
        mute = await Mute.connect(server.port, "/echo")
        assert closed_with(await mute.until_gone(), 1011)


@row("what breaks RFC 6455")
async def test_a_violation_ends_it_and_what_follows_is_thrown_away():
    async with running() as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, "/echo")
        await send(mute, masked(0x83, b"reserved opcode") + masked(0x89, b"ping") * 100_000)
        data = await mute.until_gone()
        assert closed_with(data, 1002)
        assert b"\x8a" not in data
        await assert_echoes(other)


# Behind our close frame


BEHIND = {
    "pings": masked(0x89, b""),
    "messages": masked(0x81, b"hello"),
    "large messages": masked(0x82, b"x" * 60_000),
    "no frames": b"\xff" * 1000,
}


@row("anything behind the server's close frame")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", BEHIND)
async def test_what_comes_behind_the_close_frame_is_parsed_up_to_a_bound(path, kind):
    async with running(limits=TIGHT) as server, guest(server.url()) as other:
        (others,) = server.state.connections
        mute = await Mute.connect(server.port, path)
        await until(lambda: len(server.state.connections) == 2)
        (connection,) = server.state.connections - {others}
        await send(mute, masked(0x89, b"") * 51)
        await mute.read_until(struct.pack("!H", 4429))
        parsed = count_parsed(connection)
        async with flooding(mute, BEHIND[kind] * 100) as sending:
            await assert_echoes(other)
            async with asyncio.timeout(PATIENCE):
                await sending  # the server ends it
        assert sum(parsed) < 2 * MOST_FRAMES_AFTER_CLOSE


@row("anything behind the server's close frame")
async def test_the_peers_close_frame_is_found_behind_what_was_on_its_way():
    async with running(limits=TIGHT) as server:
        mute = await Mute.connect(server.port, "/echo")
        await send(mute, masked(0x89, b"") * 51 + masked(0x81, b"on its way") * 500)
        await mute.read_until(struct.pack("!H", 4429))
        (connection,) = server.state.connections
        await send(mute, masked(0x88, struct.pack("!H", 4429)))
        await mute.until_gone()
        assert connection.conn.close_rcvd is not None


@row("no end of the TCP connection after the close frames")
async def test_the_server_ends_the_connection_itself():
    async with running(limits=TIGHT) as server:
        mute = await Mute.connect(server.port, "/echo")
        await send(mute, masked(0x89, b"") * 51)
        await mute.read_until(struct.pack("!H", 4429))
        await until(lambda: not server.state.connections)
        mute.sock.close()


@row("nothing is read of what the server sends")
@pytest.mark.parametrize("path", PATHS)
async def test_a_flood_of_a_peer_that_never_reads_ends(path):
    limits = Limits(rate=0.001, burst=50, close_seconds=0.1)
    async with running(limits=limits) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, path)
        async with flooding(mute, masked(0x89, b"p" * 125) * 1000) as sending:
            await assert_echoes(other)
            async with asyncio.timeout(PATIENCE):
                await sending
        mute.sock.close()


# While the handshake is answered


@row("frames before the handshake is answered")
async def test_what_comes_before_the_answer_waits_and_is_bounded():
    check = TokenCheck()
    async with running(create_app(token=check, limits=Limits(**QUICK))) as server:
        mute = await open_raw(server.port)
        mute.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        await send(mute, handshake("/echo"))
        await until(lambda: check.is_asked)
        async with flooding(mute, masked(0x89, b"early")):
            (connection,) = server.state.connections
            await until(lambda: is_paused(connection))
            assert mute.sent < 2**20
            assert not connection.conn.events
            check.answer.set_result(True)
            await mute.read_until(b"HTTP/1.1 101")
            await mute.read_until(b"\x8a\x05early")


@row("a token whose check never ends")
async def test_a_token_check_has_ten_seconds(monkeypatch):
    monkeypatch.setattr("sockstore.server.chat_server.SECONDS_FOR_TOKEN_CHECK", 0.01)
    never = asyncio.get_running_loop().create_future()
    async with running(create_app(token=lambda _: never)) as server:
        mute = await open_raw(server.port)
        await send(mute, handshake("/echo"))
        assert (await mute.until_gone()).startswith(b"HTTP/1.1 500 ")


def handshake(path: str, *headers: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def open_raw(port: int) -> Mute:
    """Open a TCP connection, and say nothing."""
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return Mute(sock)


# Connections


@pytest.fixture(params=HTTP, name="http")
def _http(request):
    """One of uvicorn's parsers, with our bounds."""
    return type("Bounded", (HTTP[request.param],), {"doors": doors()})


async def answer_to(port: int, request: bytes) -> bytes:
    """Send something, and return all that comes back until the server ends the connection."""
    mute = await open_raw(port)
    await send(mute, request)
    return await mute.until_gone()


@row("many connections from one address")
async def test_one_connection_too_many_from_an_address_is_429(http):
    http.doors = doors(per_address=2)
    async with running(http=http) as server:
        async with guest(server.url()) as one, guest(server.url()) as other:
            answer = await answer_to(server.port, b"")
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"Retry-After: 5" in answer
            with pytest.raises(InvalidStatus, match="429"):
                async with guest(server.url()):
                    pass
            await assert_echoes(one)
            await assert_echoes(other)
        await until(lambda: not server.state.connections)
        async with guest(server.url()), guest(server.url()):
            pass


@row("many unfinished handshakes from one address")
async def test_one_unfinished_handshake_too_many_is_429(http):
    http.doors = doors(handshakes=2)
    async with running(http=http) as server, guest(server.url()) as other:
        silent = [await open_raw(server.port) for _ in range(2)]
        await until(lambda: len(server.state.connections) == 3)
        assert (await answer_to(server.port, b"")).startswith(b"HTTP/1.1 429 ")
        await assert_echoes(other)
        for mute in silent:
            mute.sock.close()
        await until(lambda: len(server.state.connections) == 1)
        async with guest(server.url()), guest(server.url()), guest(server.url()):
            pass  # those are finished


@row("many unfinished handshakes from one address")
async def test_a_token_that_is_being_checked_is_an_unfinished_handshake():
    check = TokenCheck()
    limits = Limits(handshakes_per_address=1)
    app = create_app(token=check, limits=limits, trusted_proxies=["127.0.0.1"])
    async with running(app) as server:
        forwarded = {"X-Forwarded-For": "203.0.113.1"}
        first = await open_raw(server.port)
        await send(first, handshake("/echo", "X-Forwarded-For: 203.0.113.1"))
        await until(lambda: check.is_asked)
        with pytest.raises(InvalidStatus, match="429"):
            async with guest(server.url(), additional_headers=forwarded):
                pass
        check.answer.set_result(True)
        await first.read_until(b"HTTP/1.1 101")
        async with guest(server.url(), additional_headers=forwarded):
            pass
        first.sock.close()


@row("many clients behind a trusted proxy")
@pytest.mark.parametrize("header", ["X-Forwarded-For: {}", "Forwarded: for={};proto=https"])
async def test_behind_a_trusted_proxy_each_client_counts_for_itself(header):
    app = create_app(limits=Limits(connections_per_address=1), trusted_proxies=["127.0.0.0/8"])
    async with running(app) as server:

        def enter(client: str) -> Any:
            name, _, value = header.format(client).partition(": ")
            return guest(server.url(), additional_headers={name: value})

        async with enter("203.0.113.1"), enter("203.0.113.2"), guest(server.url()):
            with pytest.raises(InvalidStatus, match="429") as refused:
                async with enter(
                    "198.51.100.7, for=203.0.113.1" if "for=" in header else "1.1.1.1, 203.0.113.1"
                ):
                    pass
            assert refused.value.response.headers["Retry-After"] == "5"
        await until(lambda: not server.chat.clients)
        async with enter("203.0.113.1"):
            pass


@row("many clients behind a trusted proxy")
async def test_without_a_trusted_proxy_nothing_that_a_client_claims_is_believed():
    app = create_app(limits=Limits(connections_per_address=1))
    async with running(app) as server:
        forwarded = {"X-Forwarded-For": "203.0.113.1"}
        async with guest(server.url(), additional_headers=forwarded):
            async with guest(server.url(), additional_headers=forwarded):
                pass  # both come from this machine


@row("many clients behind a trusted proxy")
async def test_headers_that_name_different_clients_are_400():
    app = create_app(trusted_proxies=["127.0.0.1"])
    async with running(app) as server:
        both = {"X-Forwarded-For": "203.0.113.1", "Forwarded": "for=203.0.113.2"}
        with pytest.raises(InvalidStatus, match="400"):
            async with guest(server.url(), additional_headers=both):
                pass


@row("more connections than there are file descriptors")
async def test_out_of_descriptors_is_503_and_one_line(http, caplog):
    http.doors = doors(most=2)
    async with running(http=http) as server:
        async with guest(server.url()) as one, guest(server.url()):
            for _ in range(10):
                assert (await answer_to(server.port, b"")).startswith(b"HTTP/1.1 503 ")
            await assert_echoes(one)
        lines = [record.message for record in caplog.records]
        assert len([line for line in lines if "file descriptors" in line]) == 1
        await until(lambda: not server.state.connections)
        async with guest(server.url()):
            pass


@row("more connections than there are file descriptors")
async def test_few_of_those_that_are_turned_away_may_linger(http):
    http.doors = doors(most=1)
    async with running(http=http) as server, guest(server.url()) as one:
        waiting = [await open_raw(server.port) for _ in range(50)]
        for mute in waiting:
            await mute.read_until(b"HTTP/1.1 503 ")
        assert http.doors.lingering <= 4
        await assert_echoes(one)
        for mute in waiting:
            mute.sock.close()


@row("more connections than there are file descriptors")
@pytest.mark.parametrize("loop", ["uvloop, where it is installed", "asyncio's"])
async def test_the_command_goes_on_for_those_who_are_there_when_descriptors_run_out(loop, tmp_path):
    """Of 64 descriptors, some 30 clients get one, and talk on while others are refused."""
    environment = {}
    if loop == "asyncio's":
        (tmp_path / "uvloop.py").write_text("raise ImportError")
        environment["PYTHONPATH"] = str(tmp_path)
    async with processes.serving(0, environment=environment, open_files=64) as server:
        url = server.url.replace("/echo", "/chat/lobby")
        async with AsyncExitStack() as stack:
            inside = [await stack.enter_async_context(guest(url))]
            with pytest.raises(InvalidStatus, match="503"):
                while len(inside) < 64:
                    inside.append(await stack.enter_async_context(guest(url)))
            storm = await asyncio.gather(*(open_raw(server.port) for _ in range(200)))
            for number, person in enumerate(inside):
                await person.say(str(number))
                await person.read_until("message", content=str(number))
            for mute in storm[::2]:
                assert (await mute.until_gone()).startswith(b"HTTP/1.1 503 ")
            for mute in storm:
                mute.sock.close()
        finished = await server.stop()
    assert finished.status == 0
    assert len(re.findall("file descriptors", finished.err)) == 1
    assert len(finished.err.splitlines()) == 1
    allowed = re.search(r"at most (\d+) connections at once, as 64 open files", finished.out)
    assert allowed is not None
    assert len(inside) == int(allowed[1])


# Requests


@pytest.fixture
def _hurry(monkeypatch):
    """A request has less time than in the field."""
    monkeypatch.setattr("sockstore.server.uvicorn_http.SECONDS_FOR_HEAD", 0.1)
    monkeypatch.setattr("sockstore.server.uvicorn_http.SECONDS_FOR_BODY", 0.1)


@row("nothing at all")
@pytest.mark.usefixtures("_hurry")
async def test_a_connection_on_which_nothing_comes_is_closed(http):
    async with running(http=http) as server:
        assert await answer_to(server.port, b"") == b""
        await until(lambda: not server.state.connections)


@row("half a request")
@pytest.mark.usefixtures("_hurry")
@pytest.mark.parametrize(
    "half", [b"G", b"GET /echo HT", b"GET /echo HTTP/1.1\r\nHost: localhost\r\n"]
)
async def test_half_a_request_is_408(http, half):
    async with running(http=http) as server, guest(server.url()) as other:
        assert (await answer_to(server.port, half)).startswith(b"HTTP/1.1 408 ")
        await assert_echoes(other)


@row("half a request")
@pytest.mark.usefixtures("_hurry")
async def test_half_a_request_behind_a_whole_one_is_408_too(http):
    async with running(http=http) as server:
        answer = await answer_to(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /echo")
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"HTTP/1.1 408 " in answer


@row("headers that come slowly")
@pytest.mark.usefixtures("_hurry")
async def test_the_deadline_is_that_of_the_whole_head(http):
    async with running(http=http) as server:
        mute = await open_raw(server.port)
        await send(mute, b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: ")
        writing = asyncio.create_task(mute.until_gone())
        while not writing.done():
            await send(mute, b"x")
            await asyncio.sleep(0.005)
        assert (await writing).startswith(b"HTTP/1.1 408 ")


@row("headers without an end")
@pytest.mark.parametrize("part", [b"X: " + b"x" * 997 + b"\r\n", b"x" * 1000])
async def test_a_head_of_more_than_16_kib_is_431(http, part):
    async with running(http=http) as server, guest(server.url()) as other:
        mute = await open_raw(server.port)
        await send(mute, b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: ")
        async with flooding(mute, part * 100) as sending:
            await assert_echoes(other)
            async with asyncio.timeout(PATIENCE):
                await sending
        answer = await answer_to(server.port, b"GET / HTTP/1.1\r\nX: " + part * 17)
        assert answer.startswith(b"HTTP/1.1 431 ")


@row("headers without an end")
async def test_a_head_may_have_16_kib_and_not_a_byte_more(http):
    def head(size: int) -> bytes:
        start = handshake("/echo")[:-2]
        lines, rest = divmod(size - len(start) - 2, 1000)
        assert rest > 10
        return (
            start
            + (b"X: " + b"x" * 995 + b"\r\n") * lines
            + b"X: "
            + b"x" * (rest - 5)
            + b"\r\n\r\n"
        )

    async with running(http=http) as server:
        mute = await open_raw(server.port)
        assert len(head(16384)) == 16384
        await send(mute, head(16384))
        await mute.read_until(b"HTTP/1.1 101 ")
        mute.sock.close()
        assert (await answer_to(server.port, head(16385))).startswith(b"HTTP/1.1 431 ")


@row("many short headers")
async def test_a_head_has_128_lines_at_most(http):
    def head(lines: int, *last: bytes) -> bytes:
        start = (b"GET /nothing HTTP/1.1", b"Host: localhost", *[b"a: b"] * (lines - 3 - len(last)))
        return b"\r\n".join((*start, *last)) + b"\r\n\r\n"

    closing = b"Connection: close"
    async with running(http=http) as server:
        for lines, status in ((128, b"404"), (129, b"431"), (2000, b"431")):
            answer = await answer_to(server.port, head(lines, closing))
            assert answer.startswith(b"HTTP/1.1 " + status), lines
        several = head(100) * 3 + head(100, closing)
        assert (await answer_to(server.port, several)).count(b"HTTP/1.1 404") == 4


@row("blank lines in front of a request")
@pytest.mark.usefixtures("_hurry")
async def test_blank_lines_are_bounded_as_a_head_is(http):
    async with running(http=http) as server:
        assert re.match(rb"HTTP/1.1 40[08] ", await answer_to(server.port, b"\r\n" * 10))
        mute = await open_raw(server.port)
        await send(mute, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await mute.read_until(b"Not Found")
        await send(mute, b"\r\n" * 10)
        assert re.search(rb"HTTP/1.1 40[08] ", await mute.until_gone())


@row("what is not HTTP")
@pytest.mark.parametrize("rubbish", [b"\x16\x03\x01\x02\x00" * 100, b"hello\r\n\r\n" * 100])
async def test_what_is_not_http_is_400_and_not_a_line_in_the_log(http, rubbish, caplog):
    async with running(http=http) as server, guest(server.url()) as other:
        answer = await answer_to(server.port, rubbish)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
        await assert_echoes(other)
    assert not caplog.records


@row("a body that nothing reads")
@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_a_request_is_answered_without_its_body_and_then_the_connection_ends(http, length):
    request = f"POST /echo HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
    async with running(http=http) as server:
        answer = await answer_to(server.port, request)
        assert answer.startswith(b"HTTP/1.1 404 ")
        mute = await open_raw(server.port)
        await send(mute, request)
        async with flooding(mute, b"5\r\nhello\r\n" * 10_000) as sending:
            async with asyncio.timeout(PATIENCE):
                await sending


async def patient(scope: Any, receive: Any, send: Any) -> None:
    """An application that waits for the whole body."""
    assert scope["type"] == "http"
    size = 0
    while True:
        event = await receive()
        size += len(event.get("body", b""))
        if event["type"] == "http.disconnect" or not event.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


@row("a body that never comes to its end")
@pytest.mark.usefixtures("_hurry")
@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_408(http, length):
    request = f"POST / HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n5\r\nhe".encode()
    async with running(patient, http=http, lifespan="off") as server:
        assert (await answer_to(server.port, request)).startswith(b"HTTP/1.1 408 ")
        await until(lambda: not (server.state.connections or server.state.tasks))


@row("a body without a bound")
@pytest.mark.parametrize("chunk", [b"5\r\nhello\r\n", b"8000\r\n" + b"x" * 0x8000 + b"\r\n"])
async def test_more_than_a_mebibyte_of_a_body_is_413(http, chunk):
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    async with running(patient, http=http, lifespan="off") as server:
        count = 2**20 // len(chunk)
        answer = await answer_to(server.port, request + chunk * count + chunk * 200)
        assert answer.startswith(b"HTTP/1.1 413 ")
        await until(lambda: not (server.state.connections or server.state.tasks))
        whole = request + chunk * (count // 2) + b"0\r\n\r\n"
        assert (await answer_to(server.port, whole)).startswith(b"HTTP/1.1 200 ")


@row("requests behind each other, without waiting for the answers")
async def test_requests_wait_for_the_answers_before_them(http):
    waiting = asyncio.get_running_loop().create_future()
    begun = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        assert len(getattr(connection, "pipeline", ())) < 100
        await waiting
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with running(app, http=http, lifespan="off") as server:
        mute = await open_raw(server.port)
        await until(lambda: server.state.connections)
        (connection,) = server.state.connections
        sending = asyncio.create_task(
            send(mute, b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000)
        )
        await until(lambda: begun)
        await until(lambda: is_paused(connection))
        assert len(begun) == 1
        waiting.set_result(None)
        reading = asyncio.create_task(mute.until_gone())
        await sending
        await until(lambda: len(begun) == 2000)
        mute.sock.shutdown(socket.SHUT_WR)
        assert (await reading).count(b"HTTP/1.1 204 ") == 2000


@row("requests behind each other, without waiting for the answers")
async def test_requests_behind_a_handshake_are_not_parsed():
    check = TokenCheck()
    async with running(create_app(token=check)) as server:
        mute = await open_raw(server.port)
        await send(mute, handshake("/echo") + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        await until(lambda: check.is_asked)
        async with flooding(mute, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            (connection,) = server.state.connections
            await until(lambda: is_paused(connection))
        check.answer.set_result(True)
        await until(lambda: not server.state.connections)


@row("plain requests without a pause")
async def test_others_are_answered_while_one_asks_and_asks(http):
    async with running(http=http) as server, guest(server.url()) as other:
        mute = await open_raw(server.port)
        reading = asyncio.create_task(sink(mute))
        async with flooding(mute, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000):
            await assert_echoes(other)
        reading.cancel()
        await asyncio.wait([reading])


async def sink(mute: Mute) -> None:
    with suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(mute.sock, 65536):
            pass


@row("nothing more after an answer")
async def test_an_idle_connection_is_closed(http):
    async with running(http=http, timeout_keep_alive=0.05) as server:
        answer = await answer_to(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")


@row("nothing is read of an answer")
async def test_an_answer_that_is_not_read_ends(http, monkeypatch):
    monkeypatch.setattr("sockstore.server.uvicorn_http.SECONDS_TO_TAKE", 0.1)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await asyncio.wait_for(send(part), PATIENCE)) is None and server.state.connections:
            pass

    part = {"type": "http.response.body", "body": b"x" * 65536, "more_body": True}
    async with running(app, http=http, lifespan="off") as server:
        mute = await open_raw(server.port)
        await send(mute, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: server.state.tasks)
        await until(lambda: not server.state.connections)
        mute.sock.close()


# The end of the server


@row("anything, while the server is told to stop")
async def test_the_server_ends_amid_floods(http):
    ended = asyncio.Event()
    async with AsyncExitStack() as stack:
        async with running(http=http, limits=Limits(**QUICK, close_seconds=0.2)) as server:
            floods = {
                "/echo": masked(0x89, b""),
                "/chat/lobby": masked(0x81, b'{"content": "x"}'),
                "/connection/websocket": masked(0x8A, b""),
            }
            for path, frame in floods.items():
                mute = await Mute.connect(server.port, path)
                await stack.enter_async_context(flooding(mute, frame * 1000))
            for data in (
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100,
                b"\r\n",
                b"GET / HTTP/1.1\r\nX: ",
            ):
                mute = await open_raw(server.port)
                await stack.enter_async_context(flooding(mute, data))
            await until(lambda: len(server.state.connections) >= 4)
        ended.set()
    assert ended.is_set()


@row("anything, while the server is told to stop")
async def test_sigterm_ends_the_command_amid_a_flood():
    """The figures are generous: that others are answered at all is what is proven here."""
    async with processes.serving(0, "--history", "sqlite:///:memory:") as server:
        async with guest(server.url) as other:
            async with AsyncExitStack() as stack:
                for path in PATHS:
                    mute = await Mute.connect(server.port, path)
                    await stack.enter_async_context(flooding(mute, masked(0x89, b"") * 10_000))
                await assert_echoes(other)
                async with asyncio.timeout(10):
                    finished = await server.stop()
        assert (finished.status, finished.err) == (0, "")


async def test_each_row_of_the_documented_table_is_tested_here_and_only_those():
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \|$", DOCUMENTED.read_text(), re.MULTILINE)
    assert rows.pop(0) == "what a peer does"
    assert len(rows) == len(set(rows))
    assert set(rows) == tested
