"""Messages to rooms: stored once, acknowledged, and sent again in order if that is not known."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from room_server import RoomServer, back_again, connect, data_of, heard, lost
from sockstore import DeliveryError, Outbox

pytestmark = pytest.mark.virtual_clock


def stored(server, channel="room"):
    return [each["data"] for each in server.room(channel).log]


@pytest.mark.contract("SE2", "OB3")
async def test_a_receipt_is_acknowledged_when_the_message_is_stored():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        queued = room.send({"n": 1})
        assert queued.state == "queued"
        await queued
        assert (queued.state, queued.offset) == ("acknowledged", 1)
        server.is_mute = True
        receipt = room.send("text")
        assert receipt.state == "sent"
        waiting = asyncio.ensure_future(connection.drain())
        await asyncio.sleep(5)
        assert not waiting.done()
        server.is_mute = False
        server.drop()
        await waiting
        assert (receipt.state, receipt.offset) == ("acknowledged", 2)
        assert stored(server) == [{"n": 1}, "text"]


@pytest.mark.contract("SE2", "OB3")
async def test_what_was_stored_and_not_acknowledged_is_sent_again_and_stored_once():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.is_mute = True
        receipts = [room.send(number) for number in range(3)]
        await heard(server, 5)
        for fields in server.commands("rpc")[:2]:
            server.answer_rpc(server.connection, fields)  # stored; the answer is lost
        server.is_mute = False
        server.drop()
        await lost(connection)
        later = room.send(3)
        assert [r.state for r in (*receipts, later)] == ["sent", "sent", "sent", "queued"]
        await later
        assert stored(server) == [0, 1, 2, 3]
        assert [r.offset for r in (*receipts, later)] == [1, 2, 3, 4]
        ids = [fields["data"]["id"] for fields in server.commands("rpc")]
        assert ids[:3] == ids[3:6]
        assert len(set(ids)) == 4


@pytest.mark.contract("SE2", "SE0", "OB3")
async def test_messages_of_many_rooms_are_sent_again_each_room_in_its_order():
    server = RoomServer()
    names = [f"room {number}" for number in range(10)]
    async with connect(server) as connection:
        rooms = [connection.subscribe(name) for name in names]
        for room in rooms:
            await room.ready()
        server.is_mute = True
        receipts = [room.send((room.key, n)) for n in range(8) for room in rooms]
        await heard(server, 2 + len(receipts))
        for fields in server.commands("rpc")[::3]:  # some were stored, and some were not
            server.answer_rpc(server.connection, fields)
        server.is_mute = False
        before = stored(server, names[0])
        server.drop()
        await lost(connection)
        receipts += [room.send((room.key, n)) for n in range(8, 10) for room in rooms]
        for receipt in receipts:
            await receipt
        again = server.sent[80:]
        for name in names:
            mine = [n for key, n in again if key == name]
            assert mine == [*range(10)], "all of its messages again, in order, before new ones"
            assert sorted(n for _, n in stored(server, name)) == [*range(10)]
        assert before
        for room in rooms:
            room.unsubscribe()


@pytest.mark.contract("SE2", "OB3")
async def test_what_is_older_than_the_server_remembers_is_never_sent_again():
    server = RoomServer(limits={"remembers": 60})
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.is_mute = True
        receipt = room.send(1)
        server.go_down()
        await asyncio.sleep(49)
        assert receipt.state == "sent"
        await asyncio.sleep(2)
        assert receipt.state == "unknown"
        with pytest.raises(DeliveryError, match="it is unknown whether it is stored"):
            await receipt
        server.is_mute = False
        server.come_up()
        await connection.ready(60)
        await room.send(2)
        assert stored(server) == [2]


@pytest.mark.contract("SE2", "OB2", "OB3")
async def test_closing_tells_what_nobody_knows_from_what_was_never_sent():
    server = RoomServer()
    connection = connect(server)
    connection.connect()
    room = connection.subscribe("room")
    await room.ready()
    server.is_mute = True
    under_way = room.send(1)
    server.go_down()
    await lost(connection)
    queued = room.send(2)
    await connection.aclose()
    room.unsubscribe()
    assert (under_way.state, queued.state) == ("unknown", "dropped")
    assert "before the server answered" in under_way.why


@pytest.mark.contract("SE2", "OB2")
async def test_a_ttl_holds_for_what_would_be_sent_again_too():
    server = RoomServer()
    async with (
        connect(server, outbox=Outbox(ttl=5)) as connection,
        connection.subscribe("room") as room,
    ):
        await room.ready()
        server.is_mute = True
        receipt = room.send(1)
        await asyncio.sleep(1)
        assert server.sent == [1]
        server.go_down()
        await asyncio.sleep(3.9)
        assert receipt.state == "sent"
        await asyncio.sleep(0.2)
        assert receipt.state == "unknown"
        server.is_mute = False
        server.come_up()
        await connection.ready(60)
        await room.send(2)
        assert server.sent == [1, 2]


@pytest.mark.contract("SE2")
async def test_a_message_the_server_will_not_take_is_refused_and_the_next_one_goes():
    server = RoomServer()
    refusal = {"error": {"code": 103, "message": "not you"}}
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.refuses = lambda name, fields: refusal if name == "rpc" else None
        receipt = room.send(1)
        with pytest.raises(DeliveryError, match="not you"):
            await receipt
        assert receipt.state == "refused"
        server.refuses = lambda name, fields: None
        await room.send(2)


@pytest.mark.contract("SE2", "RC1")
async def test_what_cannot_be_stored_now_is_sent_again_in_order_on_the_same_connection():
    server = RoomServer()
    full = {"error": {"code": 100, "message": "the disk is full", "temporary": True}}
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.refuses = lambda name, fields: full if name == "rpc" else None
        receipts = [room.send(number) for number in range(3)]
        await asyncio.sleep(60)
        assert [receipt.state for receipt in receipts] == ["sent"] * 3
        assert len(server.sent) < 40, "each pause is longer than the one before"
        server.refuses = lambda name, fields: None
        await receipts[-1]
        assert stored(server) == [0, 1, 2]
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE2")
async def test_a_message_larger_than_the_server_takes_is_refused_here():
    server = RoomServer(limits={"max_message_bytes": 300})
    async with connect(server) as connection, connection.subscribe("room") as room:
        queued, small = room.send("x" * 300), room.send("x")
        await small
        assert queued.state == "refused"
        assert room.send("ü" * 200).state == "refused"
        assert "larger than the server takes" in queued.why


@pytest.mark.contract("SE2", "SE0")
async def test_sending_keeps_to_the_pace_that_the_server_announces_for_all_rooms_together():
    server = RoomServer(limits={"rate": 10, "burst": 20})
    loop = asyncio.get_running_loop()
    async with (
        connect(server) as connection,
        connection.subscribe("a") as a,
        connection.subscribe("b") as b,
    ):
        await a.ready()
        await b.ready()
        began = loop.time()
        receipts = [room.send(number) for number in range(50) for room in (a, b)]
        for receipt in receipts:
            await receipt
        assert stored(server, "a") == stored(server, "b") == [*range(50)]
        took = loop.time() - began  # (100 - half of the burst) / 0.9 of the rate, or a little more
        assert 9.5 < took < 11


@pytest.mark.contract("SE2")
async def test_a_bounded_number_is_under_way():
    server = RoomServer()
    async with (
        connect(server) as connection,
        connection.subscribe("a") as a,
        connection.subscribe("b") as b,
    ):
        await a.ready()
        await b.ready()
        server.is_mute = True
        receipts = [room.send(number) for number in range(100) for room in (a, b)]
        assert [r.state for r in receipts].count("sent") == 128
        server.is_mute = False
        server.drop()
        for receipt in receipts:
            await receipt
        assert stored(server, "a") == stored(server, "b") == [*range(100)]


@pytest.mark.contract("SE0", "SE2")
async def test_against_a_stock_centrifugo_it_publishes_at_least_once():
    server = RoomServer()
    server.is_stock = True
    async with connect(server) as connection, connection.subscribe("room") as room:
        receipt = await room.send({"n": 1})
        assert server.commands("publish") == [{"channel": "room", "data": {"n": 1}}]
        assert "at least once" in receipt.why
        assert receipt.offset is None
        server.is_mute = True
        again = room.send({"n": 2})
        await heard(server, 4)
        server.is_mute = False
        server.drop()
        await again
        assert server.sent == [{"n": 1}, {"n": 2}, {"n": 2}]


class Price(msgspec.Struct):
    name: str
    value: float


@pytest.mark.contract("SE0", "MS5", "OB1")
async def test_a_codec_reads_and_writes_the_data():
    server, errors = RoomServer(), []
    told = {"on_error": lambda error, frame: errors.append(frame)}
    async with (
        connect(server, codec=Price, **told) as connection,
        connection.subscribe("room") as room,
    ):
        stream = room.stream()
        await room.send(Price("A", 1.5))
        server.tell("room", server.room().log[0])
        assert await data_of(stream, 1) == [Price("A", 1.5)]
        server.say("room", {"no": "price"})
        assert await data_of(stream, 1) == [{"no": "price"}]
        assert len(errors) == 1
        with pytest.raises(TypeError, match="bytes"):
            room.send(b"bytes")
    pretty = (json.loads, lambda data: json.dumps(data, indent=1))
    async with (
        connect(RoomServer(), codec=pretty) as connection,
        connection.subscribe("room") as room,
    ):
        await room.send({"a": [1]})
    async with (
        connect(RoomServer(), codec=(str, ",".join)) as connection,
        connection.subscribe("room") as room,
    ):
        with pytest.raises(TypeError, match="did not write JSON"):
            room.send(["a", "b"])


# Ids of the sender's own, urgent messages


@pytest.mark.contract("OB6", "OB8", "SE2")
async def test_a_message_has_its_id_from_the_beginning_and_keeps_the_senders_own():
    server = RoomServer()
    connection = connect(server)
    room = connection.subscribe("room")
    own, other = room.send("mine", id="order-7"), room.send("other")
    assert own.id == "order-7"
    assert other.id
    assert other.id != own.id
    ids = own.id, other.id
    async with connection:
        await other
        assert (own.id, other.id) == ids
        assert [each["data"]["id"] for each in server.commands("rpc")] == [*ids]
        room.unsubscribe()


@pytest.mark.contract("OB6", "SE2")
async def test_a_program_that_was_killed_sends_again_and_it_is_stored_once():
    server = RoomServer()
    for _ in range(2):
        async with connect(server) as connection, connection.subscribe("room") as room:
            receipt = await room.send("once", id="order-7")
            assert receipt.state == "acknowledged"
    assert stored(server) == ["once"]


@pytest.mark.contract("OB6", "SE2")
async def test_an_id_that_is_on_its_way_is_refused_a_second_time():
    server = RoomServer()
    connection = connect(server)
    room = connection.subscribe("room")
    first, second = room.send(1, id="x"), room.send(2, id="x")
    assert (first.state, second.state) == ("queued", "refused")
    assert second.why == "a message with this id is on its way already"
    async with connection:
        await first
        assert (await room.send(1, id="x")).state == "acknowledged"
        room.unsubscribe()


@pytest.mark.contract("OB6", "OB8", "SE2")
async def test_urgent_never_overtakes_what_is_sent_again_which_cannot_be_taken_back():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.is_mute = True
        again = [room.send(number) for number in range(2)]
        await asyncio.sleep(1)
        server.drop()
        await lost(connection)
        room.send("usual")
        urgent = room.send("urgent", urgent=True)
        assert [receipt.cancel() for receipt in again] == [False, False]
        server.is_mute = False
        await connection.ready()
        await connection.drain()
        assert urgent.state == "acknowledged"
        assert stored(server) == [0, 1, "urgent", "usual"]


@pytest.mark.contract("OB8", "SE0")
async def test_what_is_taken_back_is_what_was_sent():
    connection = connect(RoomServer())
    async with connection.subscribe("room") as room:
        for data in ({"n": 1}, "text", None):
            room.send(data)
        assert connection.clear_outbox() == [{"n": 1}, "text", None]


@pytest.mark.contract("SE2", "SU3")
async def test_what_was_sent_to_a_room_that_was_left_is_still_acknowledged():
    server = RoomServer()
    async with connect(server) as connection:
        room = connection.subscribe("room")
        await room.ready()
        server.is_mute = True
        receipt = room.send(1)
        room.unsubscribe()
        assert room.send(2).state == "refused"
        await asyncio.sleep(1)
        server.is_mute = False
        server.drop()
        await lost(connection)
        await receipt
        assert stored(server) == [1]


@pytest.mark.contract("SE2")
async def test_history_and_methods_are_asked_on_the_same_connection():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.refuses = lambda name, fields: (
            {"rpc": {"data": {"price": 3}}} if name == "rpc" else None
        )
        assert await connection.request({"method": "price", "data": {"of": "tea"}}) == {"price": 3}
        server.drop()
        await back_again(connection, room)
        assert len(server.commands("rpc")) == 1
