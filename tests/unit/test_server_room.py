"""A room and a client step by step: who is told what, with everything else standing still."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from sockstore.server import HistoryUnavailable, Limits
from sockstore.server.asgi import Peer, PeerLeft
from sockstore.server.client import Client
from sockstore.server.frames import ChatMessage
from sockstore.server.rooms import Room, Rooms
from sockstore.timestamps import utc_now

pytestmark = pytest.mark.asyncio


def message(offset: int) -> ChatMessage:
    return ChatMessage("Ann", f"message {offset}", "t", f"{offset:032x}", offset)


class GatedHistory:
    """A history that answers when the test says so."""

    def __init__(self) -> None:
        self.answer = asyncio.get_running_loop().create_future()

    def start(self, published) -> None:
        self.published = published

    async def newest(self, room: str, count: int, max_bytes: int) -> list[ChatMessage]:
        return await self.answer


class Listener:
    """Stands for a client, and keeps what it is told."""

    is_ending = False

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.frames: list[dict[str, object]] = []
        self.ended: tuple[int, str] | None = None

    def offer(self, frame: str, size: int | None = None) -> None:
        self.frames.append(json.loads(frame))

    def end(self, code: int, reason: str) -> None:
        self.ended = (code, reason)

    @property
    def types(self) -> list[object]:
        return [frame["type"] for frame in self.frames]

    @property
    def offsets(self) -> list[object]:
        """All messages it knows: history, then live."""
        (history, *rest) = self.frames
        return [
            *(each["offset"] for each in history["messages"]),
            *(frame["offset"] for frame in rest if frame["type"] == "message"),
        ]


@pytest.mark.contract("SV1")
@pytest.mark.parametrize("read_up_to", [0, 1, 2, 3])
async def test_what_is_said_while_the_history_is_read_comes_once_and_in_order(read_up_to):
    history = GatedHistory()
    room, listener = Room("lobby", history, Limits()), Listener()
    entering = asyncio.create_task(room.enter(listener))
    await asyncio.sleep(0)
    for offset in (1, 2, 3):
        room.publish(message(offset))
    assert listener.frames == []
    history.answer.set_result([message(offset) for offset in range(1, read_up_to + 1)])
    await entering
    room.publish(message(4))
    assert listener.offsets == [1, 2, 3, 4]
    assert listener.types[:2] == ["history", "presence"]
    assert set(listener.types[2:]) == {"message"}


@pytest.mark.contract("SV3")
async def test_a_client_whose_history_takes_too_long_is_dropped_with_bounded_memory():
    history = GatedHistory()
    room, listener = Room("lobby", history, Limits(buffer_messages=16)), Listener()
    entering = asyncio.create_task(room.enter(listener))
    await asyncio.sleep(0)
    for offset in range(1, 18):
        room.publish(message(offset))
    assert listener.ended == (1013, "the history takes too long; come back later")
    assert room._entering[listener] == []
    entering.cancel()


@pytest.mark.contract("SV1")
async def test_without_a_history_on_entry_nothing_live_is_lost():
    room, listener = Room("lobby", GatedHistory(), Limits(history_messages=0)), Listener()
    await room.enter(listener)
    room.publish(message(7))
    assert listener.offsets == [7]


@pytest.mark.contract("SV2")
async def test_a_history_that_fails_is_told_behind_the_presence():
    history = GatedHistory()
    history.answer.set_exception(HistoryUnavailable("h", "it is gone"))
    room, listener = Room("lobby", history, Limits()), Listener()
    await room.enter(listener)
    assert listener.types == ["history", "presence", "error"]


@pytest.mark.contract("SV1")
async def test_who_leaves_while_entering_was_never_there():
    room, other, listener = Room("lobby", GatedHistory(), Limits()), Listener(), Listener()
    room._members[other] = None
    entering = asyncio.create_task(room.enter(listener))
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait([entering])
    room.leave(listener)
    assert other.frames == []
    room.leave(other)
    assert room.is_empty


@pytest.mark.contract("SV1")
async def test_when_a_crowd_gets_small_again_everybody_gets_the_whole_list():
    room = Room("lobby", GatedHistory(), Limits(announced_members=2, history_messages=0))
    people = [Listener(name) for name in "ABC"]
    for person in people:
        await room.enter(person)
    room.leave(people[0])
    assert "leave" not in people[1].types
    timer = room._announcing
    assert timer is not None
    timer.cancel()
    room._announce_presence()
    last = {"type": "presence", "members": ["B", "C"], "count": 2}
    assert people[1].frames[-1] == people[2].frames[-1] == last
    room.leave(people[1])
    assert people[2].types[-1] == "leave"


@pytest.mark.contract("SV1")
async def test_a_message_of_a_room_that_nobody_is_in_harms_nobody():
    history = GatedHistory()
    rooms = Rooms(history, Limits())
    history.published("lobby", message(1))
    assert rooms.members == {}


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
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_now())
