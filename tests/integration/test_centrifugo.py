"""Rooms of a stock Centrifugo: what follows from the rules that were recorded."""

from __future__ import annotations

import asyncio
import json

import pytest
from centrifugo import Centrifugo, items_of, joined

from room_server import back_again, connect, lost
from sockstore import ConnectionEnded, DeliveryError, Gap, Lagged, Position, SubscriptionRefused

pytestmark = pytest.mark.virtual_clock

# What follows from the recorded rules


@pytest.mark.contract("SE1", "SE3", "SE5")
async def test_a_long_life_tells_every_message_once_with_gaps_where_history_is_gone():
    server = Centrifugo(keeps=20)
    expected, said = [], 0
    async with joined(server) as (connection, room):
        stream = room.stream(limit=10_000)
        await room.ready(60)

        async def live(count):
            nonlocal said
            numbers = range(said, said + count)
            said += count
            for number in numbers:
                server.say("r", {"n": number})
            expected.extend(numbers)
            await room.messages.wait_for(
                lambda _: room.messages.total == sum(type(e) is int for e in expected), 60
            )

        async def away(missed):
            nonlocal said
            server.drop()
            await lost(connection)
            for number in range(said, said + missed):
                server.publish("r", {"n": number})
            said += missed
            await room.ready(60)

        await live(30)
        for missed in (5, 0, 0, 1, 20):  # twice in a row without a live message between, too
            expected.extend(range(said, said + missed))
            await away(missed)
            assert room.state.value.recovered is True
            if missed != 0:
                await live(30)
        await live(1)
        before = room.position.offset
        await away(21)
        assert room.state.value.recovered is False
        expected.append(Gap(before, before + 21, "unavailable"))
        await live(30)
        before, epoch = room.position.offset, room.position.epoch
        del server.rooms["r"]
        await away(3)
        assert room.state.value.recovered is False
        expected.append(Gap(before, 3, "epoch"))
        assert room.position.offset == 3
        assert room.position.epoch != epoch
        await live(30)
        await away(2)
        expected.extend(range(said - 2, said))
        assert room.state.value.recovered is True
        await live(30)
        assert await items_of(stream, len(expected)) == expected
        assert stream.lag == 0
        assert len(server.handshakes) == 9


@pytest.mark.contract("SE1", "SE5")
async def test_the_first_message_of_a_room_tells_its_epoch():
    server = Centrifugo(epochs={"r": ""})
    async with joined(server) as (connection, room):
        await room.ready(60)
        assert room.position == Position(0, "")
        server.drop()
        await back_again(connection, room)
        assert room.state.value.recovered is True
        server.say("r", {"n": 0})
        await room.messages.wait_for(len)
        epoch = server.rooms["r"].epoch
        assert room.position == Position(1, epoch)
        assert room.messages.value[0].publication.position == Position(1, epoch)
        server.drop()
        await back_again(connection, room)
        assert server.asked[-1]["subscribe"]["epoch"] == epoch
        assert room.state.value.recovered is True


@pytest.mark.contract("SE1", "SE3", "SE5")
@pytest.mark.parametrize("seen", [0, 3])
async def test_a_first_message_of_another_log_is_a_gap_and_never_silent(seen):
    server = Centrifugo()
    async with joined(server) as (_, room):
        stream = room.stream()
        await room.ready(60)
        server.say("r", *({"n": n} for n in range(seen)))
        assert await items_of(stream, seen) == list(range(seen))
        del server.rooms["r"]
        server.say("r", {"n": 100})
        assert await items_of(stream, 1) == [Gap(seen, 1, "epoch")]
        assert room.state.value.recovered is False
        server.say("r", {"n": 101})
        assert await items_of(stream, 1) == [101]


@pytest.mark.contract("CN5", "SE1")
async def test_who_closes_in_the_midst_of_what_was_missed_gets_the_rest_later():
    server = Centrifugo()
    got = []
    connection = connect(server)
    room = connection.subscribe("r")

    def take(message):
        got.append(message.data["n"])
        if message.data["n"] == 2:
            connection.close()

    room.messages.on_append(take)
    connection.connect()
    await room.ready(60)
    server.say("r", {"n": 0})
    await room.messages.wait_for(len)
    server.drop()
    for number in range(1, 6):
        server.publish("r", {"n": number})
    await connection.phase.wait_for(lambda phase: phase == "closed")
    assert got == [0, 1, 2]
    assert room.position.offset == 3
    connection.connect()
    await room.ready(60)
    assert got == [0, 1, 2, 3, 4, 5]
    room.unsubscribe()
    await connection.aclose()


# Refusals and ends


@pytest.mark.contract("SE0", "SE5", "SU6")
@pytest.mark.parametrize("code", [103, 107, 108])
async def test_a_subscription_that_centrifugo_refuses_says_so_in_its_words(code):
    server = Centrifugo()
    server.refuses["subscribe"] = {"code": code, "message": "not available"}
    async with joined(server) as (connection, room):
        with pytest.raises(SubscriptionRefused, match="not available"):
            await room.ready(60)
        server.refuses.clear()
        async with connection.subscribe("other") as other:
            await other.ready(60)
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE2", "SE5", "OB3")
async def test_a_room_that_nobody_may_publish_to_refuses_the_message_and_stays():
    server = Centrifugo()
    server.refuses["publish"] = {"code": 108, "message": "not available"}
    async with joined(server) as (_, room):
        receipt = room.send({"n": 1})
        with pytest.raises(DeliveryError, match="not available"):
            await receipt
        assert receipt.state == "refused"
        server.say("r", {"n": 2})
        await room.messages.wait_for(len)
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
    async with joined(server) as (connection, room):
        stream = room.stream()
        await room.ready(60)
        server.say("r", {"n": 0})
        assert await items_of(stream, 1) == [0]
        server.close(code, reason)
        await connection.state.wait_for(lambda state: state.phase == phase)
        if phase == "waiting":
            server.publish("r", {"n": 1})
            await room.ready(60)
            assert await items_of(stream, 1) == [1]


@pytest.mark.contract("SE0", "SE5")
async def test_centrifugos_pings_are_answered_in_time():
    server = Centrifugo()
    async with joined(server) as (connection, room):
        await room.ready(60)
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
        await room.ready(60)


# Rooms without history


@pytest.mark.contract("SE0", "SE3", "SE5")
async def test_a_room_without_history_tells_of_each_reconnection_once():
    server = Centrifugo(keeps=0)
    calls = []

    async def on_open(_):
        calls.append(1)
        if len(calls) in {2, 3}:
            raise OSError("not now")

    async with joined(server, on_open=on_open) as (connection, room):
        stream = room.stream()
        await room.ready(60)
        assert (room.position, room.state.value.recovered) == (None, None)
        server.say("r", {"n": 0})
        assert await items_of(stream, 1) == [0]
        server.drop()
        await lost(connection)
        await room.ready(60)
        assert len(calls) == 4
        assert room.state.value.recovered is False
        server.say("r", {"n": 1}, {"n": 2})
        unknown = Gap(None, None, "reconnected")
        assert await items_of(stream, 3) == [unknown, 1, 2]
        server.drop()
        await back_again(connection, room)
        server.drop()
        await back_again(connection, room)
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
    async with joined(server, **told) as (connection, room):
        stream = room.stream()
        await room.ready(60)
        server.say("r", {"n": 1}, "BAD", {"n": 2})
        async with asyncio.timeout(60):
            messages = [await anext(stream) for _ in range(3)]
        assert [each.kind for each in messages] == ["json", "text", "json"]
        assert messages[1].data == says
        assert [each.publication.offset for each in messages] == [1, 2, 3]
        assert errors == [(errors[0][0], says)]
        assert issubclass(errors[0][0], ValueError)
        server.drop()
        await lost(connection)
        server.say("r", "BAD", {"n": 3})
        await room.ready(60)
        async with asyncio.timeout(60):
            missed = [await anext(stream) for _ in range(2)]
        assert [each.publication.offset for each in missed] == [4, 5]
        assert (missed[0].data, missed[1].data) == (says, {"n": 3})
        assert room.state.value.recovered is True
        assert len(server.connections) == 2


@pytest.mark.contract("SE5", "MS5")
async def test_a_codec_of_ones_own_is_given_what_json_cannot_hold():
    server, errors = Verbatim(), []
    server.says = "1e400"
    codec = (json.loads, json.dumps)
    told = {"on_error": lambda *told: errors.append(told)}
    async with joined(server, codec=codec, **told) as (_, room):
        stream = room.stream()
        await room.ready(60)
        server.say("r", "BAD")
        message = await anext(stream)
    assert (message.data, message.kind, errors) == (float("inf"), "json", [])


@pytest.mark.contract("SE5")
async def test_a_frame_that_is_no_json_around_its_payload_is_not_the_protocols():
    server = Verbatim()
    async with joined(server) as (connection, room):
        await room.ready(60)
        server.connection.send('{"push":{"channel":"r","pub":{"data":1e400}}')
        await lost(connection)
        assert "does not speak Centrifugo's protocol" in connection.state.value.error
        await room.ready(60)


@pytest.mark.contract("SE1", "MS6")
@pytest.mark.parametrize("overflow", ["error", "drop_oldest"])
async def test_a_reader_that_keeps_up_misses_nothing_of_a_long_recovery(overflow):
    server, read = Centrifugo(5000), []
    async with joined(server) as (connection, room):
        stream = room.stream(limit=16, overflow=overflow)

        async def keep_up():
            async for message in stream:
                read.append(message.data["n"])
                await asyncio.sleep(0)

        await room.ready(60)
        reader = asyncio.create_task(keep_up())
        for cut in range(3):
            server.drop()
            await lost(connection)
            for n in range(cut * 1000, cut * 1000 + 999):
                server.publish("r", {"n": n})
            await room.ready(60)
            server.say("r", {"n": cut * 1000 + 999})
            await asyncio.sleep(1)
        reader.cancel()
        assert read == list(range(3000))
        assert stream.dropped == 0


@pytest.mark.contract("SE1", "MS6")
async def test_a_reader_that_does_not_read_lags_after_recoveries_as_ever():
    server = Centrifugo(5000)
    async with joined(server) as (connection, room):
        stream = room.stream(limit=16)
        await room.ready(60)
        for _ in range(3):
            server.drop()
            await lost(connection)
            for n in range(100):
                server.publish("r", {"n": n})
            await room.ready(60)
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
    async with connect(server, token="s3cr3t-token") as connection:
        with pytest.raises(ConnectionEnded) as raised:
            await connection.ready(60)
        assert "the token *** has expired" in str(raised.value)
        assert "s3cr3t-token" not in repr(connection.state.value)
