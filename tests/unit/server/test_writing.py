"""How a client is sent what it is sent: at once while it takes it, else by its writer."""

from __future__ import annotations

import asyncio

import pytest

from sockstore.server import Limits
from sockstore.server.asgi import Outgoing, Peer, PeerLeft, SharedMessage, SharedMessages
from sockstore.server.client import Client

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SV3")]


class WritingServer:
    """An ASGI server that can write at once, while its peer takes what it is sent."""

    def __init__(self) -> None:
        self.begun: list[object] = []
        self.sent: list[object] = []
        self.written: list[Outgoing] = []
        self.takes = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.incoming: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    def peer(self) -> Peer:
        scope = {"extensions": {"sockstore.write": {"write": self.write}}}
        return Peer(scope, self.incoming.get, self.send)

    def write(self, outgoing: Outgoing) -> bool:
        if self.takes:
            self.written.append(outgoing)
            self.sent += [each.message for each in outgoing.messages]
        return self.takes

    async def send(self, event) -> None:
        message = event.get("text", event["type"])
        self.begun.append(message)
        await self.gate.wait()
        self.sent.append(message)

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
    client.offer(SharedMessage("c"))
    assert server.sent == ["a", b"b", "c"]
    assert server.begun == []


async def test_nothing_is_written_past_what_the_writer_has_in_its_hands():
    server = WritingServer()
    client = Client(server.peer(), Limits())
    running = asyncio.create_task(client.run(ignore))
    server.stall()
    client.offer("a")
    await idle()
    assert (server.sent, server.begun) == ([], ["a"])  # the writer waits for its turn
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
    running = asyncio.create_task(client.run(ignore))
    server.gate.set()
    await idle()
    assert server.sent == ["taken", "websocket.close"]
    server.leave()
    await running


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


async def test_messages_for_many_are_written_together_and_wait_one_by_one():
    server = WritingServer()
    quick, slow = (Client(server.peer(), Limits(buffer_messages=16)) for _ in range(2))
    several = SharedMessages(tuple(map(SharedMessage, "abc")))
    quick.offer(several)
    assert (server.written, server.sent) == ([several], ["a", "b", "c"])
    running = asyncio.create_task(slow.run(ignore))
    server.takes = False
    slow.offer(several)
    await idle()
    assert server.sent[3:] == ["a", "b", "c"]
    server.stall()
    for _ in range(6):
        slow.offer(several)
    assert slow.is_ending  # 18 messages are more than 16, also if they came by threes
    server.gate.set()
    server.leave()
    await running


async def test_a_message_for_many_is_measured_once():
    assert SharedMessage("ä" * 3).size == 6
    assert SharedMessage(b"abc").size == 3
    assert SharedMessage("abc").frame is None


@pytest.mark.contract("SV3")
async def test_who_reads_waits_until_half_of_the_buffer_is_free():
    client = Client(StuckServer().peer(), Limits(buffer_messages=16))
    for _ in range(8):
        client.offer("x")
    waiting = asyncio.create_task(client.drained())
    await idle(5)
    assert not waiting.done()
    client.end(1012, "")
    assert await waiting is False


class StuckServer:
    """An ASGI server whose peer takes nothing until it is let go."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []
        self.gate = asyncio.Event()
        self.incoming: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.aborted = 0

    def peer(self) -> Peer:
        scope = {"extensions": {"sockstore.abort": {"abort": self.abort}}}
        return Peer(scope, self.incoming.get, self.send)

    async def send(self, event) -> None:
        await self.gate.wait()
        if self.aborted:
            raise OSError
        self.sent.append(dict(event))

    def abort(self) -> None:
        self.aborted += 1
        self.gate.set()


@pytest.mark.contract("SV3")
@pytest.mark.parametrize(
    ("limits", "frame", "fits"),
    [
        (Limits(buffer_messages=16), "x", 16),
        (Limits(max_message_bytes=64, buffer_bytes=1000), "x" * 100, 10),
        (Limits(max_message_bytes=64, buffer_bytes=1000), "ä" * 50, 10),
        (Limits(max_message_bytes=64, buffer_bytes=1000), b"x" * 100, 10),
    ],
    ids=["messages", "bytes of ascii", "bytes of other text", "bytes"],
)
async def test_a_buffer_is_bounded_by_messages_and_by_bytes(limits, frame, fits):
    server = StuckServer()
    client = Client(server.peer(), limits)
    for _ in range(fits):
        client.offer(frame)
        assert not client.is_ending
    client.offer(frame)
    assert client.is_ending
    client.offer(frame)
    running = asyncio.create_task(client.run(ignore))
    server.gate.set()
    await idle()
    assert server.sent == [
        {"type": "websocket.close", "code": 1013, "reason": "the client reads too slowly"}
    ]
    server.incoming.put_nowait({"type": "websocket.disconnect", "code": 1013})
    await running


@pytest.mark.contract("SV3")
async def test_who_takes_no_close_frame_is_aborted_and_is_over():
    server = StuckServer()
    client = Client(server.peer(), Limits(buffer_messages=16, close_seconds=0.001))

    running = asyncio.create_task(client.run(ignore))
    for _ in range(18):
        client.offer("x")
    async with asyncio.timeout(20):
        await running
    assert server.aborted == 1
    assert server.sent == []
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.contract("SV3")
async def test_who_leaves_while_a_page_waits_for_room_is_gone():
    server = StuckServer()
    client = Client(server.peer(), Limits(buffer_messages=16))
    for _ in range(10):
        client.offer("x")
    waited: list[bool] = []

    async def hear(_: object) -> None:
        waited.append(await client.drained())

    running = asyncio.create_task(client.run(hear))
    server.incoming.put_nowait({"type": "websocket.receive", "text": "give me a page"})
    await idle()
    server.abort()
    server.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})
    async with asyncio.timeout(20):
        await running
    assert waited == [False]


@pytest.mark.contract("SV3", "SV5")
async def test_what_is_buffered_leaves_before_the_close_frame():
    server = StuckServer()
    client = Client(server.peer(), Limits())

    running = asyncio.create_task(client.run(ignore))
    client.offer("a")
    client.offer(b"b")
    client.end(1012, "the server is restarting")
    client.end(4429, "too late")
    client.offer("c")
    server.gate.set()
    while len(server.sent) < 3:
        await asyncio.sleep(0)
    server.incoming.put_nowait({"type": "websocket.disconnect", "code": 1012})
    await running
    assert server.sent == [
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "bytes": b"b"},
        {"type": "websocket.close", "code": 1012, "reason": "the server is restarting"},
    ]
    assert server.aborted == 0


async def test_a_server_that_says_it_differently_is_understood():
    async def gone(event) -> None:
        raise RuntimeError("after the close")

    with pytest.raises(PeerLeft):
        await Peer({}, StuckServer().incoming.get, gone).send("x")
