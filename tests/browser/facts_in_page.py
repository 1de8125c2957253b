"""What is true of a connection over the browser's own WebSocket, asked in a page.

Each fact is a coroutine that is given the url of an echo server, and one without a server;
`main` asks all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import js as window

from sockstore import (
    Close,
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    Reconnect,
    WebSocketStore,
)
from sockstore.protocols import Heartbeat, Plain
from sockstore.transports import default_transport
from sockstore.transports.base import Listener, Target, Transport, TransportOptions

PATIENCE = 20.0
"""Seconds."""
LATER = Reconnect.linear(3600)


class raising:  # noqa: N801 - as `pytest.raises`, where there is no pytest
    """Assert that a block raises an error with these words in it."""

    def __init__(self, kind: type[Exception], words: str) -> None:
        self._kind = kind
        self._words = words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        assert isinstance(error, self._kind), f"{error!r} is not a {self._kind.__name__}"
        assert self._words in str(error), str(error)
        return True


class Silence:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.changed = asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def tell(*words: Any) -> None:
            self.told.append((name, *words))
            self.changed.set()

        return tell

    def begin_slice(self) -> None:
        return None

    async def hears(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while name not in [told for told, *_ in self.told]:
                self.changed.clear()
                await self.changed.wait()


NOTED = """
window.sockets = [];
window.OwnWebSocket = window.WebSocket;
window.WebSocket = class extends window.OwnWebSocket {
    listeners = 0;
    constructor(...words) { super(...words); window.sockets.push(this); }
    addEventListener(...words) { this.listeners += 1; super.addEventListener(...words); }
    removeEventListener(...words) { this.listeners -= 1; super.removeEventListener(...words); }
};"""


@contextmanager
def noted_sockets() -> Iterator[Any]:
    """Note the WebSockets that the page makes, each with the number of its listeners."""
    window.eval(NOTED)
    try:
        yield window.sockets
    finally:
        window.eval("window.WebSocket = window.OwnWebSocket;")


async def it_is_chosen_by_itself_and_the_default_ping_is_absent(url: str, refusing: str) -> None:
    with noted_sockets() as sockets:
        async with WebSocketStore(url) as connection:  # a ping is an option that is refused
            await connection.ready(PATIENCE)
            assert [socket.url for socket in sockets] == [url]


async def text_json_and_bytes_come_back_as_they_left(url: str, refusing: str) -> None:
    sent = ["grüße \N{PILE OF POO}", {"a": [1, 1.0, None, 2**53 + 1]}, b"\x00\xff", "x" * 60_000]
    async with WebSocketStore(url) as connection:
        with connection.stream() as stream:
            for data in sent:
                connection.send(data)
            received = [(await anext(stream)).data for _ in sent]
    assert received == sent
    assert isinstance(received[1]["a"][1], float)


async def a_refused_handshake_says_all_that_a_browser_knows(url: str, refusing: str) -> None:
    for wrong in (refusing, url.replace("/echo", "/nowhere")):
        connection = WebSocketStore(wrong, reconnect=False)
        connection.connect()
        await connection.phase.wait_for(lambda phase: phase == "failed", timeout=PATIENCE)
        assert "the browser does not say why" in str(connection.error.value)
        await connection.aclose()


async def what_a_browser_cannot_do_is_refused(url: str, refusing: str) -> None:
    for options in ({"headers": {"A": "b"}}, {"ping_interval": 5.0}, {"proxy": "http://p:1"}):
        with raising(InvalidOption, "browser"):
            WebSocketStore(url, **options)
    transport = default_transport(Silence(), TransportOptions())
    with raising(HandshakeFailed, "adds no headers"):
        await transport.open(Target(url=url, headers=(("A", "b"),)))
    with raising(InvalidURI, "the browser says"):
        await transport.open(Target(url="ws://127.0.0.1:99999/"))


async def a_heartbeat_runs_if_one_is_configured(url: str, refusing: str) -> None:
    beat = {"type": "beat"}
    heartbeat = Heartbeat(beat, reply=beat, interval=0.05, timeout=PATIENCE)
    made: list[Transport] = []

    def make(listener: Listener, options: TransportOptions) -> Transport:
        made.append(default_transport(listener, options))
        return made[-1]

    async with WebSocketStore(
        url, protocol=Plain(heartbeat=heartbeat), transport=make
    ) as connection:
        await connection.ready()
        await connection.latency.wait_for(lambda latency: True)
        (transport,) = made
        before = transport.heard
        async with asyncio.timeout(PATIENCE):
            while transport.heard < before + 3:
                await asyncio.sleep(0.05)
        assert connection.connected.value
        assert connection.messages.total == 0, "replies are no messages"


async def a_full_send_buffer_makes_messages_wait(url: str, refusing: str) -> None:
    listener = Silence()
    transport = default_transport(listener, TransportOptions())
    await transport.open(Target(url=url))
    for _ in range(200):
        transport.send("x" * 60_000)
    paused = [told for told, *_ in listener.told].count("writing_paused")
    assert paused == 1, f"paused {paused} times with {transport.buffered_amount} bytes"
    await listener.hears("writing_resumed")
    assert transport.buffered_amount < 64 * 2**10
    transport.abort()
    await listener.hears("released")


async def what_is_closed_is_let_go(url: str, refusing: str) -> None:
    listener = Silence()
    transport = default_transport(listener, TransportOptions())
    with noted_sockets() as sockets:
        await transport.open(Target(url=url))
    (socket,) = sockets
    assert socket.onmessage
    assert socket.listeners > 0
    transport.close(1002, "no code that a browser may send")
    await listener.hears("released")
    [close] = [words[0] for name, *words in listener.told if name == "closed"]
    assert close == Close(4002, "no code that a browser may send", clean=True)
    assert socket.listeners == 0
    assert not socket.onmessage


async def a_burst_leaves_the_loop_its_turns(url: str, refusing: str) -> None:
    """Slices are short: a task that waits for a timer gets it in the midst of a burst."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def slowly(_: Any) -> None:
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass

    async with WebSocketStore(url) as connection:
        await connection.ready()
        connection.messages.on_append(slowly)
        for number in range(200):
            connection.send(str(number))
        turning = asyncio.ensure_future(take_turns())
        await connection.messages.wait_for(lambda view: len(view) == 200, timeout=PATIENCE)
        turning.cancel()
    assert turns > 10


async def the_page_tells_what_it_notices_of_the_network(url: str, refusing: str) -> None:
    connection = WebSocketStore(refusing, reconnect=LATER)
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "waiting", timeout=PATIENCE)
    for event in ("online", "visibilitychange"):
        target = window.document if event == "visibilitychange" else window
        target.dispatchEvent(window.Event.new(event))
        assert connection.phase.value == "connecting", event
        await connection.phase.wait_for(lambda phase: phase == "waiting", timeout=PATIENCE)
    await connection.aclose()


FACTS = (
    it_is_chosen_by_itself_and_the_default_ping_is_absent,
    text_json_and_bytes_come_back_as_they_left,
    a_refused_handshake_says_all_that_a_browser_knows,
    what_a_browser_cannot_do_is_refused,
    a_heartbeat_runs_if_one_is_configured,
    a_full_send_buffer_makes_messages_wait,
    what_is_closed_is_let_go,
    a_burst_leaves_the_loop_its_turns,
    the_page_tells_what_it_notices_of_the_network,
)


async def main(url: str, refusing: str) -> int:
    for fact in FACTS:
        try:
            await fact(url, refusing)
        except BaseException as error:
            error.add_note(f"asked: {fact.__name__.replace('_', ' ')}")
            raise
    return 0
