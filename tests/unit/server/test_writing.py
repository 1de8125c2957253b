"""How a client is sent what it is sent: at once while it takes it, else by its writer."""

from __future__ import annotations

import asyncio

import pytest

from sockstore.server import Limits
from sockstore.server.asgi import Outgoing, Peer
from sockstore.server.client import Client

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SV3")]


class WritingServer:
    """An ASGI server that can write at once, while its peer takes what it is sent."""

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.takes = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.incoming: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    def peer(self) -> Peer:
        scope = {"extensions": {"sockstore.write": {"write": self.write}}}
        return Peer(scope, self.incoming.get, self.send)

    def write(self, outgoing: Outgoing) -> bool:
        if self.takes:
            self.sent.append(outgoing.message)
        return self.takes

    async def send(self, event) -> None:
        await self.gate.wait()
        self.sent.append(event.get("text", event["type"]))

    def stall(self) -> None:
        self.takes = False
        self.gate.clear()

    def leave(self) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})


async def idle(turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def ignore(_: object) -> None: ...


async def test_who_takes_what_it_is_sent_waits_for_no_writer():
    server = WritingServer()
    client = Client(server.peer(), Limits())
    client.offer("a")
    client.offer(b"b")
    client.offer(Outgoing("c"))
    assert server.sent == ["a", b"b", "c"]
    assert client._buffered_bytes == 0


async def test_nothing_is_written_past_what_the_writer_has_in_its_hands():
    server = WritingServer()
    client = Client(server.peer(), Limits())
    running = asyncio.create_task(client.run(ignore))
    server.stall()
    client.offer("a")
    await idle()
    assert (server.sent, len(client._buffer)) == ([], 0)  # the writer waits for its turn
    server.takes = True  # and the peer has taken the rest, but the writer does not know yet
    client.offer("b")
    server.gate.set()
    client.offer("c")
    await idle()
    assert server.sent == ["a", "b", "c"]
    client.offer("d")
    assert server.sent[-1] == "d"
    server.leave()
    await running


async def test_who_takes_nothing_more_fills_its_buffer_and_is_dropped():
    server = WritingServer()
    client = Client(server.peer(), Limits(buffer_messages=16))
    client.offer("taken")
    server.stall()
    for _ in range(16):
        client.offer("x")
    assert not client.is_ending
    client.offer("x")
    assert client.is_ending
    assert len(client._buffer) == 0
    assert server.sent == ["taken"]


async def test_nothing_is_written_behind_the_end():
    server = WritingServer()
    client = Client(server.peer(), Limits())
    running = asyncio.create_task(client.run(ignore))
    client.offer("a")
    client.end(1012, "the server is restarting")
    client.offer("b")
    await idle()
    assert server.sent == ["a", "websocket.close"]
    server.leave()
    await running


async def test_a_message_for_many_is_measured_once():
    assert Outgoing("ä" * 3).size == 6
    assert Outgoing(b"abc").size == 3
    assert Outgoing("abc").frame is None
