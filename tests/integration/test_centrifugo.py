"""A session against a stock Centrifugo: its recorded frames, and what may follow them."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from centrifugo import BAD_REQUEST, FRAMES, STORIES, Centrifugo, Engine, Recorded, Visitor
from rooms import RoomServer

from sockstore import (
    ConnectionEnded,
    DeliveryError,
    Gap,
    Lagged,
    Position,
    Reconnect,
    Session,
    WebSocketStore,
)

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0)
EPOCH = "PUikEHTF"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def join(server, room="r", since=None, *, fetch_state=None, **options):
    session = Session(room, since=since, fetch_state=fetch_state)
    options = {"reconnect": EVERY_SECOND, **options}
    return WebSocketStore("ws://fake", session=session, transport=server, **options)


async def lost(connection):
    await connection.state.wait_for(lambda state: state.phase == "waiting")


async def back_again(connection):
    await lost(connection)
    await connection.ready(60)


async def items_of(stream, count):
    async with asyncio.timeout(60):
        items = [await anext(stream) for _ in range(count)]
    return [item.data if item.kind == "gap" else item.data["n"] for item in items]


# The fake is held to the recorded frames


@pytest.mark.contract("SE5")
async def test_the_fake_engine_answers_as_the_recorded_one():
    epochs = {"r": EPOCH, "big": "RWazOjcH", "a": "GnljKmpx", "b": "WwCtGing"}
    engine, names = Engine(100, epochs), ({}, {})
    answered = 0

    def named(text, side):
        def name(match):
            return names[side].setdefault(match[0], f"client {len(names[side])}")

        return [json.loads(UUID.sub(name, line)) for line in text.split("\n")]

    for _ in range(150):
        engine.publish("big", {"n": 0})
    for story, frames in STORIES.items():
        visitor = Visitor()
        for frame, then in zip(frames, [*frames[1:], {}], strict=True):
            if "client" not in frame or frame["client"] == "{}":
                continue
            lines, close = engine.hear(visitor, frame["client"])
            if "server" in then:
                assert named("\n".join(lines), 0) == named(then["server"], 1), story
                answered += 1
            else:
                assert (lines, close) == ([], BAD_REQUEST)
                assert "3501" in then["ended"]
    assert answered == sum("server" in frame for frame in FRAMES) - 1  # but for its ping


# What was recorded


@pytest.mark.contract("SE0", "SE5", "OB3")
async def test_a_fresh_room_as_it_was_recorded():
    server = Recorded("fresh room, three publications")
    async with join(server) as connection:
        stream = connection.stream()
        await connection.ready(60)
        assert connection.position == Position(0, EPOCH)
        for number in range(3):
            receipt = connection.send({"n": number})
            await receipt
            assert receipt.state == "acknowledged"
        assert await items_of(stream, 3) == [0, 1, 2]
        assert connection.position == Position(3, EPOCH)
        assert connection.messages.value[0].publication.position == Position(1, EPOCH)
        assert server.is_over
        await live_messages_follow(server, connection, stream, "r")


@pytest.mark.contract("SE1", "SE3", "SE5")
@pytest.mark.parametrize(
    ("story", "room", "since", "items", "recovered", "position"),
    [
        ("epoch", "r", None, [], None, Position(3, EPOCH)),
        (
            "recover from 1 of 3: two publications",
            "r",
            Position(1, EPOCH),
            [1, 2],
            True,
            Position(3, EPOCH),
        ),
        (
            "recover from 3 of 3: nothing missed",
            "r",
            Position(3, EPOCH),
            [],
            True,
            Position(3, EPOCH),
        ),
        (
            "recover with another epoch",
            "r",
            Position(1, "xxxx"),
            [Gap(1, 3, "epoch")],
            False,
            Position(3, EPOCH),
        ),
        (
            "recover from 9, which is behind the newest (3)",
            "r",
            Position(9, EPOCH),
            [Gap(9, 3, "forked")],
            False,
            Position(3, EPOCH),
        ),
        ("recover from 0", "r", Position(0, EPOCH), [0, 1, 2], True, Position(3, EPOCH)),
        ("live after a recovery", "r", Position(2, EPOCH), [2], True, Position(3, EPOCH)),
        (
            "recover from 1 of 150, trimmed, second",
            "big",
            Position(1, "RWazOjcH"),
            [Gap(1, 150, "unavailable")],
            False,
            Position(150, "RWazOjcH"),
        ),
    ],
)
async def test_coming_back_as_it_was_recorded(story, room, since, items, recovered, position):
    server = Recorded(story)
    async with join(server, room, since) as connection:
        stream = connection.stream()
        await connection.ready(60)
        assert await items_of(stream, len(items)) == items
        assert connection.state.value.recovered is recovered
        assert connection.position == position
        if story == "live after a recovery":
            await connection.send({"n": 3})
            assert await items_of(stream, 1) == [3]
        assert server.is_over
        await live_messages_follow(server, connection, stream, room)


async def live_messages_follow(server, connection, stream, room):
    """Whatever the story was: what is said from now on comes once, over the same connection."""
    newest = connection.position.offset
    coming = range(newest + 1, newest + 101)
    pushes = [
        json.dumps({"push": {"channel": room, "pub": {"data": {"n": n}, "offset": n}}})
        for n in coming
    ]
    for text in (*pushes[:50], "\n".join(pushes[50:])):
        server.connection.send(text)
    assert await items_of(stream, 100) == list(coming)
    assert len(server.handshakes) == 1
    assert connection.position.offset == newest + 100
    assert stream.lag == 0


# What follows from the recorded rules


@pytest.mark.contract("SE1", "SE3", "SE5")
async def test_a_long_life_tells_every_message_once_with_gaps_where_history_is_gone():
    server = Centrifugo(keeps=20)
    expected, said = [], 0
    async with join(server) as connection:
        stream = connection.stream(limit=10_000)
        await connection.ready(60)

        async def live(count):
            nonlocal said
            numbers = range(said, said + count)
            said += count
            for number in numbers:
                server.say("r", {"n": number})
            expected.extend(numbers)
            await connection.messages.wait_for(
                lambda _: connection.messages.total == sum(type(e) is int for e in expected), 60
            )

        async def away(missed):
            nonlocal said
            server.drop()
            await lost(connection)
            for number in range(said, said + missed):
                server.publish("r", {"n": number})
            said += missed
            await connection.ready(60)

        await live(30)
        for missed in (5, 0, 0, 1, 20):  # twice in a row without a live message between, too
            expected.extend(range(said, said + missed))
            await away(missed)
            assert connection.state.value.recovered is True
            if missed != 0:
                await live(30)
        await live(1)
        before = connection.position.offset
        await away(21)
        assert connection.state.value.recovered is False
        expected.append(Gap(before, before + 21, "unavailable"))
        await live(30)
        before, epoch = connection.position.offset, connection.position.epoch
        del server.rooms["r"]
        await away(3)
        assert connection.state.value.recovered is False
        expected.append(Gap(before, 3, "epoch"))
        assert connection.position.offset == 3
        assert connection.position.epoch != epoch
        await live(30)
        await away(2)
        expected.extend(range(said - 2, said))
        assert connection.state.value.recovered is True
        await live(30)
        assert await items_of(stream, len(expected)) == expected
        assert stream.lag == 0
        assert len(server.handshakes) == 9


@pytest.mark.contract("SE1", "SE5")
async def test_the_first_message_of_a_room_tells_its_epoch():
    server = Centrifugo(epochs={"r": ""})
    async with join(server) as connection:
        await connection.ready(60)
        assert connection.position == Position(0, "")
        server.drop()
        await back_again(connection)
        assert connection.state.value.recovered is True
        server.say("r", {"n": 0})
        await connection.messages.wait_for(len)
        epoch = server.rooms["r"].epoch
        assert connection.position == Position(1, epoch)
        assert connection.messages.value[0].publication.position == Position(1, epoch)
        server.drop()
        await back_again(connection)
        assert server.asked[-1]["subscribe"]["epoch"] == epoch
        assert connection.state.value.recovered is True


@pytest.mark.contract("SE1", "SE3", "SE5")
@pytest.mark.parametrize("seen", [0, 3])
async def test_a_first_message_of_another_log_is_a_gap_and_never_silent(seen):
    server = Centrifugo()
    async with join(server) as connection:
        stream = connection.stream()
        await connection.ready(60)
        server.say("r", *({"n": n} for n in range(seen)))
        assert await items_of(stream, seen) == list(range(seen))
        del server.rooms["r"]
        server.say("r", {"n": 100})
        await back_again(connection)
        assert await items_of(stream, 1) == [Gap(seen, 1, "epoch")]
        assert connection.state.value.recovered is False
        server.say("r", {"n": 101})
        assert await items_of(stream, 1) == [101]


def push(number, room="room"):
    return {"push": {"channel": room, "pub": {"data": {"n": number}, "offset": number}}}


@pytest.mark.contract("SE1", "SE5")
@pytest.mark.parametrize(
    ("since", "reply", "items"),
    [
        # The reply has what was pushed already, and something behind it is new.
        (
            Position(1, "E"),
            {"recovered": True, "offset": 1, "publications": [push(2)["push"]["pub"]]},
            [2, 3],
        ),
        # What is pushed first follows what the reply has.
        (Position(1, "E"), {"recovered": True, "offset": 1}, [2, 3]),
        (None, {"offset": 1}, [2, 3]),
        (None, {"offset": 2}, [3]),
        (None, {"offset": 3}, []),
        (Position(9, "E"), {"was_recovering": True, "offset": 2}, [Gap(9, 2, "forked"), 3]),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_push_before_the_reply_to_subscribe_is_compared_behind_it(
    since, reply, items, together
):
    server = RoomServer()
    server.is_mute = True
    async with join(server, "room", since) as connection:
        stream = connection.stream()
        while not server.received:
            await asyncio.sleep(0)
        frames = [
            push(2),
            push(2, "another"),
            {"id": 1, "connect": {"client": "c"}},
            push(3),
            {"id": 2, "subscribe": {"epoch": "E", "recoverable": True, **reply}},
            push(4),
        ]
        texts = list(map(json.dumps, frames))
        for text in ["\n".join(texts)] if together else texts:
            server.connection.send(text)
        await connection.ready(60)
        assert await items_of(stream, len(items) + 1) == [*items, 4]
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE1", "SE5")
async def test_a_hole_between_the_reply_and_an_early_push_is_closed():
    server = RoomServer()
    for number in range(5):
        server.store({"n": number})
    server.is_mute = True
    async with join(server, "room", Position(1, "e1")) as connection:
        stream = connection.stream()
        while not server.received:
            await asyncio.sleep(0)
        reply = {"epoch": "e1", "recoverable": True, "recovered": True, "offset": 1}
        server.send({"id": 1, "connect": {"client": "c"}}, push(4), {"id": 2, "subscribe": reply})
        server.is_mute = False
        await back_again(connection)
        assert await items_of(stream, 4) == [1, 2, 3, 4]


@pytest.mark.contract("SE5")
async def test_what_comes_before_the_reply_is_kept_up_to_a_bound():
    server = RoomServer()
    server.is_mute = True
    async with join(server, "room") as connection:
        while not server.received:
            await asyncio.sleep(0)
        for number in range(1, 1002):
            server.send(push(number))
        await lost(connection)
        assert "before it answered" in connection.state.value.error


@pytest.mark.contract("CN5", "SE1")
async def test_who_closes_in_the_midst_of_what_was_missed_gets_the_rest_later():
    server = Centrifugo()
    got = []
    connection = join(server)

    def take(message):
        got.append(message.data["n"])
        if message.data["n"] == 2:
            connection.close()

    connection.messages.on_append(take)
    connection.connect()
    await connection.ready(60)
    server.say("r", {"n": 0})
    await connection.messages.wait_for(len)
    server.drop()
    for number in range(1, 6):
        server.publish("r", {"n": number})
    await connection.phase.wait_for(lambda phase: phase == "closed")
    assert got == [0, 1, 2]
    assert connection.position.offset == 3
    connection.connect()
    await connection.ready(60)
    assert got == [0, 1, 2, 3, 4, 5]
    await connection.aclose()


# Refusals and ends


@pytest.mark.contract("CN9", "RC6", "SE5")
@pytest.mark.parametrize(
    "error",
    [
        {"code": 105, "message": "already subscribed"},
        {"code": 108, "message": "not available"},
    ],
)
async def test_a_subscription_that_centrifugo_refuses_is_the_end_in_its_words(error):
    server = Centrifugo()
    server.refuses["subscribe"] = error
    async with join(server) as connection:
        with pytest.raises(ConnectionEnded, match=error["message"]):
            await connection.ready(60)
        assert connection.state.value.failure.reason == "refused by the server"
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE2", "SE5", "OB3")
async def test_a_room_that_nobody_may_publish_to_refuses_the_message_and_stays():
    server = Centrifugo()
    server.refuses["publish"] = {"code": 108, "message": "not available"}
    async with join(server) as connection:
        receipt = connection.send({"n": 1})
        with pytest.raises(DeliveryError, match="not available"):
            await receipt
        assert receipt.state == "refused"
        server.say("r", {"n": 2})
        await connection.messages.wait_for(len)
        assert len(server.handshakes) == 1


@pytest.mark.contract("RC6", "SE5")
@pytest.mark.parametrize(
    ("code", "reason", "phase"),
    [
        (3501, "bad request", "failed"),
        (3502, "stale", "failed"),
        (3001, "shutdown", "waiting"),
        (3008, "slow", "waiting"),
        (3010, "insufficient state", "waiting"),
        (3012, "no pong", "waiting"),
    ],
)
async def test_what_centrifugo_closes_with_decides_whether_to_come_back(code, reason, phase):
    server = Centrifugo()
    async with join(server) as connection:
        stream = connection.stream()
        await connection.ready(60)
        server.say("r", {"n": 0})
        assert await items_of(stream, 1) == [0]
        server.close(code, reason)
        await connection.state.wait_for(lambda state: state.phase == phase)
        if phase == "waiting":
            server.publish("r", {"n": 1})
            await connection.ready(60)
            assert await items_of(stream, 1) == [1]


@pytest.mark.contract("SE0", "SE5")
async def test_centrifugos_pings_are_answered_in_time():
    server = Centrifugo()
    async with join(server) as connection:
        await connection.ready(60)
        for _ in range(3):
            server.ping()
            await asyncio.sleep(25)
        assert len(server.handshakes) == 1
        server.ping()
        server.visitors[server.connection].unanswered_pings += 1
        server.connection.stall()
        server.ping()
        await lost(connection)
        assert connection.state.value.close.code == 3012
        await connection.ready(60)


# Rooms without history


@pytest.mark.contract("SE0", "SE3", "SE5")
async def test_a_room_without_history_tells_of_each_reconnection_once():
    server = Centrifugo(keeps=0)
    calls = []

    async def on_open(_):
        calls.append(1)
        if len(calls) in {2, 3}:
            raise OSError("not now")

    async with join(server, on_open=on_open) as connection:
        stream = connection.stream()
        await connection.ready(60)
        assert (connection.position, connection.state.value.recovered) == (None, None)
        server.say("r", {"n": 0})
        assert await items_of(stream, 1) == [0]
        server.drop()
        await lost(connection)
        await connection.ready(60)
        assert len(calls) == 4
        assert connection.state.value.recovered is False
        server.say("r", {"n": 1}, {"n": 2})
        unknown = Gap(None, None, "reconnected")
        assert await items_of(stream, 3) == [unknown, 1, 2]
        server.drop()
        await back_again(connection)
        server.drop()
        await back_again(connection)
        assert await items_of(stream, 2) == [unknown, unknown]
        assert stream.lag == 0


# What one user says cannot end the connections of others


class Verbatim(Centrifugo):
    """Passes on what users say as it is, as the real engine does; it stands here for "BAD"."""

    says = ""

    def hear(self, visitor, text):
        lines, close = super().hear(visitor, text)
        return [line.replace('"BAD"', self.says) for line in lines], close

    def push(self, channel, publication):
        return super().push(channel, publication).replace('"BAD"', self.says)


UNREADABLE = [
    pytest.param("1e400", id="a number beyond all floats"),
    pytest.param(r'"\ud800"', id="half a pair of surrogates"),
    pytest.param("9" * 5000, id="5,000 digits"),
    pytest.param("[" * 100_000 + "]" * 100_000, id="100,000 arrays within each other"),
    pytest.param(r'{"a":[1e400,"\"}]",{"data":1}],"data":","}', id="within an object"),
]


@pytest.mark.contract("SE5", "MS1")
@pytest.mark.parametrize("says", UNREADABLE)
async def test_a_payload_that_cannot_be_decoded_costs_nobody_the_connection(says):
    server, errors = Verbatim(), []
    server.says = says
    told = {"on_error": lambda error, raw: errors.append((type(error), raw))}
    async with join(server, **told) as connection:
        stream = connection.stream()
        await connection.ready()
        server.say("r", {"n": 1}, "BAD", {"n": 2})
        async with asyncio.timeout(60):
            messages = [await anext(stream) for _ in range(3)]
        assert [each.kind for each in messages] == ["json", "text", "json"]
        assert messages[1].data == says
        assert [each.publication.offset for each in messages] == [1, 2, 3]
        assert errors == [(errors[0][0], says)]
        assert issubclass(errors[0][0], ValueError)
        server.connection.drop()
        await lost(connection)
        server.say("r", "BAD", {"n": 3})
        await connection.ready(60)
        async with asyncio.timeout(60):
            missed = [await anext(stream) for _ in range(2)]
        assert [each.publication.offset for each in missed] == [4, 5]
        assert (missed[0].data, missed[1].data) == (says, {"n": 3})
        assert connection.state.value.recovered is True
        assert len(server.connections) == 2


@pytest.mark.contract("SE5", "MS5")
async def test_a_codec_of_ones_own_is_given_what_json_cannot_hold():
    server, errors = Verbatim(), []
    server.says = "1e400"
    codec = (json.loads, json.dumps)
    told = {"on_error": lambda *told: errors.append(told)}
    async with join(server, codec=codec, **told) as connection:
        stream = connection.stream()
        await connection.ready()
        server.say("r", "BAD")
        message = await anext(stream)
    assert (message.data, message.kind, errors) == (float("inf"), "json", [])


@pytest.mark.contract("SE5")
async def test_a_frame_that_is_no_json_around_its_payload_is_not_the_protocols():
    server = Verbatim()
    async with join(server) as connection:
        await connection.ready()
        server.connection.send('{"push":{"channel":"r","pub":{"data":1e400}}')
        with pytest.raises(ConnectionEnded, match="no JSON"):
            async for _ in connection.stream():
                pass


@pytest.mark.contract("SE1", "MS6")
@pytest.mark.parametrize("overflow", ["error", "drop_oldest"])
async def test_a_reader_that_keeps_up_misses_nothing_of_a_long_recovery(overflow):
    server, read = Centrifugo(5000), []
    async with join(server) as connection:
        stream = connection.stream(limit=16, overflow=overflow)

        async def keep_up():
            async for message in stream:
                read.append(message.data["n"])
                await asyncio.sleep(0)

        await connection.ready()
        reader = asyncio.create_task(keep_up())
        for cut in range(3):
            server.connection.drop()
            await lost(connection)
            for n in range(cut * 1000, cut * 1000 + 999):
                server.publish("r", {"n": n})
            await connection.ready(60)
            server.say("r", {"n": cut * 1000 + 999})
            await asyncio.sleep(1)
        reader.cancel()
        assert read == list(range(3000))
        assert stream.dropped == 0


@pytest.mark.contract("SE1", "MS6")
async def test_a_reader_that_does_not_read_lags_after_recoveries_as_ever():
    server = Centrifugo(5000)
    async with join(server) as connection:
        stream = connection.stream(limit=16)
        await connection.ready()
        for _ in range(3):
            server.connection.drop()
            await lost(connection)
            for n in range(100):
                server.publish("r", {"n": n})
            await connection.ready(60)
        assert stream.lag == 116
        assert [(await anext(stream)).data["n"] for _ in range(116)] == [*range(100), *range(16)]
        with pytest.raises(Lagged, match="184"):
            await anext(stream)
        server.say("r", {"n": 7})
        assert (await anext(stream)).data == {"n": 7}


@pytest.mark.contract("CN14")
async def test_a_server_that_repeats_the_token_does_not_show_it():
    server = Centrifugo()
    server.refuses["connect"] = {"code": 101, "message": "the token s3cr3t-token has expired"}
    session = Session("r", token="s3cr3t-token")
    async with WebSocketStore("ws://fake", session=session, transport=server) as connection:
        with pytest.raises(ConnectionEnded) as raised:
            await connection.ready(60)
        assert "the token *** has expired" in str(raised.value)
        assert "s3cr3t-token" not in repr(connection.state.value)
