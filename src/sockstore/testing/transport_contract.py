"""Check that a transport, of this package or of a user, keeps the contract of transports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed
from sockstore.base.state import SocketInfo
from sockstore.transports.base import Deliver, Listener, Target, Transport, TransportOptions

__all__ = ["ServerHalf", "TransportHarness", "check_transport"]

PATIENCE = 10.0
"""Seconds that a step may take; each should take none."""

LIMIT = 64 * 2**10
"""The largest message, in UTF-8 bytes, in these tests."""

GREETING = ("hello", b"\x00\x01")
"""The messages of the server behind `TransportHarness.greeting_url`."""


class ServerHalf(Protocol):
    """The server's end of one connection."""

    async def receive(self) -> str | bytes:
        """Return the next message of the client."""
        ...

    async def send(self, *messages: str | bytes) -> None:
        """Send messages, in one packet if possible."""

    async def ping(self) -> None:
        """Send a ping, and wait for its pong; only called if `TransportHarness.pings` is true."""

    async def close(self, code: int, reason: str) -> None:
        """Close with a closing handshake."""

    async def drop(self) -> None:
        """Break the connection without a close frame."""


class TransportHarness(Protocol):
    """A transport and a server for it, as `check_transport` needs them."""

    @property
    def url(self) -> str:
        """The url of a server that accepts; it chooses the subprotocol ``"chat"`` if offered."""
        ...

    @property
    def refusing_url(self) -> str:
        """A url where every handshake fails."""
        ...

    @property
    def hanging_url(self) -> str:
        """A url where handshakes are never answered."""
        ...

    @property
    def greeting_url(self) -> str:
        """The url of a server that sends "hello" and the bytes 0 and 1 right after its answer."""
        ...

    @property
    def pings(self) -> bool:
        """Whether this transport can send pings, and notices pings of the server."""
        ...

    def make(self, listener: Listener, options: TransportOptions, /) -> Transport:
        """Return a transport that has not been opened."""
        ...

    async def server(self) -> ServerHalf:
        """Return the server's half of the newest connection."""
        ...


async def check_transport(harness: TransportHarness) -> None:
    """Assert that a transport keeps the promises of `sockstore.transports.base`.

    Args:
        harness: The transport and a server for it.

    Raises:
        AssertionError: If a promise is broken.

    Example:
        ::

            async def test_my_transport():
                await check_transport(MyHarness())
    """
    for check in (
        _opens_with_what_the_server_chose,
        _delivers_messages_of_the_handshake_after_a_turn_of_the_loop,
        _carries_text_and_binary_both_ways_in_order,
        _loses_nothing_when_a_slice_ends_early,
        _discards_unwanted_messages,
        _reports_pongs_in_slices,
        _answers_pings_of_the_server,
        _closes_with_a_handshake,
        _reports_how_the_server_closed,
        _reports_a_break_as_1006,
        _aborts_at_once,
        _refuses_large_messages_with_1009,
        _reports_nothing_if_it_fails_to_open,
        _can_be_cancelled_while_opening,
    ):
        async with asyncio.timeout(3 * PATIENCE):
            await check(harness)


class _Recorder:
    """A listener that records every event."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.messages: list[str | bytes] = []
        self.socket: SocketInfo | None = None
        self.close: Close | None = None
        self.pongs: list[bytes] = []
        self.slice_length = 1000
        self.wants_messages = True
        self.inside_call = False
        self.is_in_slice = False
        self._in_slice = 0
        self._changed = asyncio.Event()

    def opened(self, socket: SocketInfo) -> None:
        self.socket = socket
        self._note("opened")
        self._woken = asyncio.ensure_future(self._take_a_step())

    async def _take_a_step(self) -> None:
        self.events.append("step")

    def begin_slice(self) -> Deliver | None:
        self._note("slice")
        assert not self.is_in_slice, "a slice began in another one"
        self._in_slice = 0
        self.is_in_slice = self.wants_messages
        return self if self.wants_messages else None

    def texts(self, messages: Iterator[str], /) -> bool:
        return any(map(self._deliver, messages))

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        return any(map(self._deliver, messages))

    def end_slice(self) -> None:
        assert self.is_in_slice, "a slice ended that was not wanted"
        self.is_in_slice = False
        self._changed.set()

    def pong_received(self, payload: bytes) -> None:
        assert self.is_in_slice, "a pong is reported in the slice of its read"
        self.pongs.append(payload)
        self._note("pong")

    def writing_paused(self) -> None:
        self.events.append("paused")

    def writing_resumed(self) -> None:
        self._note("resumed")

    def closed(self, close: Close, why: str, cause: Exception | None = None) -> None:
        del cause
        assert why, "an end has a reason in words"
        self.close = close
        self._note("closed")

    def released(self) -> None:
        self._note("released")

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_released(self) -> None:
        await self.until(lambda: "released" in self.events)
        ends = [event for event in self.events if event in {"closed", "released"}]
        assert ends == ["closed", "released"], f"one end, then one release: {ends}"

    def _deliver(self, message: str | bytes) -> bool:
        self.messages.append(message)
        self._in_slice += 1
        return self._in_slice >= self.slice_length

    def _note(self, event: str) -> None:
        assert not self.inside_call, f"{event} was called from inside a call"
        assert "released" not in self.events, f"{event} was called after released"
        self.events.append(event)
        self._changed.set()


def _make(harness: TransportHarness) -> tuple[_Recorder, Transport]:
    recorder = _Recorder()
    return recorder, harness.make(recorder, TransportOptions(max_message_bytes=LIMIT))


async def _open(
    harness: TransportHarness, *subprotocols: str
) -> tuple[_Recorder, Transport, ServerHalf]:
    recorder, transport = _make(harness)
    await transport.open(Target(url=harness.url, subprotocols=subprotocols))
    await recorder.until(lambda: recorder.socket)
    return recorder, transport, await harness.server()


async def _end(recorder: _Recorder, transport: Transport) -> None:
    transport.abort()
    await recorder.until_released()


async def _opens_with_what_the_server_chose(harness: TransportHarness) -> None:
    recorder, transport, _ = await _open(harness, "chat", "other")
    assert recorder.events[0] == "opened", recorder.events
    assert set(recorder.events) <= {"opened", "step"}, recorder.events
    assert recorder.socket is not None
    assert recorder.socket.url == harness.url
    assert recorder.socket.subprotocol == "chat"
    await _end(recorder, transport)


async def _delivers_messages_of_the_handshake_after_a_turn_of_the_loop(
    harness: TransportHarness,
) -> None:
    recorder, transport = _make(harness)
    await transport.open(Target(url=harness.greeting_url))
    await recorder.until(lambda: len(recorder.messages) == len(GREETING))
    assert recorder.messages == list(GREETING), "messages that come with the handshake are not lost"
    first = recorder.events[:3]
    assert first == ["opened", "step", "slice"], (
        f"tasks that opened() woke run before the messages: {first}"
    )
    await _end(recorder, transport)


async def _carries_text_and_binary_both_ways_in_order(harness: TransportHarness) -> None:
    recorder, transport, server = await _open(harness)
    sent: list[str | bytes] = ["", "text", b"", b"\x00\xff", "grüße \N{PILE OF POO}", "x" * LIMIT]
    heard = transport.heard
    for message in sent:
        transport.send(message)
    received = [await server.receive() for _ in sent]
    assert received == sent, "messages of the client arrive, in order and of their type"
    await server.send(*sent)
    await recorder.until(lambda: len(recorder.messages) == len(sent))
    assert recorder.messages == sent, "messages of the server arrive, in order and of their type"
    assert transport.heard > heard, "bytes that arrive are counted"
    await _end(recorder, transport)


async def _loses_nothing_when_a_slice_ends_early(harness: TransportHarness) -> None:
    recorder, transport, server = await _open(harness)
    recorder.slice_length = 3
    sent = [str(number) for number in range(50)]
    await server.send(*sent)
    await recorder.until(lambda: len(recorder.messages) == len(sent))
    assert recorder.messages == sent
    await _end(recorder, transport)


async def _discards_unwanted_messages(harness: TransportHarness) -> None:
    recorder, transport, server = await _open(harness)
    recorder.wants_messages = False
    await server.send("unwanted")
    await recorder.until(lambda: "slice" in recorder.events)
    recorder.wants_messages = True
    await server.send("wanted")
    await recorder.until(lambda: recorder.messages)
    assert recorder.messages == ["wanted"]
    await _end(recorder, transport)


async def _reports_pongs_in_slices(harness: TransportHarness) -> None:
    if not harness.pings:
        return
    recorder, transport, _ = await _open(harness)
    transport.ping(b"\x00\x01")
    await recorder.until(lambda: recorder.pongs)
    assert recorder.pongs == [b"\x00\x01"]
    assert recorder.messages == []
    await _end(recorder, transport)


async def _answers_pings_of_the_server(harness: TransportHarness) -> None:
    if not harness.pings:
        return
    recorder, transport, server = await _open(harness)
    await server.ping()
    assert "slice" in recorder.events, "a read with a ping alone is a slice, too"
    assert recorder.messages == []
    await _end(recorder, transport)


async def _closes_with_a_handshake(harness: TransportHarness) -> None:
    recorder, transport, _ = await _open(harness)
    recorder.inside_call = True
    transport.close(4001, "enough")
    recorder.inside_call = False
    await recorder.until_released()
    assert recorder.close is not None
    assert recorder.close.clean
    assert recorder.close.code == 4001, "the answer repeats the code"
    transport.send("too late")
    transport.ping(b"too late")
    transport.close(1000, "")
    transport.abort()


async def _reports_how_the_server_closed(harness: TransportHarness) -> None:
    recorder, _, server = await _open(harness)
    await server.send("last words")
    await server.close(4002, "bye")
    await recorder.until_released()
    assert recorder.messages == ["last words"], "messages before a close are delivered before it"
    assert recorder.close == Close(4002, "bye", clean=True)


async def _reports_a_break_as_1006(harness: TransportHarness) -> None:
    recorder, transport, server = await _open(harness)
    await server.drop()
    await recorder.until_released()
    assert recorder.close == Close(1006)
    transport.send("too late")


async def _aborts_at_once(harness: TransportHarness) -> None:
    recorder, transport, _ = await _open(harness)
    recorder.inside_call = True
    transport.abort()
    recorder.inside_call = False
    await recorder.until_released()
    assert recorder.close is not None
    assert not recorder.close.clean


async def _refuses_large_messages_with_1009(harness: TransportHarness) -> None:
    recorder, transport, server = await _open(harness)
    await server.send("x" * (LIMIT + 1))
    await recorder.until(lambda: recorder.close)
    assert recorder.close is not None
    assert recorder.close.code == 1009
    assert recorder.messages == []
    transport.abort()
    await recorder.until_released()


async def _reports_nothing_if_it_fails_to_open(harness: TransportHarness) -> None:
    recorder, transport = _make(harness)
    try:
        await transport.open(Target(url=harness.refusing_url))
    except HandshakeFailed:
        pass
    else:
        raise AssertionError("a refused handshake raises HandshakeFailed")
    assert recorder.events == []


async def _can_be_cancelled_while_opening(harness: TransportHarness) -> None:
    recorder, transport = _make(harness)
    opening = asyncio.ensure_future(transport.open(Target(url=harness.hanging_url)))
    for _ in range(20):
        await asyncio.sleep(0)
    opening.cancel()
    done, _ = await asyncio.wait([opening], timeout=PATIENCE)
    assert done, "a cancelled open() ends"
    assert opening.cancelled(), "a cancellation is not swallowed"
    assert recorder.events == []
