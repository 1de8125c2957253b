"""A room and a client step by step: who is told what, with everything else standing still."""

from __future__ import annotations

import asyncio
import re
from time import time

import pytest

from fake_history import FakeHistory
from session_kit import Guest, idle, rooms_of
from sockstore.base.times import utc_time
from sockstore.server import Limits
from sockstore.server.asgi import Peer, PeerLeft
from sockstore.server.client import Client

pytestmark = pytest.mark.asyncio


@pytest.mark.contract("SV1")
@pytest.mark.parametrize("before", [0, 1, 2, 3])
async def test_what_is_said_while_the_history_is_read_comes_once_and_in_order(before):
    history = FakeHistory()
    guest = Guest(rooms_of(history))
    history.hold()
    history.say("lobby", before)
    entering = asyncio.create_task(guest.enter())
    await asyncio.sleep(0)
    history.say("lobby", 3 - before)
    assert guest.frames == []
    history.release()
    await entering
    await idle()
    history.say("lobby")
    assert guest.offsets == [1, 2, 3, 4]
    assert guest.types[:2] == ["history", "presence"]
    assert set(guest.types[2:]) == {"message"}
    guest.leave()


@pytest.mark.contract("SV3")
async def test_what_is_said_while_the_history_is_read_takes_no_memory():
    history = FakeHistory()
    guest = Guest(rooms_of(history, buffer_messages=16))
    history.hold()
    entering = asyncio.create_task(guest.enter())
    await asyncio.sleep(0)
    history.say("lobby", 1000)
    history.release()
    await entering
    guest.client.is_reading = False
    await idle()
    assert guest.client.ended is None
    assert guest.client.buffered <= 16
    while guest.client.buffered:
        guest.client.take()
        await idle(20)
    assert guest.offsets == list(range(1, 1001))
    guest.leave()


@pytest.mark.contract("SV1")
async def test_without_a_history_on_entry_nothing_live_is_lost():
    history = FakeHistory()
    history.say("lobby", 6)
    guest = await Guest(rooms_of(history, history_messages=0)).enter()
    history.say("lobby")
    assert guest.offsets == [7]
    guest.leave()


@pytest.mark.contract("SV2")
async def test_a_history_that_fails_is_told_behind_the_presence():
    history = FakeHistory()
    history.say("lobby", 4)
    history.is_broken = True
    guest = await Guest(rooms_of(history)).enter()
    assert guest.types == ["history", "presence", "error"]
    history.is_broken = False
    history.say("lobby", 2)
    assert guest.offsets == [5, 6]
    guest.leave()


@pytest.mark.contract("SV2")
async def test_what_cannot_be_filled_in_sends_a_plain_client_back_to_the_door():
    history = FakeHistory()
    guest = await Guest(rooms_of(history)).enter()
    history.lose_everything()
    history.lost_sight()
    await idle()
    assert guest.client.ended == (
        1012,
        "the server cannot continue the room; connect again for its history",
    )
    guest.leave()


@pytest.mark.contract("SV1")
async def test_who_leaves_while_entering_was_never_there():
    history = FakeHistory()
    rooms = rooms_of(history)
    other = await Guest(rooms).enter()
    history.hold()
    guest = Guest(rooms)
    entering = asyncio.create_task(guest.enter())
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait([entering])
    guest.leave()
    assert other.types == ["history", "presence"]
    other.leave()
    assert rooms.members == {}


@pytest.mark.contract("SV1")
async def test_a_message_of_a_room_that_nobody_is_in_harms_nobody():
    history = FakeHistory()
    rooms = rooms_of(history)
    history.say("lobby")
    history.lost_sight()
    assert rooms.members == {}


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
    client = Client(StuckServer().peer(), limits)
    for _ in range(fits):
        client.offer(frame)
        assert not client.is_ending
    client.offer(frame)
    assert client.is_ending
    client.offer(frame)
    assert (len(client._buffer), client._buffered_bytes) == (0, 0)


@pytest.mark.contract("SV3")
async def test_who_takes_no_close_frame_is_aborted_and_is_over():
    server = StuckServer()
    client = Client(server.peer(), Limits(buffer_messages=16, close_seconds=0.001))

    async def hear(_: object) -> None: ...

    running = asyncio.create_task(client.run(hear))
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

    async def hear(_: object) -> None: ...

    running = asyncio.create_task(client.run(hear))
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


@pytest.mark.contract("SV6")
async def test_the_time_of_the_server_is_written_as_the_guides():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_time(time()))
