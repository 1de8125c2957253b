"""Sessions: nothing lost, nothing twice, and nothing silent; on the virtual clock."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from rooms import RoomServer

from sockstore import (
    ConnectionEnded,
    DeliveryError,
    Gap,
    InvalidOption,
    Outbox,
    Position,
    Reconnect,
    Session,
    WebSocketStore,
)
from sockstore.protocols import Publication

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def join(server, session=None, **options):
    options = {"reconnect": EVERY_SECOND, **options}
    session = session or Session("room")
    return WebSocketStore("ws://fake", session=session, transport=server, **options)


async def data_of(stream, count):
    return [(await anext(stream)).data for _ in range(count)]


async def back_again(connection):
    await connection.state.wait_for(lambda state: state.phase == "waiting")
    await connection.ready()


# Subscribing


@pytest.mark.contract("SE0", "SE1")
async def test_publications_are_the_messages():
    server = RoomServer()
    async with join(server) as connection:
        stream = connection.stream()
        await connection.ready()
        server.say({"content": "hello"}, "m1")
        message = await anext(stream)
        assert message.data == {"content": "hello"}
        assert message.kind == "json"
        assert message.publication == Publication(1, "e1", "m1", "Ann")
        assert connection.position == Position(1, "e1", "m1") == message.publication.position
        assert connection.messages.value[-1] == message
        server.say("plain text")
        assert (await anext(stream)).record == {"type": "text", "content": "plain text"}


@pytest.mark.contract("SE0")
async def test_without_a_session_nothing_is_said_and_there_is_no_position():
    server = RoomServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        assert server.received == []
        assert connection.position is None
        assert connection.state.value.recovered is None


@pytest.mark.contract("SE0", "CN2")
async def test_it_is_open_for_everyone_once_the_room_has_let_it_in():
    server = RoomServer()
    server.is_mute = True
    async with join(server) as connection:
        while not server.received:
            await asyncio.sleep(0)
        assert connection.phase.value == "connecting"
        server.is_mute = False
        server.hear(server.connection, server.received[0])
        await connection.ready()
        assert connection.state.value.recovered is None


@pytest.mark.contract("SE1", "CN2")
async def test_what_was_missed_comes_first_and_in_order():
    server = RoomServer()
    async with join(server) as connection:
        stream = connection.stream()
        await connection.ready()
        server.say(1)
        assert await data_of(stream, 1) == [1]
        server.drop()
        for number in (2, 3, 4):
            server.store(number)
        await back_again(connection)
        server.say(5)
        assert await data_of(stream, 4) == [2, 3, 4, 5]
        assert connection.state.value.recovered is True
        subscribe = [each["subscribe"] for each in server.asked if "subscribe" in each][-1]
        assert subscribe == {
            "channel": "room",
            "recover": True,
            "epoch": "e1",
            "offset": 1,
            "data": {"last": "id-1"},
        }


@pytest.mark.contract("SE1")
async def test_since_a_position_of_an_earlier_life():
    server = RoomServer()
    for number in (1, 2, 3):
        server.store(number)
    async with join(server, Session("room", since=Position(1, "e1", "id-1"))) as connection:
        stream = connection.stream()
        assert await data_of(stream, 2) == [2, 3]
        assert connection.state.value.recovered is True
    async with join(RoomServer(), Session("room", since=Position(0))) as connection:
        await connection.ready()
        assert connection.position == Position(0, "e1")


@pytest.mark.contract("SE1")
async def test_a_life_after_close_goes_on_where_the_last_one_ended():
    server = RoomServer()
    connection = join(server)
    connection.connect()
    await connection.ready()
    server.say(1)
    await connection.messages.wait_for(len)
    await connection.aclose()
    server.store(2)
    connection.connect()
    stream = connection.stream()
    assert await data_of(stream, 1) == [2]
    await connection.aclose()


@pytest.mark.contract("SE1")
async def test_a_publication_that_comes_twice_is_dropped_and_a_hole_is_closed():
    server = RoomServer()
    async with join(server) as connection:
        stream = connection.stream()
        await connection.ready()
        server.say(1)
        server.tell(server.log[0])
        server.store(2)
        server.say(3)  # nobody was told 2
        assert await data_of(stream, 3) == [1, 2, 3]
        assert len(server.handshakes) == 2
        assert connection.state.value.recovered is True


@pytest.mark.contract("SE1")
async def test_a_subscription_that_the_server_ends_is_made_again():
    server = RoomServer()
    async with join(server) as connection:
        stream = connection.stream()
        await connection.ready()
        ended = {"channel": "room", "unsubscribe": {"code": 2500, "reason": "position lost"}}
        server.send({"push": {**ended, "channel": "another"}})
        await asyncio.sleep(10)
        assert len(server.handshakes) == 1
        server.send({"push": ended})
        await back_again(connection)
        assert len(server.handshakes) == 2
        server.say(1)
        assert await data_of(stream, 1) == [1]
        server.send({"push": {**ended, "unsubscribe": {"code": 2000, "reason": "go"}}})
        with pytest.raises(ConnectionEnded, match="unauthorised"):
            await anext(stream)


@pytest.mark.contract("SE0")
async def test_pings_are_answered_and_what_is_unknown_is_passed_over():
    server = RoomServer()
    async with join(server) as connection:
        await connection.ready()
        server.connection.send("{}")
        server.send(
            {"push": {"channel": "room", "join": {"info": {}}}}, {"what": "ever"}, {"id": 99}
        )
        server.say(1)
        messages = await connection.messages.wait_for(len)
        assert [message.data for message in messages] == [1]
        assert server.received[-1] == "{}"
        assert len(server.handshakes) == 1


# Gaps


@pytest.mark.contract("SE3", "CN2")
@pytest.mark.parametrize(
    ("change", "gap", "then"),
    [
        ("trim", Gap(1, 2, "trimmed"), [3, 4]),
        ("wipe", Gap(1, 0, "epoch"), ["new"]),
        ("fork", Gap(1, 2, "forked"), []),
    ],
)
async def test_what_cannot_be_had_is_told(change, gap, then):
    server = RoomServer()
    async with join(server) as connection:
        stream = connection.stream()
        silent = connection.stream(gaps=False)
        await connection.ready()
        server.say(1)
        assert await data_of(stream, 1) == [1]
        server.drop()
        match change:
            case "trim":
                for number in (2, 3, 4):
                    server.store(number)
                server.first = 3
            case "wipe":
                server.epoch, server.log = "e2", []
                server.store("new")
            case "fork":
                server.log = []
                server.store("another", "another-1")
                server.store("another")
        await back_again(connection)
        message = await anext(stream)
        assert (message.kind, message.data) == ("gap", gap)
        assert connection.state.value.recovered is False
        server.say("live")
        assert await data_of(stream, len(then) + 1) == [*then, "live"]
        assert await data_of(silent, len(then) + 2) == [1, *then, "live"]
        assert [m.data for m in connection.messages.value] == [1, *then, "live"]
        server.drop()
        await back_again(connection)
        assert connection.state.value.recovered is True


@pytest.mark.contract("SE3")
def test_a_gap_knows_how_much_is_missing():
    assert Gap(5, 99, "trimmed").missed == 94
    assert Gap(5, 3, "epoch").missed is None
    assert Gap(None, None, "reconnected").missed is None


@pytest.mark.contract("SE3")
async def test_fetch_state_loads_a_snapshot_at_first_and_after_a_gap_before_it_is_open():
    server = RoomServer()
    phases = []

    async def fetch(connection):
        phases.append((connection.phase.value, connection.position))
        await asyncio.sleep(0.1)

    session = Session("room", fetch_state=fetch)
    async with join(server, session, on_open=lambda _: phases.append("on_open")) as connection:
        await connection.ready()
        server.say(1)
        await connection.messages.wait_for(len)
        server.drop()
        await back_again(connection)
        server.drop()
        server.epoch = "e2"
        await back_again(connection)
    assert phases == [
        ("connecting", Position(0, "e1")),
        "on_open",
        "on_open",
        ("connecting", Position(1, "e2", "id-1")),
        "on_open",
    ]


# Sending


@pytest.mark.contract("SE2", "OB3")
async def test_a_receipt_is_acknowledged_when_the_message_is_stored():
    server = RoomServer()
    async with join(server) as connection:
        queued = connection.send({"n": 1})
        assert queued.state == "queued"
        await queued
        assert (queued.state, queued.offset) == ("acknowledged", 1)
        server.is_mute = True
        receipt = connection.send("text")
        assert receipt.state == "sent"
        assert receipt
        waiting = asyncio.ensure_future(connection.drain())
        await asyncio.sleep(5)
        assert not waiting.done()
        server.is_mute = False
        server.drop()
        await waiting
        assert (receipt.state, receipt.offset) == ("acknowledged", 2)
        assert [each["data"] for each in server.log] == [{"n": 1}, "text"]


@pytest.mark.contract("SE2", "OB3")
async def test_what_was_stored_and_not_acknowledged_is_sent_again_and_stored_once():
    server = RoomServer()
    async with join(server) as connection:
        await connection.ready()
        server.is_mute = True
        receipts = [connection.send(number) for number in range(3)]
        server.is_mute = False
        for command in server.sent[:2]:
            server.answer(command)  # stored; the answer is lost
        server.drop()
        await connection.state.wait_for(lambda state: state.phase == "waiting")
        later = connection.send(3)
        assert [r.state for r in (*receipts, later)] == ["sent", "sent", "sent", "queued"]
        await later
        assert [each["data"] for each in server.log] == [0, 1, 2, 3]
        assert [r.offset for r in (*receipts, later)] == [1, 2, 3, 4]
        ids = [command["rpc"]["data"]["id"] for command in server.sent]
        assert ids[:3] == ids[3:6]
        assert len(set(ids)) == 4


@pytest.mark.contract("SE2", "OB3")
async def test_what_is_older_than_the_server_remembers_is_never_sent_again():
    server = RoomServer(limits={"remembers": 60})
    async with join(server) as connection:
        await connection.ready()
        server.is_mute = True
        receipt = connection.send(1)
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
        await connection.send(2)
        assert [each["data"] for each in server.log] == [2]


@pytest.mark.contract("SE2", "OB2", "OB3")
async def test_closing_tells_what_nobody_knows_from_what_was_never_sent():
    server = RoomServer()
    connection = join(server)
    connection.connect()
    await connection.ready()
    server.is_mute = True
    under_way = connection.send(1)
    server.go_down()
    await connection.state.wait_for(lambda state: state.phase == "waiting")
    queued = connection.send(2)
    await connection.aclose()
    assert (under_way.state, queued.state) == ("unknown", "dropped")
    assert "before the server answered" in under_way.why


@pytest.mark.contract("SE2", "OB2")
async def test_a_ttl_holds_for_what_would_be_sent_again_too():
    server = RoomServer()

    def on_open(_):
        server.is_mute = len(server.connections) == 1

    async with join(server, outbox=Outbox(ttl=5), on_open=on_open) as connection:
        receipt = connection.send(1)
        await connection.ready()
        await asyncio.sleep(1)
        assert [each["rpc"]["data"]["data"] for each in server.sent] == [1]
        server.go_down()
        await asyncio.sleep(3.9)
        assert receipt.state == "sent"
        await asyncio.sleep(0.2)
        assert receipt.state == "unknown"
        server.is_mute = False
        server.come_up()
        await connection.ready(60)
        await connection.send(2)
        assert [each["rpc"]["data"]["data"] for each in server.sent] == [1, 2]


@pytest.mark.contract("SE2")
async def test_a_message_the_server_will_not_take_is_refused_and_the_next_one_goes():
    server = RoomServer()
    async with join(server) as connection:
        await connection.ready()
        server.answers["rpc"] = {"error": {"code": 103, "message": "not you"}}
        receipt = connection.send(1)
        with pytest.raises(DeliveryError, match="not you"):
            await receipt
        assert receipt.state == "refused"
        server.answers.clear()
        await connection.send(2)


@pytest.mark.contract("SE2")
async def test_a_server_that_cannot_store_now_is_left_and_asked_again_in_order():
    server = RoomServer()
    async with join(server) as connection:
        await connection.ready()
        server.answers["rpc"] = {"error": {"code": 100, "message": "the disk is full"}}
        receipts = [connection.send(number) for number in range(3)]
        await connection.state.wait_for(lambda state: state.phase == "waiting")
        assert "the disk is full" in connection.state.value.error
        server.answers.clear()
        await receipts[-1]
        assert [each["data"] for each in server.log] == [0, 1, 2]


@pytest.mark.contract("SE2")
async def test_a_message_larger_than_the_server_takes_is_refused_here():
    server = RoomServer(limits={"max_message_bytes": 300})
    async with join(server) as connection:
        queued = connection.send("x" * 300)
        small = connection.send("x")
        await small
        assert queued.state == "refused"
        assert connection.send("ü" * 200).state == "refused"
        assert "larger than the server takes" in queued.why


@pytest.mark.contract("SE2")
async def test_sending_keeps_to_the_pace_that_the_server_announces():
    server = RoomServer(limits={"rate": 10, "burst": 20})
    loop = asyncio.get_running_loop()
    async with join(server) as connection:
        await connection.ready()
        began = loop.time()
        receipts = [connection.send(number) for number in range(100)]
        await receipts[-1]
        assert [each["data"] for each in server.log] == list(range(100))
        assert 9.5 < loop.time() - began < 10.5  # (100 - half of the burst) / 0.9 of the rate


@pytest.mark.contract("SE2")
async def test_a_bounded_number_is_under_way():
    server = RoomServer()
    async with join(server) as connection:
        await connection.ready()
        server.is_mute = True
        receipts = [connection.send(number) for number in range(200)]
        assert [r.state for r in receipts].count("sent") == 128
        server.is_mute = False
        server.drop()
        await receipts[-1]
        assert [each["data"] for each in server.log] == list(range(200))


@pytest.mark.contract("SE0", "SE2")
async def test_against_a_stock_centrifugo_it_publishes():
    server = RoomServer()
    server.is_stock = True
    async with join(server) as connection:
        await connection.send({"n": 1})
        assert server.sent[0]["publish"] == {"channel": "room", "data": {"n": 1}}
        server.answers["subscribe"] = {"subscribe": {"epoch": "", "offset": 0}}
        stream = connection.stream()
        server.drop()
        await back_again(connection)
        gap = await anext(stream)
        assert gap.data.reason in {"unavailable", "forked", "epoch"}
        assert connection.position is None
        server.tell({"data": "no history here"})
        message = await anext(stream)
        assert message.publication.position is None
        server.drop()
        await back_again(connection)
        assert (await anext(stream)).data == Gap(None, None, "reconnected")


class Price(msgspec.Struct):
    name: str
    value: float


@pytest.mark.contract("SE0", "MS5", "OB1")
async def test_a_codec_reads_and_writes_the_data():
    server = RoomServer()
    errors = []
    async with join(
        server, codec=Price, on_error=lambda error, frame: errors.append(frame)
    ) as connection:
        stream = connection.stream()
        await connection.send(Price("A", 1.5))
        server.tell(server.log[0])
        assert (await anext(stream)).data == Price("A", 1.5)
        server.say({"no": "price"})
        assert (await anext(stream)).data == {"no": "price"}
        assert errors == ['{"no":"price"}']
        with pytest.raises(TypeError, match="bytes"):
            connection.send(b"bytes")
    pretty = (json.loads, lambda data: json.dumps(data, indent=1))
    async with join(RoomServer(), codec=pretty) as connection:
        await connection.send({"a": [1]})
    csv = (str, ",".join)
    with pytest.raises(TypeError, match="did not write JSON"):
        join(RoomServer(), codec=csv).send(["a", "b"])


# Refusals


@pytest.mark.contract("SE0", "RC6", "RC7")
async def test_a_token_is_shown_and_asked_for_anew_when_it_is_refused():
    server = RoomServer()
    asked = []

    async def token(attempt):
        asked.append(attempt.refresh)
        return "new" if attempt.refresh else "old"

    expired = {"error": {"code": 109, "message": "token expired"}}
    server.refuses = lambda asked: expired if asked.get("token") == "old" else None
    async with join(server, Session("room", token=token)) as connection:
        await connection.ready()
    assert asked == [False, True]
    tokens = [each["connect"]["token"] for each in server.asked if "connect" in each]
    assert tokens == ["old", "new"]


@pytest.mark.contract("CN9", "RC6")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": 102, "message": "no such room"}, "refused by the server"),
        ({"code": 103, "message": "not you"}, "unauthorised"),
        ({"code": 1000, "message": "an application's own"}, "refused by the server"),
    ],
)
async def test_a_room_that_refuses_is_the_end(error, reason):
    server = RoomServer()
    server.answers["subscribe"] = {"error": error}
    async with join(server) as connection:
        with pytest.raises(ConnectionEnded, match=error["message"]):
            await connection.ready()
        assert connection.state.value.failure.reason == reason
        assert len(server.handshakes) == 1


@pytest.mark.contract("CN11", "CN9")
async def test_a_callable_that_returns_no_token_is_the_end():
    async with join(RoomServer(), Session("room", token=lambda attempt: 7)) as connection:
        with pytest.raises(ConnectionEnded) as caught:
            await connection.ready()
        assert caught.value.reason == "fatal option"
        assert "must return text or None" in connection.state.value.error


@pytest.mark.contract("RC6")
async def test_a_room_that_is_not_available_now_is_tried_again():
    server = RoomServer()
    server.answers["subscribe"] = {"error": {"code": 4000, "message": "later", "temporary": True}}
    async with join(server) as connection:
        await connection.state.wait_for(lambda state: state.phase == "waiting")
        server.answers.clear()
        await connection.ready()
        assert len(server.handshakes) == 2


@pytest.mark.contract("CN9", "RC6")
@pytest.mark.parametrize(
    ("code", "phase"),
    [(3500, "failed"), (3501, "failed"), (4500, "failed"), (3000, "waiting"), (3004, "waiting")],
)
async def test_close_codes_mean_what_they_mean_to_centrifugo(code, phase):
    server = RoomServer()
    async with join(server) as connection:
        await connection.ready()
        server.close(code, "because")
        state = await connection.state.wait_for(lambda state: state.phase != "open")
        assert (state.phase, state.close.code) == (phase, code)


@pytest.mark.contract("CN9")
@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[]",
        '"text"',
        '{"id": "1"}',
        '{"push": 7}',
        '{"push": {"channel": "room", "pub": {"offset": -1, "data": 1}}}',
        '{"push": {"channel": "room", "pub": {"offset": 1}}}',
        b"binary",
        '{"id": 1, "connect": []}',
        '{"id": 1, "connect": {"name": "sockstore"}}',
        '{"id": 1, "connect": {"data": {"sockstore": {"rate": "fast"}}}}',
        '{"id": 2, "subscribe": {"publications": [{}]}}',
        '{"id": 1, "error": {"code": "x"}}',
    ],
)
async def test_a_server_that_speaks_another_protocol_is_not_tried_again(frame):
    server = RoomServer()
    server.is_mute = True
    async with join(server) as connection:
        while not server.received:
            await asyncio.sleep(0)
        server.connection.send(frame)
        with pytest.raises(ConnectionEnded, match="protocol"):
            await connection.ready()
        assert connection.state.value.failure.reason == "refused by the server"


@pytest.mark.contract("CN12")
async def test_a_room_that_never_answers_is_a_failed_attempt():
    server = RoomServer()
    server.is_mute = True
    async with join(server, connect_timeout=3) as connection:
        state = await connection.state.wait_for(lambda state: state.phase == "waiting")
        assert "no room within 3 s" in state.error


def test_options_are_checked_when_they_are_given():
    for wrong in ({"channel": ""}, {"channel": 7}, {"channel": "r", "token": 7}):
        with pytest.raises(InvalidOption):
            Session(**wrong)
    for wrong in ({"since": 7}, {"fetch_state": 7}):
        with pytest.raises(InvalidOption):
            Session("room", **wrong)
    with pytest.raises(InvalidOption):
        Position(-1)
    with pytest.raises(InvalidOption):
        WebSocketStore("ws://fake", session="room")


# Ids of the sender's own, urgent messages


@pytest.mark.contract("OB6", "OB8", "SE2")
async def test_a_message_has_its_id_from_the_beginning_and_keeps_the_senders_own():
    server = RoomServer()
    connection = join(server)
    own, other = connection.send("mine", id="order-7"), connection.send("other")
    assert own.id == "order-7"
    assert other.id
    assert other.id != own.id
    ids = own.id, other.id
    async with connection:
        await other
        assert (own.id, other.id) == ids
        assert [each["rpc"]["data"]["id"] for each in server.sent] == [*ids]


@pytest.mark.contract("OB6", "SE2")
async def test_a_program_that_was_killed_sends_again_and_it_is_stored_once():
    server = RoomServer()
    for _ in range(2):
        async with join(server) as connection:
            receipt = await connection.send("once", id="order-7")
            assert receipt.state == "acknowledged"
    assert [each["data"] for each in server.log] == ["once"]


@pytest.mark.contract("OB6", "SE2")
async def test_an_id_that_is_on_its_way_is_refused_a_second_time():
    server = RoomServer()
    connection = join(server)
    first, second = connection.send(1, id="x"), connection.send(2, id="x")
    assert (first.state, second.state) == ("queued", "refused")
    assert second.why == "a message with this id is on its way already"
    async with connection:
        await first
        assert (await connection.send(1, id="x")).state == "acknowledged"


@pytest.mark.contract("OB6", "OB8", "SE2")
async def test_urgent_never_overtakes_what_is_sent_again_which_cannot_be_taken_back():
    server = RoomServer()
    async with join(server) as connection:
        await connection.ready()
        server.is_mute = True
        again = [connection.send(number) for number in range(2)]
        await asyncio.sleep(1)
        server.drop()
        await connection.state.wait_for(lambda state: state.phase == "waiting")
        connection.send("usual")
        urgent = connection.send("urgent", urgent=True)
        assert [receipt.cancel() for receipt in again] == [False, False]
        server.is_mute = False
        await connection.ready()
        await connection.drain()
        assert urgent.state == "acknowledged"
        assert [each["data"] for each in server.log] == [0, 1, "urgent", "usual"]


@pytest.mark.contract("OB8", "SE0")
async def test_what_is_taken_back_of_a_session_is_what_was_sent():
    connection = join(RoomServer())
    for data in ({"n": 1}, "text", None):
        connection.send(data)
    assert connection.clear_outbox() == [{"n": 1}, "text", None]
