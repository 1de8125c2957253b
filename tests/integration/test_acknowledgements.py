"""A protocol of a user's own whose servers acknowledge messages, room by room."""

from __future__ import annotations

import asyncio
import json

import pytest

from sockstore import (
    DeliveryError,
    InvalidOption,
    Outbox,
    Position,
    Reconnect,
    WebSocketStore,
)
from sockstore.protocols import (
    Ask,
    BaseProtocol,
    Conversation,
    Heartbeat,
    Opened,
    Received,
    Refused,
    SentMessages,
    Settled,
    Subscribed,
    Topics,
    Write,
)
from sockstore.testing import FakeServer

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("PR2", "OB2")]

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


class Talk(Conversation):
    """Rooms that are entered before anything is sent to them."""

    def __init__(self, sent):
        super().__init__()
        self.sent, self.rooms, self.entered, self.asked = sent, {}, set(), {}

    def open(self, given, now):
        return [Opened()]

    def subscribe(self, subscriptions, now):
        outputs = []
        for each in subscriptions:
            self.rooms[each.key] = each
            if each.token is not None:
                outputs.append(Ask("token", each))
            else:
                outputs.append(Write(json.dumps({"enter": each.key})))
        return outputs

    def told(self, question, value, now):
        return [Write(json.dumps({"enter": question.subscription.key, "token": value}))]

    def hear(self, frame, now):
        said = json.loads(frame)
        if "entered" in said:
            room = self.rooms[said["entered"]]
            self.entered.add(room)
            return [Subscribed(room, recovered=True)]
        entry = self.asked.get(said.get("stored") or said.get("later") or said.get("refused"))
        if "stored" in said:
            return [Settled(entry, "acknowledged", offset=said["offset"])]
        if "later" in said:
            self.sent.send_again(entry)
            self.deadline = now + 0.5
            return []
        if "refused" in said:
            return [Settled(entry, "refused", "the server said: never")]
        return [Received(said)]

    def tick(self, now):
        self.deadline = None
        return []

    def may_send(self, subscription, now):
        if subscription is None:
            return self.deadline is None
        return subscription in self.entered

    def send(self, data, subscription, entry):
        what = json.loads(data)
        self.asked[what] = entry
        return [json.dumps({"to": subscription.key, "id": entry.id, "say": what})]


class Rooms(BaseProtocol):
    has_subscriptions = addresses_subscriptions = carries_json = acknowledges_messages = True
    has_messages = False
    subscribes_with = frozenset({"token", "since"})

    def __init__(self, *, repeats=True):
        self.repeats = repeats

    def make_memory(self):
        return SentMessages() if self.repeats else None

    def sent_messages(self, memory):
        return memory

    def converse(self, memory, attempt):
        return Talk(memory)


def connected(server, protocol=None, **options):
    return WebSocketStore(
        "ws://fake",
        transport=server,
        protocol=protocol or Rooms(),
        reconnect=EVERY_SECOND,
        **options,
    )


async def heard(server, count=1):
    """Return what the newest connection of the server has said, once it is so much."""
    while not server.open_connections or len(server.open_connections[-1].received) < count:
        await asyncio.sleep(0.01)
    return [json.loads(each) for each in server.open_connections[-1].received]


def say(server, **what):
    server.open_connections[-1].send(json.dumps(what))


async def entered(server, *rooms):
    await heard(server, len(rooms))
    for room in rooms:
        say(server, entered=room)
    await asyncio.sleep(0)


async def test_a_receipt_waits_for_the_acknowledgement():
    server = FakeServer()
    async with connected(server) as connection, connection.subscribe("a") as room:
        await entered(server, "a")
        await room.ready()
        receipt = room.send("hello")
        assert receipt.state == "sent"
        waiting = asyncio.ensure_future(receipt)
        await asyncio.sleep(1)
        assert not waiting.done()
        say(server, stored="hello", offset=7)
        assert (await waiting).state == "acknowledged"
        assert receipt.offset == 7
        assert receipt.id == (await heard(server, 2))[1]["id"]


async def test_what_was_not_acknowledged_is_sent_again_before_what_is_new():
    server = FakeServer()
    async with connected(server) as connection, connection.subscribe("a") as room:
        await entered(server, "a")
        await room.ready()
        receipts = [room.send("one"), room.send("two")]
        say(server, stored="one", offset=1)
        await receipts[0]
        first = await heard(server, 3)
        server.open_connections[-1].drop()
        await connection.connected.wait_for(lambda is_so: not is_so)
        receipts.append(room.send("three"))
        await entered(server, "a")
        again = await heard(server, 3)
        assert [each["say"] for each in again[1:]] == ["two", "three"]
        assert again[1]["id"] == first[2]["id"]
        for number, what in enumerate(("two", "three"), 2):
            say(server, stored=what, offset=number)
        assert [(await each).offset for each in receipts] == [1, 2, 3]


async def test_without_a_memory_of_them_they_are_unknown_after_a_loss():
    server = FakeServer()
    protocol = Rooms(repeats=False)
    async with connected(server, protocol) as connection, connection.subscribe("a") as room:
        await entered(server, "a")
        await room.ready()
        receipt = room.send("one")
        await heard(server, 2)
        server.open_connections[-1].drop()
        with pytest.raises(DeliveryError, match="lost before the server answered"):
            await receipt
        assert receipt.state == "unknown"
        assert receipt.id is None
        with pytest.raises(TypeError, match="no ids"):
            room.send("two", id="mine")


async def test_a_room_that_is_not_entered_holds_up_no_other_one():
    server = FakeServer()
    async with (
        connected(server) as connection,
        connection.subscribe("a") as slow,
        connection.subscribe("b") as quick,
    ):
        await heard(server, 2)
        slow.send("1")
        slow.send("2")
        quick.send("3")
        say(server, entered="b")
        assert (await heard(server, 3))[2]["say"] == "3"
        receipt = quick.send("4")  # it does not wait behind those of the other room
        assert receipt.state == "sent"
        say(server, entered="a")
        assert [each["say"] for each in (await heard(server, 5))[2:]] == ["3", "4", "1", "2"]


async def test_a_key_belongs_to_its_room():
    server = FakeServer()
    async with (
        connected(server) as connection,
        connection.subscribe("a") as one,
        connection.subscribe("b") as other,
    ):
        receipts = [one.send("1", key="k"), other.send("2", key="k"), one.send("3", key="k")]
        assert [each.state for each in receipts] == ["dropped", "queued", "queued"]


async def test_a_refused_message_is_refused_with_the_servers_words():
    server = FakeServer()
    async with connected(server) as connection, connection.subscribe("a") as room:
        await entered(server, "a")
        await room.ready()
        receipt = room.send("one")
        await heard(server, 2)
        say(server, refused="one")
        with pytest.raises(DeliveryError, match="never"):
            await receipt
        assert not receipt


async def test_what_the_server_cannot_take_now_is_sent_again_on_the_same_connection():
    server = FakeServer()
    async with connected(server) as connection, connection.subscribe("a") as room:
        await entered(server, "a")
        await room.ready()
        receipt = room.send("one")
        await heard(server, 2)
        say(server, later="one")
        first, again = (await heard(server, 3))[1:]
        assert first == again
        say(server, stored="one", offset=1)
        await receipt
        assert len(server.open_connections) == 1


async def test_asend_waits_for_room_and_its_receipt_for_the_server():
    server = FakeServer()
    async with (
        connected(server, outbox=Outbox(limit=1)) as connection,
        connection.subscribe("a") as room,
    ):
        first = room.send("one")
        waiting = asyncio.ensure_future(room.asend("two"))
        await asyncio.sleep(1)
        assert not waiting.done()
        await entered(server, "a")
        second = await waiting
        await heard(server, 3)
        say(server, stored="one", offset=1)
        say(server, stored="two", offset=2)
        assert [(await each).offset for each in (first, second)] == [1, 2]


async def test_a_connection_of_rooms_sends_nothing_by_itself():
    async with connected(FakeServer()) as connection:
        with pytest.raises(RuntimeError, match=r"use connection.subscribe\(key\).send\(data\)"):
            connection.send("hello")
        with pytest.raises(RuntimeError, match=r"use connection.subscribe\(key\).send\(data\)"):
            await connection.asend("hello")


@pytest.mark.contract("CN22", "OP1")
async def test_an_opening_of_rooms_has_neither_messages_nor_a_heartbeat():
    refused = []

    async def on_open(opening):
        for action in (opening.receive(), nothing(lambda: opening.heartbeat(Heartbeat("x")))):
            with pytest.raises(RuntimeError, match="all of its messages belong to sub") as error:
                await action
            refused.append(error)

    async def nothing(fn):
        fn()

    async with connected(FakeServer(), on_open=on_open) as connection:
        await connection.ready()
    assert len(refused) == 2


@pytest.mark.contract("PR2")
async def test_a_room_that_is_refused_for_a_while_keeps_its_messages():
    class Late(Talk):
        def hear(self, frame, now):
            said = json.loads(frame)
            if "later_room" in said:
                return [Refused(self.rooms.pop(said["later_room"]), "later", is_temporary=True)]
            return super().hear(frame, now)

        def may_send(self, subscription, now):
            # It knows those only that it was asked for, and not refused.
            is_known = subscription in self.rooms.values()
            return super().may_send(subscription, now) if is_known else True

    class LateRooms(Rooms):
        def converse(self, memory, attempt):
            return Late(memory)

    server = FakeServer()
    async with connected(server, LateRooms()) as connection, connection.subscribe("a") as room:
        await heard(server)
        say(server, later_room="a")
        await room.state.wait_for(lambda state: state.error is not None)
        room.send("one")
        assert [each.get("enter") for each in await heard(server, 2)] == ["a", "a"]
        say(server, entered="a")
        assert (await heard(server, 3))[2]["say"] == "one"


@pytest.mark.contract("CN22")
async def test_a_token_and_a_position_are_for_servers_that_take_them():
    by_type = Topics(key=lambda data: data.get("type"))
    async with connected(FakeServer(), by_type) as connection:
        for extras in ({"token": "secret"}, {"since": Position(1)}):
            with pytest.raises(InvalidOption, match="Centrifuge") as refused:
                connection.subscribe("a", **extras)
            assert "secret" not in str(refused.value)


async def test_a_token_that_cannot_be_made_concerns_its_room_only(reported):
    made = []

    async def token(question):
        made.append(question.refresh)
        if len(made) == 1:
            raise OSError("no keys")
        return "t2"

    server = FakeServer()
    async with (
        connected(server) as connection,
        connection.subscribe("a", token=token) as room,
        connection.subscribe("b") as other,
    ):
        await entered(server, "b")
        await other.ready()
        state = await room.state.wait_for(lambda state: state.error is not None)
        assert state.phase == "waiting"
        assert "no keys" in state.error
        assert (await heard(server, 2))[1] == {"enter": "a", "token": "t2"}
        say(server, entered="a")
        await room.ready()
        assert len(server.handshakes) == 1
    assert "no keys" in str(reported[0]["exception"])


async def test_handles_of_a_room_share_its_token_and_position():
    async with connected(FakeServer()) as connection:
        first = connection.subscribe("a", token="t", since=Position(3))
        second = connection.subscribe("a")
        for option, extras in (("token", {"token": "u"}), ("since", {"since": Position(4)})):
            with pytest.raises(InvalidOption, match=option):
                connection.subscribe("a", **extras)
        first.unsubscribe()
        second.unsubscribe()


async def test_a_protocol_that_cannot_say_whether_it_may_send_is_reported(reported):
    class Broken(Talk):
        def may_send(self, subscription, now):
            raise LookupError("a bug")

    class Breaking(Rooms):
        def converse(self, memory, attempt):
            return Broken(memory)

    server = FakeServer()
    async with connected(server, Breaking()) as connection, connection.subscribe("a") as room:
        await entered(server, "a")
        await room.ready()
        room.send("one")
        assert (await heard(server, 2))[1]["say"] == "one"
    assert all("may_send" in each["message"] for each in reported)
    assert reported


async def test_a_protocol_without_history_and_members_says_so():
    async with connected(FakeServer()) as connection, connection.subscribe("a") as room:
        assert room.position is None
        with pytest.raises(RuntimeError, match=r"use protocol=Centrifuge\(\)"):
            await room.history()
        with pytest.raises(RuntimeError, match=r"use protocol=Centrifuge\(\)"):
            _ = room.members
