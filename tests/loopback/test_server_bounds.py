"""Everything that a peer can send at every stage, and what bounds it: the table in the docs.

`row` names the row of docs/reference/server-limits.md that a test proves; the last test compares.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from websockets.asyncio.client import connect

from loopback.test_server_kit import PATIENCE, QUICK, Mute, guest, running, until
from loopback.test_server_limits_kept import masked
from sockstore.server import Limits, create_app
from sockstore.server.uvicorn_protocol import MOST_FRAMES_AFTER_CLOSE

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


async def send_for_ever(mute: Mute, data: bytes) -> None:
    try:
        while True:
            await asyncio.get_running_loop().sock_sendall(mute.sock, data)
    except ConnectionError:
        return


@asynccontextmanager
async def flooding(mute: Mute, data: bytes) -> Any:
    """Send without an end, and read nothing, until the block ends."""
    sending = asyncio.create_task(send_for_ever(mute, data))
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


def closed_with(data: bytes, code: int) -> bool:
    return struct.pack("!H", code) in data


COUNTED = {
    "pings": masked(0x89, b""),
    "long pings": masked(0x89, b"p" * 125),
    "pongs that nobody asked for": masked(0x8A, b""),
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


@row("many commands in one message of a session")
async def test_each_command_of_a_message_counts():
    async with running(limits=TIGHT) as server, guest(server.url()) as other:
        mute = await Mute.connect(server.port, "/connection/websocket")
        await send(mute, masked(0x81, b'{"id":1,"connect":{}}' + b"\n{}" * 10_000))
        assert closed_with(await mute.until_gone(), 4429)
        await assert_echoes(other)


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
        async with flooding(mute, BEHIND[kind] * 100) as sending:
            await assert_echoes(other)
            async with asyncio.timeout(PATIENCE):
                await sending  # the server ends it
        assert connection._frames_after_close < 2 * MOST_FRAMES_AFTER_CLOSE


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
    answer = asyncio.get_running_loop().create_future()
    async with running(create_app(token=lambda _: answer, limits=Limits(**QUICK))) as server:
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        await loop.sock_sendall(sock, handshake("/echo"))
        await until(lambda: server.chat._admitting)
        mute = Mute(sock)
        async with flooding(mute, masked(0x89, b"early")):
            (connection,) = server.state.connections
            await until(lambda: connection._bounded._inner_is_paused)
            assert len(connection._bounded._held) < 2**20
            assert not connection.conn.events
            answer.set_result(True)
            await mute.read_until(b"HTTP/1.1 101")
            await mute.read_until(b"\x8a\x05early")
        sock.close()


@row("a token whose check never ends")
async def test_a_token_check_has_ten_seconds(monkeypatch):
    monkeypatch.setattr("sockstore.server.chat.SECONDS_FOR_TOKEN_CHECK", 0.01)
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


async def test_each_row_of_the_documented_table_is_tested_here_and_only_those():
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \|$", DOCUMENTED.read_text(), re.MULTILINE)
    assert rows.pop(0) == "what a peer does"
    assert len(rows) == len(set(rows))
    assert set(rows) == tested
