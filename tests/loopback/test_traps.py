"""The twelve traps that other engines fall into, over real sockets (see research: engines).

Each test names its trap. Times are bounded generously: each test asserts that its own short
timeouts end the connection, and not the longer ones of the server or the system.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import zlib
from collections.abc import Awaitable, Callable
from time import monotonic, thread_time
from typing import Self

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from loopback.servers import (
    BINARY,
    CLOSE,
    CONT,
    PATIENCE,
    PAUSES_ABOVE,
    PING,
    PONG,
    RESUMES_BELOW,
    TEXT,
    ClientSide,
    Inventory,
    NativeTransport,
    NotedTransports,
    Peer,
    Recorder,
    Server,
    Trust,
    close_frame,
    frame,
    opened,
    received,
    serve,
    settled,
    sockets_to,
    text,
    timers,
    undelivered,
)
from sockstore import (
    Close,
    ConnectionEnded,
    HandshakeFailed,
    InvalidURI,
    Reconnect,
    WebSocketStore,
)
from sockstore.transports.base import Target, TransportOptions
from waiting import turns

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

MIB = 2**20
LATER = Reconnect.linear(interval=60.0)
"""A retry that comes after the end of every test."""


async def until_phase(connection: WebSocketStore, *phases: str) -> None:
    await connection.state.wait_for(lambda state: state.phase in phases, PATIENCE)


def error_of(connection: WebSocketStore) -> str:
    return str(connection.state.value.error)


async def silent(peer: Peer) -> None:
    """Accept, then read nothing and say nothing."""
    await peer.accept()
    peer.stop_reading()
    await asyncio.Event().wait()


async def polite(peer: Peer) -> None:
    """Accept, and answer a close frame."""
    await peer.accept()
    await answer_the_close(peer)


async def answer_the_close(peer: Peer) -> None:
    while True:
        opcode, payload = await peer.read_frame()
        if opcode == CLOSE:
            await peer.write(frame(CLOSE, payload))
            return


async def block_sending(connection: WebSocketStore) -> None:
    """Send until nothing goes out any more."""
    while (receipt := connection.send(b"x" * 65536)).state != "queued":
        assert receipt
        await turns(2)


# 1 to 3: peers that are gone or do not read


@pytest.mark.contract("LV1", "CN7")
async def test_a_peer_that_stopped_reading_is_noticed_while_a_send_is_blocked() -> None:
    """Trap 1: the watchdog must not wait behind the send, and must not ask for a close."""
    async with serve(silent, receive_buffer=16384) as server:
        connection = WebSocketStore(
            server.url, reconnect=LATER, ping_interval=0.2, ping_timeout=0.3, close_timeout=60.0
        )
        async with connection:
            await connection.ready(PATIENCE)
            blocked = asyncio.create_task(block_sending(connection))
            begun = monotonic()
            await until_phase(connection, "waiting")
            took = monotonic() - begun
            await blocked
            assert error_of(connection) == "no answer to ping"
            assert took < 5.0
            await turns(5)
            assert sockets_to(server.port) == 0  # aborted: no polite close waits
    assert server.peers


@pytest.mark.contract("LV1")
async def test_a_dead_peer_is_noticed_within_interval_and_timeout() -> None:
    """Trap 3: there is no close timeout on top of it."""
    async with serve(silent) as server:
        before = ClientSide.take(server)
        connection = WebSocketStore(
            server.url, reconnect=False, ping_interval=0.2, ping_timeout=0.3, close_timeout=60.0
        )
        async with connection:
            await connection.ready(PATIENCE)
            opened_at = connection.state.value.since
            await until_phase(connection, "failed")
            took = connection.state.value.since - opened_at
            assert error_of(connection) == "no answer to ping"
            assert connection.state.value.close == Close(1006)
            assert 0.5 <= took < 5.0
            await turns(5)
            assert ClientSide.take(server) == before


@pytest.mark.contract("LV1")
async def test_a_peer_that_answers_pings_is_never_given_up() -> None:
    """Trap 3, the other side: many intervals pass and each pong counts."""
    pings = 0

    async def handler(peer: Peer) -> None:
        nonlocal pings
        await peer.accept()
        while pings < 10:
            opcode, payload = await peer.read_frame()
            assert opcode == PING
            pings += 1
            await peer.write(frame(PONG, payload))
        await peer.write(close_frame(4000, "enough"))
        await answer_the_close(peer)

    async with serve(handler) as server:
        connection = WebSocketStore(
            server.url, reconnect=False, ping_interval=0.05, ping_timeout=5.0
        )
        async with connection:
            await until_phase(connection, "failed")
            assert connection.state.value.close == Close(4000, "enough", clean=True)
    assert pings == 10


async def firehose(peer: Peer) -> None:
    """Accept, and send without end; a close frame is not even read."""
    await peer.accept()
    peer.stop_reading()
    chunk = text("x" * 30) * 2000
    while True:
        await peer.write(chunk)


@pytest.mark.contract("CN5", "CN6")
async def test_close_under_a_firehose_ends_within_close_timeout() -> None:
    """Trap 2, from the outside: the server neither stops nor answers."""
    async with serve(firehose) as server:
        before = ClientSide.take(server)
        connection = WebSocketStore(server.url, close_timeout=0.3)
        connection.connect()
        await connection.messages.wait_for(lambda view: len(view) > 100, PATIENCE)
        begun = monotonic()
        connection.close()
        assert connection.state.value.phase == "closing"
        seen = connection.messages.total
        await connection.aclose()
        assert monotonic() - begun < 3.0
        assert connection.state.value.phase == "closed"
        assert connection.messages.total == seen
        assert ClientSide.take(server) == before


@pytest.mark.contract("CN5")
async def test_close_with_a_blocked_send_ends_within_close_timeout() -> None:
    """Trap 2, from the inside: the close frame waits behind what is not sent."""
    async with serve(silent, receive_buffer=16384) as server:
        before = ClientSide.take(server)
        connection = WebSocketStore(server.url, close_timeout=0.3)
        connection.connect()
        await connection.ready(PATIENCE)
        await block_sending(connection)
        begun = monotonic()
        await connection.aclose()
        assert monotonic() - begun < 3.0
        assert connection.state.value.phase == "closed"
        assert ClientSide.take(server) == before
        assert connection.stats().messages_waiting == 0


@pytest.mark.contract("CN5")
async def test_close_of_a_polite_server_does_not_wait_for_the_timeout() -> None:
    """Trap 2, the other side."""
    async with serve(polite) as server:
        connection = WebSocketStore(server.url, close_timeout=60.0)
        connection.connect()
        await connection.ready(PATIENCE)
        async with asyncio.timeout(PATIENCE):
            await connection.aclose(4001, "enough")
        assert connection.state.value.close == Close(4001, "enough", clean=True)


# 4 and 5: bursts and slow consumers


@pytest.mark.contract("LV1", "MS4")
async def test_a_slow_consumer_does_not_kill_its_own_connection() -> None:
    """Trap 4: a stream that is not read delays neither pongs nor other readers."""
    pongs = 0

    async def handler(peer: Peer) -> None:
        nonlocal pongs
        await peer.accept()
        while pongs < 8:
            # The pong must come although the earlier messages are not taken from the stream.
            await peer.write(text('{"n": 1}') * 3000 + frame(PING, b"still there?"))
            opcode, payload = await peer.read_frame()
            while opcode != PONG:
                await peer.write(frame(PONG, payload))
                opcode, payload = await peer.read_frame()
            pongs += 1
        await peer.write(close_frame(1000))
        await answer_the_close(peer)

    async with serve(handler) as server:
        connection = WebSocketStore(
            server.url, reconnect=False, ping_interval=0.05, ping_timeout=5.0
        )
        stream = connection.stream(limit=10, overflow="drop_oldest")
        async with connection:
            await until_phase(connection, "closed", "failed")
            assert connection.state.value.phase == "closed"
            assert connection.messages.total == 24_000
            assert stream.dropped == 24_000 - 10
    assert pongs == 8


@pytest.mark.contract("LV1")
async def test_pongs_to_a_peer_that_does_not_read_do_not_pile_up() -> None:
    """Trap 4: every ping counts as life, so the watchdog would let the memory grow without end."""
    may_read = asyncio.Event()
    pings = 20_000
    pongs: list[bytes] = []

    async def handler(peer: Peer) -> None:
        await peer.accept()
        peer.stop_reading()
        for number in range(pings):
            await peer.write(frame(PING, b"%0125d" % number))
        await peer.write(text("that was the last"))
        await may_read.wait()
        peer.writer.transport.resume_reading()
        while not pongs or int(pongs[-1]) < pings - 1:
            opcode, payload = await peer.read_frame()
            if opcode == PONG:
                pongs.append(payload)
        await peer.write(close_frame(1000))
        await peer.until_gone()

    async with (
        serve(handler, receive_buffer=16384) as server,
        opened(server) as (transport, heard),
    ):
        while "writing_paused" not in heard.events:
            transport.send(b"x" * 65536)
            await turns(1)
        blocked = transport.buffered_amount
        await heard.until_messages(1)
        assert transport.buffered_amount <= blocked
        may_read.set()
        await heard.until_event("closed")
    numbers = [int(pong) for pong in pongs]
    assert numbers == sorted(set(numbers))


class Ticker:
    """Turns with the event loop, and notes what the longest of its turns took of the processor."""

    def __init__(self) -> None:
        self.ticks = 0
        self.longest = 0.0

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._last = thread_time()
        self._handle = self._loop.call_soon(self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()

    def _tick(self) -> None:
        now = thread_time()
        self.ticks += 1
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._handle = self._loop.call_soon(self._tick)


@pytest.mark.contract("MS2")
async def test_a_burst_of_300000_messages_is_sliced_and_the_loop_keeps_turning() -> None:
    """Trap 5: what arrives in one go is delivered in many turns of the loop."""
    count = 300_000
    burst = text("x") * count
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await go.wait()
        await peer.write(burst)
        await answer_the_close(peer)

    async with serve(handler) as server:
        connection = WebSocketStore(server.url)
        async with connection:
            await connection.ready(PATIENCE)
            with Ticker() as ticker:
                go.set()
                async with asyncio.timeout(60):
                    while connection.messages.total < count:
                        await turns(1)
    assert connection.messages.total == count
    assert ticker.ticks > 20
    assert ticker.longest < 0.25


@pytest.mark.contract("MS2")
async def test_one_read_is_delivered_in_several_slices() -> None:
    """Trap 5, counted instead of timed: no slice is longer than its budget allows."""
    count = 40_000
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await go.wait()
        await peer.write(text("x") * count)
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (transport, heard):
        slow = 0

        def on_message(message: str | bytes) -> bool:
            nonlocal slow
            slow += 1
            if slow % 1000 == 0:  # as if a subscriber took its time
                until = monotonic() + 0.006
                while monotonic() < until:
                    pass
            return False

        heard.on_message = on_message
        go.set()
        await heard.until_messages(count)
        reads = transport.heard - 1
    assert heard.slices >= count // 1000
    assert heard.slices > reads


@pytest.mark.contract("MS2")
async def test_reading_pauses_above_4_mib_and_resumes_below_1_mib() -> None:
    """Trap 5: what is not delivered yet is bounded, and nothing of it is lost."""
    size, count = 1000, 30_000
    go = asyncio.Event()
    changes: list[tuple[bool, int]] = []

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await go.wait()
        await peer.write(frame(BINARY, b"x" * size) * count)
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (transport, heard):
        most = 0

        def on_message(message: str | bytes) -> bool:
            nonlocal most
            unread = undelivered(transport)
            most = max(most, unread)
            if not changes or changes[-1][0] != transport.reading_paused:
                changes.append((transport.reading_paused, unread))
            return len(heard.messages) % 100 == 0  # one turn of the loop for 100 kB

        heard.on_message = on_message
        go.set()
        await heard.until_messages(count, 60)
    assert len(heard.messages) == count
    paused = [unread for is_paused, unread in changes if is_paused]
    resumed = [unread for is_paused, unread in changes[1:] if not is_paused]
    assert paused
    assert resumed
    read_at_once = MIB  # asyncio asks for 256 KiB; a paused transport may still bring one read
    assert all(unread > PAUSES_ABOVE - read_at_once for unread in paused)
    assert all(unread < RESUMES_BELOW + read_at_once for unread in resumed)
    assert most < PAUSES_ABOVE + read_at_once


@pytest.mark.contract("MS2", "LV1")
async def test_the_liveness_clock_stands_still_while_we_do_not_read() -> None:
    """Traps 4 and 5: pongs wait behind the input that we do not read: the peer is not late."""
    go = asyncio.Event()
    answered = 0

    async def handler(peer: Peer) -> None:
        nonlocal answered
        await peer.accept()
        await go.wait()
        writing = asyncio.create_task(peer.write(frame(BINARY, b"x" * 1000) * 12_000))
        try:
            while True:
                opcode, payload = await peer.read_frame()
                if opcode == PING:
                    answered += 1
                    await peer.write(frame(PONG, payload))
                elif opcode == CLOSE:
                    await peer.write(frame(CLOSE, payload))
                    return
        finally:
            await writing

    async with serve(handler) as server:
        transports = NotedTransports()
        connection = WebSocketStore(
            server.url,
            reconnect=False,
            ping_interval=0.05,
            ping_timeout=0.2,
            history=0,
            transport=transports,
        )
        async with connection:
            await connection.ready(PATIENCE)
            was_paused = False

            def on_message(message: object) -> None:
                nonlocal was_paused
                (transport,) = transports.made
                was_paused = was_paused or transport.reading_paused
                until = monotonic() + 0.0002  # 2.4 s in all: ten times the ping timeout
                while monotonic() < until:
                    pass

            connection.messages.on_append(on_message)
            go.set()
            async with asyncio.timeout(60):
                while connection.messages.total < 12_000 and connection.connected.value:
                    await turns(1)
            assert connection.messages.total == 12_000
            assert connection.connected.value
            assert was_paused
            assert answered > 1


# 6: one deadline


@pytest.mark.contract("CN12")
@pytest.mark.parametrize("where", ["tcp", "tls", "trickle", "redirect", "body", "dns", "headers"])
async def test_connect_timeout_covers_every_step(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 6: DNS, TCP, TLS and upgrade share one deadline, and nothing is left of the attempt."""

    async def handler(peer: Peer) -> None:
        if where in {"tcp", "tls"}:
            await peer.until_gone()
            return
        await peer.read_request()
        if where == "redirect":
            await peer.write(b"HTTP/1.1 302 On\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n")
            return
        if where == "headers":
            await peer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
            await peer.until_gone()
            return
        for byte in b"HTTP/1.1 101 " + b"x" * 100_000:
            await peer.write(bytes((byte,)))
            await asyncio.sleep(0.01)

    async def stuck(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    if where == "redirect":
        monkeypatch.setattr("sockstore.transports.native.transport.MOST_REDIRECTS", 10**9)
    async with serve(handler) as server:
        if where == "tls":
            server.scheme = "wss"
        if where == "dns":
            server.host = "service.test"
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", stuck)
        before = Inventory.take()
        connection = WebSocketStore(server.url, reconnect=False, connect_timeout=0.3)
        begun = monotonic()
        connection.connect()
        with pytest.raises(ConnectionEnded, match=r"no answer within 0\.3 s"):
            await connection.ready(PATIENCE)
        assert 0.29 < monotonic() - begun < 3.0
        cause = connection.error.value
        assert isinstance(cause, HandshakeFailed)
        assert cause.kind == "timeout"
        await server.until_all_are_gone()
        assert await settled(before) == before


# 7: closes are normalised


def polite_close(data: bytes) -> Callable[[Peer], Awaitable[None]]:
    async def handler(peer: Peer) -> None:
        await peer.accept(first=data)
        await peer.until_gone()

    return handler


CLOSES = {
    "1000": (close_frame(1000), Close(1000, clean=True)),
    "1012 with reason": (close_frame(1012, "restart"), Close(1012, "restart", clean=True)),
    "4000": (close_frame(4000), Close(4000, clean=True)),
    "no status": (close_frame(), Close(1005, clean=True)),
    "reason of 123 bytes": (
        close_frame(3000, "é" * 61 + "e"),
        Close(3000, "é" * 61 + "e", clean=True),
    ),
    "violation": (frame(0x3), 1002),
    "bad UTF-8": (frame(TEXT, b"\xff"), 1007),
    "too big": (frame(BINARY, b"x" * 1001), 1009),
}


@pytest.mark.contract("CN2", "CN15")
@pytest.mark.parametrize(("data", "expected"), CLOSES.values(), ids=CLOSES)
async def test_a_close_means_the_same_however_it_came(data: bytes, expected: Close | int) -> None:
    """Trap 7: code, reason and cleanness, by (received, sent, local cause)."""
    heard = await received(data, max_message_bytes=1000)
    if isinstance(expected, Close):
        assert heard.close == expected
        assert heard.cause is None
    else:
        assert heard.close is not None
        assert heard.close.code == expected
        assert not heard.close.clean
        assert heard.cause is not None
    assert heard.events == ["opened", "closed", "released"]

    async with serve(polite_close(data)) as server:
        connection = WebSocketStore(
            server.url, reconnect=Reconnect.linear(60.0), max_message_bytes=1000, close_timeout=0.2
        )
        async with connection:
            await until_phase(connection, "waiting", "failed", "closed")
            assert connection.state.value.close == heard.close


@pytest.mark.contract("CN2")
@pytest.mark.parametrize("how", ["end of file", "reset"])
async def test_an_end_without_a_close_frame_is_1006(how: str) -> None:
    """Trap 7: whatever the network calls it."""
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.accept(first=text("hello"))
        await go.wait()
        if how == "reset":
            peer.reset()

    async with serve(handler) as server:
        connection = WebSocketStore(server.url, reconnect=LATER)
        async with connection:
            await connection.ready(PATIENCE)
            go.set()
            await until_phase(connection, "waiting")
            assert connection.state.value.close == Close(1006)
            assert "without a close frame" in error_of(connection)
            assert connection.messages.value[0].data == "hello"


@pytest.mark.contract("CN6", "CN4")
async def test_a_replaced_socket_changes_no_store_whatever_it_still_does() -> None:
    """Trap 7: messages, a close frame and a reset of the old server come too late."""
    replaced = asyncio.Event()
    over = asyncio.Event()

    async def old(peer: Peer) -> None:
        await peer.accept(first=text("old"))
        await replaced.wait()
        await peer.write(text("late") * 1000 + close_frame(4000, "late"))
        while (await peer.read_frame())[0] != CLOSE:
            pass
        peer.reset()
        over.set()

    async def new(peer: Peer) -> None:
        await peer.accept(first=text("new"))
        await answer_the_close(peer)

    async with serve(old) as first, serve(new) as second:
        connection = WebSocketStore(first.url, reconnect=LATER)
        async with connection, asyncio.timeout(PATIENCE):
            await connection.messages.wait_for(lambda view: len(view) == 1)
            connection.connect(second.url)
            await connection.messages.wait_for(lambda view: len(view) == 2)
            opened_at = connection.state.value
            seen: list[object] = []
            connection.state.subscribe(seen.append)
            assert sockets_to(first.port) == 1
            replaced.set()
            await over.wait()
            await first.until_all_are_gone()
            while sockets_to(first.port):  # until the old one is released
                await turns(1)
            assert seen == [opened_at]
            assert [message.data for message in connection.messages.value] == ["old", "new"]


# 8: redirects


async def echo_head(peer: Peer) -> None:
    await peer.accept()
    await peer.until_gone()


def redirecting(to: Callable[[Peer], str], status: str = "302 Found") -> Callable[[Peer], object]:
    async def handler(peer: Peer) -> None:
        await peer.answer(status, f"Location: {to(peer)}")
        await peer.until_gone()

    return handler  # type: ignore[return-value]


SECRETS = (("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Own", "kept"))


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("scheme", ["ws", "http", "HTTP", "//"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_credentials_do_not_follow_to_another_origin(status: int, scheme: str) -> None:
    """Trap 8: another port is another origin; http:// means ws://."""
    async with serve(echo_head) as second:
        scheme = scheme if scheme == "//" else f"{scheme}://"
        location = f"{scheme}127.0.0.1:{second.port}/there?x=1"
        async with (
            serve(redirecting(lambda _: location, f"{status} On")) as first,  # type: ignore[arg-type]
            opened(first, headers=SECRETS) as (_, heard),
        ):
            assert heard.socket is not None
            assert heard.socket.url == f"ws://127.0.0.1:{second.port}/there?x=1"
        sent = second.peers[0].headers
        assert second.peers[0].path == "/there?x=1"
        assert sent["host"] == f"127.0.0.1:{second.port}"
    assert "authorization" not in sent
    assert "cookie" not in sent
    assert sent["x-own"] == "kept"
    assert first.peers[0].headers["authorization"] == "Bearer x"


@pytest.mark.contract("CN13")
async def test_credentials_in_the_url_do_not_follow_to_another_origin() -> None:
    """Trap 8: user info is a credential too."""
    async with serve(echo_head) as second:
        location = second.url
        async with serve(redirecting(lambda _: location)) as first:  # type: ignore[arg-type]
            first.host = "me:secret@127.0.0.1"
            async with opened(first, headers=(("Host", "first.test"),)):
                pass
        sent = second.peers[0].headers
    assert "authorization" not in sent
    assert sent["host"] == f"127.0.0.1:{second.port}"


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("location", ["/there", "there", "?x=1", "ws://127.0.0.1:{port}/there"])
async def test_credentials_reach_the_same_origin(location: str) -> None:
    """Trap 8: a relative Location stays with the server."""

    async def handler(peer: Peer) -> None:
        if len(server.peers) == 1:
            await peer.answer("307 On", "Location: " + location.format(port=server.port))
        else:
            await peer.accept("X-Second: yes")
        await peer.until_gone()

    async with serve(handler) as server, opened(server, headers=SECRETS) as (_, heard):
        assert heard.socket is not None
        assert ("X-Second", "yes") in heard.socket.headers
        sent = server.peers[1].headers
    assert sent["authorization"] == "Bearer x"
    assert sent["cookie"] == "a=b"


async def failure_to_open(server: Server, **options: object) -> Exception:
    heard = Recorder()
    transport = NativeTransport(heard, TransportOptions(**options))  # type: ignore[arg-type]
    with pytest.raises((HandshakeFailed, InvalidURI)) as caught:
        async with asyncio.timeout(PATIENCE):
            await transport.open(Target(url=server.url, headers=SECRETS))
    assert heard.events == []
    await server.until_all_are_gone()
    return caught.value


@pytest.mark.contract("CN13")
async def test_ten_redirects_are_followed_and_an_eleventh_is_not() -> None:
    """Trap 8: a loop ends."""

    async def handler(peer: Peer) -> None:
        if len(server.peers) <= redirects:
            await peer.answer("302 Found", f"Location: /{len(server.peers)}")
        else:
            await peer.accept()
        await peer.until_gone()

    redirects = 10
    async with serve(handler) as server, opened(server) as (_, heard):
        assert heard.socket is not None
        assert heard.socket.url.endswith("/10")
    redirects = 10**9
    async with serve(handler) as server:
        failed = await failure_to_open(server)
        assert "redirects more than 10 times" in str(failed)
        assert len(server.peers) == 11


@pytest.mark.contract("CN13", "CN14")
@pytest.mark.parametrize(
    "location",
    ["ftp://a.test/", "wss://", "ws://a.test:99999/", "http://[::1/?t=SECRET", "mailto:x"],
)
async def test_a_location_that_leads_nowhere_is_a_clear_error(location: str) -> None:
    """Trap 8: and the error shows no query."""
    async with serve(redirecting(lambda _: location)) as server:  # type: ignore[arg-type]
        failed = await failure_to_open(server)
    assert isinstance(failed, InvalidURI)
    assert "is not a WebSocket url" in str(failed)
    assert "SECRET" not in repr(failed)


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("lines", [(), ("Location: /a", "Location: /b")], ids=["none", "two"])
async def test_a_redirect_that_names_no_place_is_a_refusal(lines: tuple[str, ...]) -> None:
    """Trap 8: which of two would it be?"""

    async def handler(peer: Peer) -> None:
        await peer.answer("302 Found", *lines)
        await peer.until_gone()

    async with serve(handler) as server:
        failed = await failure_to_open(server)
    assert isinstance(failed, HandshakeFailed)
    assert failed.status == 302


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_a_redirect_to_https_means_wss(scheme: str) -> None:
    """Trap 8: and the way back, out of TLS, is refused."""
    trust = Trust()
    async with serve(echo_head, tls=trust.server()) as second:
        location = f"{scheme}://127.0.0.1:{second.port}/there"
        async with (
            serve(redirecting(lambda _: location)) as first,  # type: ignore[arg-type]
            opened(first, headers=SECRETS, ssl=trust.client()) as (_, heard),
        ):
            assert heard.socket is not None
            assert heard.socket.url == f"wss://127.0.0.1:{second.port}/there"
        assert "authorization" not in second.peers[0].headers


@pytest.mark.contract("CN13")
async def test_a_redirect_out_of_tls_is_refused() -> None:
    """Trap 8: who asked for wss:// must not end up without it."""
    trust = Trust()
    async with serve(echo_head) as second:
        location = second.url + "?t=SECRET"
        async with serve(redirecting(lambda _: location), tls=trust.server()) as first:  # type: ignore[arg-type]
            failed = await failure_to_open(first, ssl=trust.client())
        assert second.peers == []
    assert "not encrypted" in str(failed)
    assert "SECRET" not in str(failed)


# 9: a cancelled connect


async def reluctant_tls(peer: Peer) -> None:
    """Accept, and never answer the close_notify of TLS."""
    await peer.accept()
    await peer.until_gone()


@pytest.mark.contract("CN12", "CN10")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("way", ["upgrade", "redirect", "tls"])
async def test_a_cancelled_connect_leaks_nothing_wherever_it_is(way: str, host: str) -> None:
    """Trap 9: cancelled after k turns of the loop, for every k until it is open.

    Nothing is left for the garbage collector, and nothing is closed politely.
    """
    trust = Trust()

    async def handler(peer: Peer) -> None:
        if way == "redirect":
            await peer.read_request()
            if peer.path != "/on":
                await peer.write(b"HTTP/1.1 302 On\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n")
            else:
                await peer.write(peer.switching())
        else:
            await peer.accept()
        await peer.until_gone()

    options = TransportOptions(ssl=trust.client() if way == "tls" else None)
    async with serve(handler, tls=trust.server() if way == "tls" else None) as server:
        server.host = host
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)  # starts the threads
        before = Inventory.take()
        most = 400 if host == "localhost" or way == "tls" else 100
        cancelled = 0
        for k in range(most):
            heard = Recorder()
            transport = NativeTransport(heard, options)
            opening = asyncio.create_task(transport.open(Target(url=server.url)))
            await turns(k)
            if opening.done():
                transport.abort()
                await heard.until_event("released")
                break
            opening.cancel()
            cancelled += 1
            with pytest.raises(asyncio.CancelledError):
                await opening
            after = await settled(before)
            assert after == before, f"cancelled after {k} turns"
            if heard.events:  # it was open already when the cancellation arrived
                assert heard.events == ["opened", "closed", "released"]
        assert cancelled > 5
        await server.until_all_are_gone()
        assert await settled(before) == before


@pytest.mark.contract("CN12", "CN10")
async def test_a_cancelled_connect_does_not_wait_for_the_close_notify_of_tls() -> None:
    """Trap 9: asyncio waits up to 30 s for a peer that does not answer close_notify."""
    trust = Trust()

    class Deaf(asyncio.Protocol):
        """TLS on a plain socket, that stops to read once the handshake is done."""

        def __init__(self) -> None:
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = trust.server()
            self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
            self.is_up = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if self.is_up:
                return
            self.incoming.write(data)
            try:
                self.tls.do_handshake()
                self.is_up = True
            except ssl.SSLWantReadError:
                pass
            self.transport.write(self.outgoing.read())

        def connection_lost(self, exc: Exception | None) -> None:
            gone.set()

    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    running = await loop.create_server(Deaf, "127.0.0.1", 0)
    port = running.sockets[0].getsockname()[1]
    options = TransportOptions(ssl=trust.client())
    before = Inventory.take()
    try:
        for k in range(0, 200, 3):
            gone.clear()
            transport = NativeTransport(Recorder(), options)
            opening = asyncio.create_task(transport.open(Target(url=f"wss://127.0.0.1:{port}/")))
            await turns(k)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            assert await settled(before) == before, f"cancelled after {k} turns"
    finally:
        running.close()
        await running.wait_closed()


@pytest.mark.contract("CN10", "CN5", "LC3")
@pytest.mark.parametrize("way", ["upgrade", "redirect", "tls", "refusal"])
async def test_close_in_every_turn_of_connecting_leaves_nothing(way: str) -> None:
    """Trap 9, through the connection: phase, sockets, tasks and timers, after k turns."""
    trust = Trust()

    async def handler(peer: Peer) -> None:
        if way == "refusal":
            await peer.answer("503 No")
            return
        if way == "redirect" and len(server.peers) % 2:
            await peer.answer("302 On", "Location: /on")
            return
        await peer.accept(first=text("hello"))
        await answer_the_close(peer)

    async with serve(handler, tls=trust.server() if way == "tls" else None) as server:
        before = Inventory.take()
        for k in range(30):
            connection = WebSocketStore(
                server.url,
                ssl=trust.client() if way == "tls" else None,
                reconnect=Reconnect.linear(0.001, attempts=None),
                close_timeout=5.0,
            )
            connection.connect()
            await turns(k)
            connection.close()
            state = connection.state.value
            assert state.phase in {"closing", "closed"}
            assert (state.connected, state.socket, state.error) == (False, None, None)
            total = connection.messages.total
            async with asyncio.timeout(PATIENCE):
                await connection.aclose()
            assert connection.state.value.phase == "closed"
            assert connection.messages.total == total
            await server.until_all_are_gone()
            assert await settled(before) == before, f"closed after {k} turns"


# 10: compression


@pytest.mark.contract("CN13")
async def test_compression_is_not_offered_unless_asked_for() -> None:
    """Trap 10."""
    async with serve(echo_head) as server:
        async with opened(server):
            pass
        async with opened(server, compression=True):  # and the server may decline
            pass
        without, with_it = (peer.headers for peer in server.peers)
    assert "sec-websocket-extensions" not in without
    assert with_it["sec-websocket-extensions"].startswith("permessage-deflate")


@pytest.mark.contract("CN13")
async def test_compression_works_both_ways_and_in_fragments() -> None:
    """Trap 10: against the `websockets` server, which compresses."""
    pieces = ["grüß " * 1000, "€" * 5000, "", "end"]

    async def handler(websocket: ServerConnection) -> None:
        assert websocket.protocol.extensions
        async for message in websocket:
            await websocket.send(message)
        await websocket.wait_closed()

    async def fragmented(websocket: ServerConnection) -> None:
        await websocket.send(iter(pieces))
        await websocket.send(iter([b"a" * 3000, b"b" * 3000]))
        await handler(websocket)

    async with serve_websockets(fragmented, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = WebSocketStore(f"ws://127.0.0.1:{port}/", compression=True)
        async with connection, asyncio.timeout(PATIENCE):
            stream = connection.stream()
            assert (await anext(stream)).data == "".join(pieces)
            assert (await anext(stream)).data == b"a" * 3000 + b"b" * 3000
            for data in ({"n": list(range(1000))}, "x" * 70_000, b"\0" * 70_000, "", b""):
                connection.send(data)
                assert (await anext(stream)).data == data


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.contract("CN13", "CN15")
@pytest.mark.parametrize("in_fragments", [False, True])
async def test_a_decompression_bomb_closes_with_1009(in_fragments: bool) -> None:
    """Trap 10: 64 MiB in 64 KiB."""
    bomb = deflated(b"\0" * (64 * MIB))
    assert len(bomb) < 100_000
    extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"

    async def handler(peer: Peer) -> None:
        await peer.accept(extension, first=frame(TEXT, deflated(b"before"), rsv=4))
        if in_fragments:
            half = len(bomb) // 2
            await peer.write(frame(BINARY, bomb[:half], fin=False, rsv=4))
            await peer.write(frame(CONT, bomb[half:]))
        else:
            await peer.write(frame(BINARY, bomb, rsv=4))
        await peer.until_gone()

    async with serve(handler) as server, opened(server, compression=True) as (_, heard):
        await heard.until_event("closed")
    assert heard.messages == ["before"]
    assert heard.close is not None
    assert heard.close.code == 1009


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("bad", [b"\xff\xff\xff", b"\x07"])
async def test_bytes_that_are_not_deflated_close_with_1002_or_1007(bad: bytes) -> None:
    """Trap 10: and do not break the event loop."""

    async def handler(peer: Peer) -> None:
        await peer.accept("Sec-WebSocket-Extensions: permessage-deflate")
        await peer.write(frame(TEXT, bad, rsv=4))
        await peer.until_gone()

    async with serve(handler) as server, opened(server, compression=True) as (_, heard):
        await heard.until_event("closed")
    assert heard.messages == []
    assert heard.close is not None
    assert heard.close.code in {1002, 1007}


# 11: cancelled readers


@pytest.mark.contract("MS4")
async def test_a_reader_that_is_cancelled_again_and_again_loses_nothing() -> None:
    """Trap 11: a timeout around each read, while 300 messages flow."""
    count = 300

    async def handler(peer: Peer) -> None:
        await peer.accept()
        for number in range(count):
            await peer.write(text(json.dumps(number)))
            await turns(number % 7)
        await answer_the_close(peer)

    async with serve(handler) as server:
        connection = WebSocketStore(server.url)
        stream = connection.stream(limit=count)
        async with connection, asyncio.timeout(PATIENCE):
            got: list[object] = []
            cancelled = 0
            while len(got) < count:
                reading = asyncio.ensure_future(anext(stream))
                await turns(len(got) % 3 + cancelled % 2)
                try:
                    # Both ways of giving up on a read: a deadline in the past, and cancel().
                    if cancelled % 2:
                        message = await asyncio.wait_for(reading, 0)
                    else:
                        reading.cancel()
                        message = await reading
                except (TimeoutError, asyncio.CancelledError):
                    cancelled += 1
                    await turns(1)
                else:
                    got.append(message.data)
    assert got == list(range(count))
    assert cancelled > 10


# 12: reconnecting


@pytest.mark.contract("RC4")
async def test_a_server_that_accepts_and_drops_is_not_hammered() -> None:
    """Trap 12: the backoff is reset by uptime, not by a handshake.

    The default policy waits about 1, 1.5, 3, 6, 12 s: in 30 s at most 10 handshakes. Here it runs
    thirty times as fast, over real sockets.
    """
    handshakes = 0
    enough = asyncio.Event()

    async def handler(peer: Peer) -> None:
        nonlocal handshakes
        await peer.accept(first=close_frame(1012))
        handshakes += 1
        if handshakes == 4:
            enough.set()

    policy = Reconnect.exponential(base=1 / 30, max=1.0)
    async with serve(handler) as server:
        connection = WebSocketStore(server.url, reconnect=policy)
        begun = monotonic()
        async with connection:
            async with asyncio.timeout(PATIENCE):
                await enough.wait()
            waited = monotonic() - begun
            attempt = connection.state.value.attempt
            await connection.aclose()
        # Three waits: at least 0, half of 2/30 and half of 4/30.
        assert waited >= 3 / 30 * 0.9
        assert attempt >= 3
        assert handshakes <= 5


@pytest.mark.contract("RC2", "RC4")
async def test_by_default_it_sees_at_most_three_handshakes_in_two_seconds() -> None:
    """Trap 12, with the defaults: the second wait is at least 1 s, the third at least 2 s."""
    handshakes = 0

    async def handler(peer: Peer) -> None:
        nonlocal handshakes
        await peer.accept()
        handshakes += 1

    async with serve(handler) as server, WebSocketStore(server.url):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.Event().wait()
        assert 2 <= handshakes <= 3


# What is left of 300 connections


@pytest.mark.contract("CN10", "LC2")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_300_connections_leave_nothing(tls: bool) -> None:
    """Traps 2 and 9: no file, task or timer, and nothing for the garbage collector to find."""
    trust = Trust()
    context = trust.client() if tls else None
    async with serve(polite, tls=trust.server() if tls else None) as server:
        gc.collect()
        before = Inventory.take()
        gc.disable()
        try:
            for number in range(100 if tls else 300):
                connection = WebSocketStore(server.url, ssl=context)
                connection.connect()
                await connection.ready(PATIENCE)
                connection.send(number)
                await connection.aclose()
                assert connection.state.value.close == Close(1000, clean=True)
            await server.until_all_are_gone()
            assert await settled(before) == before
        finally:
            gc.enable()
    assert timers() == 0
