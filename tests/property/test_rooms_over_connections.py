"""Rooms of a real connection under random faults: each reader has its room's log, or a gap in it.

`test_rooms_stateful` drives a conversation alone. Here the connection is real, and the server is
one without sockets: what stands between them can lose something, too (slices, inboxes, a `close()`
of the program in the midst of what comes).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from room_server import RoomServer, connect
from sockstore import Position
from sockstore.testing import VirtualClock
from waiting import turns

KEYS = ("a", "b", "c")
keys = st.sampled_from(KEYS)


class Server(RoomServer):
    """Tells what is sent to it, and remembers what was ever stored in which place.

    Attributes:
        truth: The data of each message, by room, epoch and offset.
        losses: How often a room has lost something of its history.
        stored: What was sent to each room, in the order in which it was stored first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.truth: dict[tuple[str, str, int], Any] = {}
        self.losses = dict.fromkeys(KEYS, 0)
        self.stored: dict[str, list[Any]] = {key: [] for key in KEYS}

    def store(self, channel: str, data: Any, message_id: str | None = None) -> int:
        room = self.room(channel)
        # Ids are new in each log.
        message_id = message_id or f"{room.epoch}-{len(room.log) + 1}"
        offset = super().store(channel, data, message_id)
        self.truth[channel, room.epoch, offset] = data
        return offset

    def answer_rpc(self, peer: Any, fields: Any) -> dict[str, Any]:
        if fields["method"] != "send":
            return {"rpc": {"data": 7}}
        reply = super().answer_rpc(peer, fields)
        if not reply["rpc"]["data"]["duplicate"]:
            channel = fields["data"]["channel"]
            self.stored[channel].append(fields["data"]["data"])
            self.tell(channel, self.room(channel).log[-1])
        return reply


class Story(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner(loop_factory=VirtualClock().new_event_loop)
        self.reported: list[Any] = []
        self.runner.get_loop().set_exception_handler(
            lambda _, context: self.reported.append(context)
        )
        self.server = Server()
        self.number = 0
        self.closes_at: int | None = None
        self.is_wanted = True
        self.seen: dict[str, list[Any]] = {key: [] for key in KEYS}
        self.anew = dict.fromkeys(KEYS, 0)
        self.receipts: dict[str, list[Any]] = {key: [] for key in KEYS}
        self.connection = connect(self.server, ping_interval=None)
        self.rooms: dict[str, Any] = {}
        self.streams: dict[str, Any] = {}
        self.do(self.connection.connect, *(lambda k=k: self.subscribe(k) for k in KEYS))

    def do(self, *steps: Any) -> None:
        """Make some steps in one turn of the loop, then wait until all is quiet."""

        async def run() -> None:
            for step in steps:
                step()
            await turns(40)
            await self.read()

        self.runner.run(run())

    def subscribe(self, key: str) -> None:
        """Begin to read a room where its last reader ended."""
        messages = [each for each in self.seen[key] if each.kind != "gap"]
        since = messages[-1].publication.position if messages else Position(0)
        room = self.rooms[key] = self.connection.subscribe(key, since=since)
        room.messages.on_append(self.came)
        self.streams[key] = room.stream(limit=10_000)

    def came(self, message: Any) -> None:
        """Close the connection at the message that was chosen for it."""
        if self.closes_at is not None:
            self.closes_at -= 1
            if self.closes_at <= 0:
                self.closes_at, self.is_wanted = None, False
                self.connection.close()

    async def read(self) -> None:
        for key, stream in self.streams.items():
            while stream.lag:
                self.seen[key].append(await anext(stream))

    def next(self, count: int) -> list[int]:
        self.number += count
        return [*range(self.number - count + 1, self.number + 1)]

    # The server

    @rule(key=keys, count=st.integers(1, 4))
    def say(self, key: str, count: int) -> None:
        numbers = self.next(count)
        self.do(lambda: self.server.say(key, *numbers))

    @rule(first=keys, second=keys, asks=st.booleans())
    def say_in_one_text(self, first: str, second: str, *, asks: bool) -> None:
        """Messages of two rooms, and an answer before them."""

        def say() -> None:
            if not self.server.open_connections:
                return
            peer = self.server.open_connections[-1]
            lines = []
            for key in (first, second, first):
                self.server.store(key, self.next(1)[0])
                if key in self.server.inside[peer]:
                    pub = self.server.room(key).log[-1]
                    lines.append({"push": {"channel": key, "pub": pub}})
            if asks and (asked := [each for each in self.server.asked if "rpc" in each]):
                lines.insert(0, {"id": asked[-1]["id"], "rpc": {"data": {"offset": 1}}})
            if lines:
                peer.send("\n".join(map(json.dumps, lines)))

        self.do(say)

    @rule(key=keys)
    def leave_one_out(self, key: str) -> None:
        self.do(lambda: self.server.store(key, self.next(1)[0]))

    @rule(key=keys)
    def repeat(self, key: str) -> None:
        log = self.server.room(key).log
        self.do(lambda: log and self.server.tell(key, log[-1]))

    @rule(key=keys)
    def end(self, key: str) -> None:
        self.do(lambda: self.server.end(key, 2500, "insufficient state"))

    @rule(key=keys)
    def trim(self, key: str) -> None:
        room = self.server.room(key)
        room.first = len(room.log) + 1
        self.server.losses[key] += 1

    @rule(key=keys, count=st.integers(0, 3))
    def wipe(self, key: str, count: int) -> None:
        def wipe() -> None:
            self.server.losses[key] += 1
            room = self.server.room(key)
            room.epoch, room.log, room.first = room.epoch + "+", [], 1
            self.server.end(key, 2500, "another log")
            self.server.say(key, *self.next(count))

        self.do(wipe)

    @rule()
    def drop(self) -> None:
        self.do(self.server.drop)

    @rule(seconds=st.sampled_from([0.5, 1.5, 7.0]))
    def wait(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))
        self.do()

    # The program

    @rule(key=keys, count=st.integers(1, 3))
    def send(self, key: str, count: int) -> None:
        def send() -> None:
            for number in self.next(count):
                self.receipts[key].append((number, self.rooms[key].send(number)))

        if self.is_wanted:
            self.do(send)

    @rule(key=keys, count=st.integers(1, 3), stored=st.integers(0, 3))
    def lose_acknowledgements(self, key: str, count: int, stored: int) -> None:
        """The connection is lost before the server has answered; some messages are stored."""
        if not self.is_wanted or not self.server.open_connections:
            return
        server, before = self.server, len(self.server.asked)
        server.is_mute = True
        self.send(key, count)
        for asked in server.asked[before:][:stored]:
            if "rpc" in asked:
                server.answer_rpc(server.open_connections[-1], asked["rpc"])
        server.is_mute = False
        self.do(server.drop)

    @rule(in_=st.integers(1, 5))
    def close_at_a_message(self, in_: int) -> None:
        self.closes_at = in_

    @rule(key=keys, count=st.integers(2, 5))
    def lose_it_while_much_comes(self, key: str, count: int) -> None:
        numbers = self.next(count)
        self.do(lambda: self.server.say(key, *numbers), self.server.drop)

    @rule()
    def close(self) -> None:
        self.is_wanted = False
        self.do(self.connection.close)

    @rule()
    def come_back(self) -> None:
        """Connect again; streams ended with the connection."""
        if self.connection.phase.value != "closed":
            return
        self.is_wanted = True

        def again() -> None:
            self.connection.connect()
            for key, room in self.rooms.items():
                self.streams[key] = room.stream(limit=10_000)

        self.do(again)

    @rule(key=keys)
    def begin_anew(self, key: str) -> None:
        """Leave a room, and read on from the last message."""
        if self.is_wanted:
            self.anew[key] += 1
            self.do(self.rooms[key].unsubscribe)
            self.do(lambda: self.subscribe(key))

    # What holds

    @invariant()
    def each_reader_has_its_log_or_is_told(self) -> None:
        if not hasattr(self, "seen"):
            return
        for key, items in self.seen.items():
            self.check(key, items)

    def check(self, key: str, items: list[Any]) -> None:
        epoch, offset, may_jump = None, 0, False
        gaps = 0
        for item in items:
            if item.kind == "gap":
                gaps += 1
                may_jump = True
                continue
            place = item.publication
            assert self.server.truth[key, place.epoch, place.offset] == item.data
            if epoch in {None, place.epoch}:
                follows = place.offset > offset if may_jump else place.offset == offset + 1
                assert follows, f"{offset} and then {place.offset}"
            else:
                assert may_jump, "another log, and no gap"
            epoch, offset, may_jump = place.epoch, place.offset, False
        losses = self.server.losses[key]
        # A handle that begins anew from a place that is lost is told of it, each time.
        assert gaps <= 2 * losses + (self.anew[key] if losses else 0), "nothing is missing there"

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        self.closes_at = None
        self.wait(30)
        self.come_back()
        self.wait(30)
        for key in KEYS:
            self.say(key, 1)
        self.wait(30)
        for key in KEYS:
            room = self.server.room(key)
            assert self.rooms[key].state.value.phase == "subscribed"
            last = self.seen[key][-1]
            assert (last.data, last.publication.offset) == (self.number_of(key), len(room.log))
            self.check(key, self.seen[key])
            self.check_receipts(key)
        for room in self.rooms.values():
            room.unsubscribe()
        self.runner.run(self.connection.aclose())
        self.runner.close()
        assert not self.reported, self.reported

    def number_of(self, key: str) -> Any:
        return self.server.room(key).log[-1]["data"]

    def check_receipts(self, key: str) -> None:
        """What was acknowledged was stored once; the messages of a room keep their order."""
        stored = self.server.stored[key]
        assert len(stored) == len(set(stored)) or self.server.losses[key], "stored twice"
        sent = [number for number, _ in self.receipts[key]]
        if not self.server.losses[key]:
            assert stored == [number for number in sent if number in stored]
        for number, receipt in self.receipts[key]:
            assert receipt.state in {"acknowledged", "unknown", "dropped"}
            assert receipt.state != "acknowledged" or number in stored


@pytest.mark.contract("SE0", "SE1", "SE2", "SE3", "CN5")
def test_whatever_happens_each_room_is_told_once_in_order_or_with_a_gap():
    run_state_machine_as_test(
        Story, settings=settings(deadline=None, stateful_step_count=40, max_examples=60)
    )
