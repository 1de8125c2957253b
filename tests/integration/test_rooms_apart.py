"""What goes wrong in one room concerns that room: twenty-nine others do not notice it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from room_server import RoomServer, back_again, connect, data_of, heard
from sockstore import DeliveryError, Gap, Lagged, Position, SubscriptionRefused

pytestmark = pytest.mark.virtual_clock

NAMES = [f"room {number}" for number in range(29)]


class Others:
    """Twenty-nine rooms that nothing happens to; `states` are what each of them ever was.

    Args:
        rooms: Their subscriptions.
    """

    def __init__(self, rooms) -> None:
        self.rooms = rooms
        self.streams = [room.stream() for room in rooms]
        self.states: list[list[Any]] = []
        self.rounds = 0

    async def ready(self) -> None:
        """Wait until all are subscribed, and write down their states from then on."""
        for room in self.rooms:
            await room.ready(60)
        for room in self.rooms:
            seen: list[Any] = []
            self.states.append(seen)
            room.state.subscribe(seen.append)

    async def check(self, server: RoomServer) -> None:
        """Each tells every message once, takes messages, and was subscribed to all the time."""
        self.rounds += 1
        said = [f"{self.rounds}: {number}" for number in range(3)]
        for word in said:
            for name in NAMES:
                server.say(name, word)
        for room, stream in zip(self.rooms, self.streams, strict=True):
            assert await data_of(stream, 3) == said
            assert stream.lag == 0
            assert (await room.send("mine")).state == "acknowledged"
            server.tell(room.key, server.room(room.key).log[-1])
            assert await data_of(stream, 1) == ["mine"]
        assert [[each.phase for each in seen] for seen in self.states] == [["subscribed"]] * 29
        assert len(server.handshakes) == 1
        for name in NAMES:
            assert len(server.commands("subscribe", name)) == 1


@asynccontextmanager
async def others_of(connection) -> AsyncIterator[Others]:
    """Subscribe to twenty-nine rooms until the block ends."""
    others = Others([connection.subscribe(name) for name in NAMES])
    try:
        yield others
    finally:
        for room in others.rooms:
            room.unsubscribe()


def refusing(error: dict[str, Any], command: str = "subscribe") -> Callable[[RoomServer], None]:
    """Return what lets a server refuse the commands of that name in the room "bad"."""

    def prepare(server: RoomServer) -> None:
        def refuses(name, fields):
            inner = fields.get("data")
            channel = fields.get("channel") or (inner or {}).get("channel")
            return {"error": error} if (name, channel) == (command, "bad") else None

        server.refuses = refuses

    return prepare


def malformed(server: RoomServer) -> None:
    """Let a server answer nonsense to the subscription of the room "bad"."""
    nonsense = {"subscribe": {"publications": [{}]}}
    server.refuses = lambda name, fields: (
        nonsense if name == "subscribe" and fields["channel"] == "bad" else None
    )


def hole(server: RoomServer) -> None:
    server.store("bad", 1)
    server.say("bad", 2)


def wiped(server: RoomServer) -> None:
    """Give the room another log while somebody reads it."""
    server.say("bad", 1)
    server.room("bad").epoch, server.room("bad").log = "e2", []
    server.store("bad", "new")
    server.push("bad", pub={**server.room("bad").log[0], "epoch": "e2"})


def trimmed(server: RoomServer) -> None:
    for number in range(9):
        server.store("bad", number)
    server.room("bad").first = 5
    server.end("bad", 2500, "insufficient state")


def unreadable(server: RoomServer) -> None:
    server.store("bad", 0)
    server.connection.send('{"push":{"channel":"bad","pub":{"data":1e400,"offset":1}}}')


def flooded(server: RoomServer) -> None:
    server.say("bad", *range(500))


async def no_token(question) -> str:
    raise OSError("no keys")


def old_token(question) -> str:
    return "t"


async def nothing_yet() -> None:
    await asyncio.sleep(1e6)


def broken_state() -> None:
    raise OSError("no state")


@dataclass
class Trouble:
    """What goes wrong in the room "bad", and what is shown of it.

    Args:
        phase: The phase of the room in the end; "again" for one that is asked for once more.
        prepare: Called with the server before the room is asked for.
        happen: Called with the server once the room was answered.
        options: Given to `subscribe`.
    """

    phase: str
    prepare: Callable[[RoomServer], object] = lambda server: None
    happen: Callable[[RoomServer], object] = lambda server: None
    options: dict[str, Any] = field(default_factory=dict)


TROUBLES = {
    "refused": Trouble("refused", refusing({"code": 103, "message": "not you"})),
    "refused for now": Trouble("waiting", refusing({"code": 100, "message": "later"})),
    "too many": Trouble("refused", refusing({"code": 106, "message": "limit exceeded"})),
    "answered with nonsense": Trouble("waiting", malformed),
    "never answered": Trouble("subscribing", lambda server: server.mute_rooms.add("bad")),
    "ended for good": Trouble("ended", happen=lambda server: server.end("bad", 2000, "go")),
    "ended for now": Trouble("again", happen=lambda server: server.end("bad", 2500, "state")),
    "a hole": Trouble("again", happen=hole),
    "trimmed": Trouble("again", happen=trimmed),
    "another log": Trouble("again", happen=wiped),
    "a payload that cannot be read": Trouble("subscribed", happen=unreadable),
    "too much for its reader": Trouble("subscribed", happen=flooded, options={"limit": 16}),
    "a slow snapshot": Trouble("subscribed", happen=flooded, options={"snapshot": nothing_yet}),
    "no snapshot": Trouble("subscribed", options={"snapshot": broken_state}),
    "a token that cannot be made": Trouble("waiting", options={"token": no_token}),
    "no token": Trouble("refused", options={"token": lambda question: 7}),
    "a wrong token": Trouble(
        "refused", refusing({"code": 103, "message": "wrong"}), options={"token": old_token}
    ),
    "an old token": Trouble(
        "refused", refusing({"code": 109, "message": "expired"}), options={"token": old_token}
    ),
}


@pytest.mark.contract("SE0", "SE1", "SE3", "SU6")
@pytest.mark.parametrize("name", TROUBLES)
async def test_the_others_do_not_notice(name, reported):
    trouble, server = TROUBLES[name], RoomServer()
    trouble.prepare(server)
    async with connect(server) as connection, others_of(connection) as others:
        room = connection.subscribe("bad", **trouble.options)
        stream = room.stream()
        await others.ready()
        await asyncio.sleep(0.1)
        trouble.happen(server)
        await asyncio.sleep(5)
        await others.check(server)
        if trouble.phase == "again":
            assert room.state.value.phase == "subscribed"
            assert len(server.commands("subscribe", "bad")) == 2
            server.say("bad", "live")
            while (await data_of(stream, 1)) != ["live"]:
                pass
        else:
            assert room.state.value.phase == trouble.phase
        assert connection.error.value is None
        room.unsubscribe()
        await asyncio.sleep(5)
        await others.check(server)


@pytest.mark.contract("SE3", "MS6")
async def test_a_reader_that_lags_is_told_how_much_and_only_it():
    server = RoomServer()
    async with (
        connect(server) as connection,
        others_of(connection) as others,
        connection.subscribe("bad") as room,
    ):
        slow, quick = room.stream(limit=16), room.stream(limit=1000)
        await others.ready()
        await room.ready()
        flooded(server)
        assert await data_of(quick, 500) == [*range(500)]
        assert await data_of(slow, 16) == [*range(16)]
        with pytest.raises(Lagged, match="484"):
            await anext(slow)
        await others.check(server)


@pytest.mark.contract("SU6", "SE0")
async def test_a_refused_room_says_why_and_may_be_asked_for_again():
    server = RoomServer()
    refusing({"code": 103, "message": "not you"})(server)
    async with connect(server) as connection, others_of(connection) as others:
        room = connection.subscribe("bad")
        await others.ready()
        with pytest.raises(SubscriptionRefused, match=r"not you \(103\)"):
            await room.ready(60)
        with pytest.raises(SubscriptionRefused):
            await anext(room.stream())
        room.unsubscribe()
        server.refuses = lambda name, fields: None
        async with connection.subscribe("bad") as again:
            await again.ready(60)
            await others.check(server)


@pytest.mark.contract("SU6", "SE0")
async def test_rooms_above_the_servers_number_are_refused_one_by_one():
    server = RoomServer()
    limit = {"error": {"code": 106, "message": "limit exceeded"}}

    def refuses(name, fields):
        is_full = name == "subscribe" and len(server.inside[server.connection]) == 31
        return limit if is_full else None

    server.refuses = refuses
    async with connect(server) as connection, others_of(connection) as others:
        more = [connection.subscribe(f"more {number}") for number in range(20)]
        await others.ready()
        await heard(server, 2)
        await asyncio.sleep(1)
        phases = [room.state.value.phase for room in more]
        assert phases == ["subscribed"] * 2 + ["refused"] * 18
        await others.check(server)
        for room in more:
            room.unsubscribe()


@pytest.mark.contract("SE1", "SE3")
async def test_of_thirty_rooms_that_come_back_each_has_what_it_missed_or_its_own_gap():
    server = RoomServer()
    expected = {}
    async with connect(server) as connection:
        rooms = {number: connection.subscribe(f"room {number}") for number in range(30)}
        streams = {number: room.stream() for number, room in rooms.items()}
        for room in rooms.values():
            await room.ready()
        for number in rooms:
            server.say(f"room {number}", 1)
        await rooms[29].messages.wait_for(len)
        server.drop()
        for number in rooms:
            name = f"room {number}"
            room = server.room(name)
            match number % 5:
                case 0:
                    server.store(name, 2)
                    expected[number] = [1, 2]
                case 1:
                    room.epoch, room.log = "e2", []
                    server.store(name, "new")
                    expected[number] = [1, Gap(1, 0, "epoch"), "new"]
                case 2:
                    for missed in (2, 3, 4):
                        server.store(name, missed)
                    room.first = 3
                    expected[number] = [1, Gap(1, 2, "trimmed"), 3, 4]
                case 3:
                    room.log[0] = {**room.log[0], "tags": {"id": "another"}}
                    expected[number] = [1, Gap(1, 1, "forked")]
                case _:
                    expected[number] = [1]
        await back_again(connection, *rooms.values())
        for number, room in rooms.items():
            server.say(f"room {number}", "live")
            items = [*expected[number], "live"]
            assert await data_of(streams[number], len(items)) == items
            assert room.state.value.recovered is (number % 5 in {0, 4})
        assert len(server.handshakes) == 2
        for room in rooms.values():
            room.unsubscribe()


# Sending


@pytest.mark.contract("SE2", "SE0")
async def test_a_room_that_cannot_store_now_holds_up_itself_only():
    server = RoomServer()
    refusing({"code": 100, "message": "the disk is full", "temporary": True}, "rpc")(server)
    async with (
        connect(server) as connection,
        others_of(connection) as others,
        connection.subscribe("bad") as room,
    ):
        await others.ready()
        await room.ready()
        receipts = [room.send(number) for number in range(3)]
        await others.check(server)
        await asyncio.sleep(60)
        assert [receipt.state for receipt in receipts] == ["sent"] * 3
        await others.check(server)
        server.refuses = lambda name, fields: None
        await receipts[-1]
        assert [each["data"] for each in server.room("bad").log] == [0, 1, 2]
        await others.check(server)


@pytest.mark.contract("SE2", "SE0")
async def test_a_room_that_takes_no_messages_refuses_them_only():
    server = RoomServer()
    refusing({"code": 103, "message": "read only"}, "rpc")(server)
    async with (
        connect(server) as connection,
        others_of(connection) as others,
        connection.subscribe("bad") as room,
    ):
        await others.ready()
        with pytest.raises(DeliveryError, match="read only"):
            await room.send(1)
        await others.check(server)


@pytest.mark.contract("SE2")
async def test_what_is_sent_to_a_room_that_does_not_come_waits_and_nothing_else_does():
    server = RoomServer()
    server.mute_rooms = {"bad"}
    async with connect(server) as connection, others_of(connection) as others:
        room = connection.subscribe("bad", since=Position(0))
        receipts = [room.send(number) for number in range(3)]
        await others.ready()
        await others.check(server)
        assert [receipt.state for receipt in receipts] == ["queued"] * 3
        server.mute_rooms.clear()
        server.drop()
        await receipts[-1]
        assert [each["data"] for each in server.room("bad").log] == [0, 1, 2]
        room.unsubscribe()


@pytest.mark.contract("OB6", "SE0", "SE2")
async def test_an_id_is_that_of_its_room_only():
    server = RoomServer()
    async with (
        connect(server) as connection,
        connection.subscribe("one") as one,
        connection.subscribe("other") as other,
    ):
        receipts = [one.send(1, id="x"), other.send(2, id="x")]
        assert other.send(3, id="x").why == "a message with this id is on its way already"
        for receipt in receipts:
            await receipt
        assert [server.room(name).log[0]["data"] for name in ("one", "other")] == [1, 2]
