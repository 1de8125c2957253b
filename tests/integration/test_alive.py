"""Liveness: peers that fall silent, quiet feeds, and a program that blocks its own loop."""

from __future__ import annotations

import asyncio
import logging

import pytest
from puppets import Puppeteer

from room_server import RoomServer, connect
from sockstore import Close, ConnectionLost, Reconnect, WebSocketStore
from sockstore.testing import FakeServer, accept, echo, pause, send, slow
from waiting import turns

pytestmark = pytest.mark.virtual_clock

MUCH_LATER = Reconnect(schedule=lambda attempt, outcome: 1e6)


async def lost_at(connection: WebSocketStore) -> float:
    await connection.phase.wait_for(lambda phase: phase == "waiting", timeout=10_000)
    return asyncio.get_running_loop().time()


@pytest.mark.contract("LV1", "CN7")
async def test_a_frozen_server_is_noticed_within_interval_and_timeout():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=MUCH_LATER) as connection:
        await connection.ready()
        await asyncio.sleep(107)  # the last pong was at 100
        server.freeze()
        assert await lost_at(connection) == 140
        state = connection.state.value
        assert state.error == "no answer to ping"
        assert isinstance(state.exception, ConnectionLost)
        assert state.close == Close(1006)
        assert server.connection.pings == 5


@pytest.mark.contract("LV1")
@pytest.mark.parametrize(("interval", "answer", "lost"), [(1, 30, 31), (30, 1, 31), (5, 5, 10)])
async def test_interval_and_timeout_may_be_anything(interval, answer, lost):
    server = FakeServer()
    async with WebSocketStore(
        "ws://fake",
        transport=server,
        reconnect=MUCH_LATER,
        ping_interval=interval,
        ping_timeout=answer,
    ) as connection:
        await connection.ready()
        server.freeze()
        assert await lost_at(connection) == lost


@pytest.mark.contract("LV1")
async def test_a_living_server_is_pinged_and_kept_for_days():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        await asyncio.sleep(2 * 24 * 3600 + 1)
        assert server.connection.pings == 2 * 24 * 3600 / 20
        assert len(server.handshakes) == 1


@pytest.mark.contract("LV1")
async def test_without_pings_silence_says_nothing():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, ping_interval=None) as connection:
        await connection.ready()
        server.freeze()
        await asyncio.sleep(24 * 3600)
        assert connection.connected.value
        assert server.connection.pings == 0
        await connection.aclose()
        assert connection.phase.value == "closed"


@pytest.mark.contract("LV1")
async def test_messages_count_as_life_where_pongs_are_late():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer, reconnect=MUCH_LATER)
    connection.connect()
    puppet = await puppeteer.opened()
    for n in range(30):
        await asyncio.sleep(10)
        puppet.deliver(str(n))
    assert connection.connected.value
    assert len(puppet.pings) == 15
    assert len(set(puppet.pings)) == 15, "each ping can be told from the others"
    assert await lost_at(connection) == 340, "pinged at 320, nothing was heard since"
    assert puppet.orders == ["abort"]
    puppet.end()
    await connection.aclose()


@pytest.mark.contract("LV1", "OB4")
async def test_a_peer_that_stopped_reading_is_aborted_not_politely_closed():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer, reconnect=MUCH_LATER)
    connection.connect()
    puppet = await puppeteer.opened()
    puppet.listener.writing_paused()
    waiting = connection.send("it waits")
    assert await lost_at(connection) == 40
    assert puppet.orders == ["abort"]
    assert waiting.state == "queued"
    puppet.end()
    await connection.aclose()
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=MUCH_LATER) as connection:
        await connection.ready()
        before = asyncio.get_running_loop().time()
        server.freeze()
        receipts = [connection.send(b"x" * 50_000) for _ in range(5)]
        assert [receipt.state for receipt in receipts] == ["sent", "sent", *["queued"] * 3]
        assert await lost_at(connection) == before + 40
        assert [receipt.state for receipt in receipts] == ["unknown"] * 2 + ["queued"] * 3


@pytest.mark.contract("LV1", "MS2")
async def test_while_we_do_not_read_silence_says_nothing():
    puppeteer = Puppeteer()
    connection = WebSocketStore(
        "ws://fake", transport=puppeteer, reconnect=MUCH_LATER, idle_timeout=50
    )
    connection.connect()
    puppet = await puppeteer.opened()
    puppet.reading_paused = True
    await asyncio.sleep(1000)
    assert connection.connected.value
    puppet.reading_paused = False
    assert 1020 <= await lost_at(connection) <= 1060
    puppet.end()
    await connection.aclose()


@pytest.mark.contract("LV3", "CN7")
async def test_a_feed_without_messages_is_ended_although_pongs_flow():
    server = FakeServer(accept(), pause(50), send("a"), pause(50), send("b"))
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=MUCH_LATER, idle_timeout=60
    ) as connection:
        assert await lost_at(connection) == 160
        assert connection.state.value.error == "no message for 60 s"
        assert server.connections[0].pings >= 7


async def every(seconds: float, act) -> None:
    while True:
        await asyncio.sleep(seconds)
        act()


@pytest.mark.contract("LV3", "TK2")
async def test_pings_of_either_side_are_no_messages_in_whatever_slice_they_are_read():
    server = FakeServer(accept(), pause(50), send("a"))
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=MUCH_LATER, idle_timeout=60, ping_interval=7
    ) as connection:
        await connection.ready()
        pinging = asyncio.ensure_future(every(9, server.connection.ping))
        assert await lost_at(connection) == 110
        pinging.cancel()
        assert server.connections[0].pongs == 12
        assert server.connections[0].pings == 15


@pytest.mark.contract("LV3", "TK2")
async def test_a_part_of_a_message_is_not_a_message_until_its_end_is_there():
    puppeteer = Puppeteer()
    connection = WebSocketStore(
        "ws://fake", transport=puppeteer, reconnect=MUCH_LATER, idle_timeout=60
    )
    connection.connect()
    puppet = await puppeteer.opened()
    reading = asyncio.ensure_future(every(9, puppet.deliver))
    await asyncio.sleep(50)
    puppet.deliver("the end of it")
    assert await lost_at(connection) == 110
    reading.cancel()
    puppet.end()
    await connection.aclose()


@pytest.mark.contract("LV3", "LV1")
async def test_a_message_counts_that_is_read_together_with_a_pong():
    puppeteer = Puppeteer()
    connection = WebSocketStore(
        "ws://fake", transport=puppeteer, reconnect=MUCH_LATER, idle_timeout=60
    )
    connection.connect()
    puppet = await puppeteer.opened()
    await asyncio.sleep(25)
    deliver = puppet.listener.begin_slice()
    deliver.texts(iter(["news"]))
    puppet.listener.pong_received(puppet.pings[-1])
    puppet.listener.end_slice()
    reading = asyncio.ensure_future(every(5, puppet.pong))
    assert await lost_at(connection) == 85
    reading.cancel()
    puppet.end()
    await connection.aclose()


@pytest.mark.contract("LV3", "OB5")
async def test_answers_to_requests_keep_no_feed_alive():
    server = FakeServer(accept(), echo())
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=MUCH_LATER, idle_timeout=60
    ) as connection:
        await connection.ready()
        for _ in range(5):
            await asyncio.sleep(10)
            await connection.request({"op": "time"})
        assert await lost_at(connection) == 60


@pytest.mark.contract("LV3", "OP2")
async def test_what_on_open_receives_keeps_no_feed_alive():
    async def on_open(opening):
        await opening.receive()

    server = FakeServer(accept(), pause(5), send("hello"))
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=MUCH_LATER, idle_timeout=60, on_open=on_open
    ) as connection:
        assert await lost_at(connection) == 65


@pytest.mark.contract("LV3", "MS2")
async def test_a_message_counts_although_no_history_is_kept_and_nobody_reads():
    server = FakeServer(accept(), pause(50), send("a"), pause(50), send(b"b"))
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=MUCH_LATER, idle_timeout=60, history=0
    ) as connection:
        assert await lost_at(connection) == 160


@pytest.mark.contract("LV3", "SE0")
async def test_of_what_a_server_of_rooms_says_only_messages_count():
    server = RoomServer()
    async with (
        connect(server, reconnect=MUCH_LATER, idle_timeout=60) as connection,
        connection.subscribe("room") as room,
        connection.subscribe("other") as other,
    ):
        await room.ready()
        pinging = asyncio.ensure_future(every(9, lambda: server.connection.send("{}")))
        await asyncio.sleep(50)
        server.say("room", "news")
        await asyncio.sleep(5)
        server.tell("room", server.room().log[0])
        await asyncio.sleep(40)
        server.say("other", "of any room")
        await asyncio.sleep(20)
        assert (room.messages.total, other.messages.total) == (1, 1)
        assert await lost_at(connection) == 155
        pinging.cancel()


@pytest.mark.contract("LV3", "SE2")
async def test_a_receipt_keeps_no_feed_alive():
    server = RoomServer()
    async with (
        connect(server, reconnect=MUCH_LATER, idle_timeout=60) as connection,
        connection.subscribe("room") as room,
    ):
        await room.ready()
        await asyncio.sleep(30)
        await room.send("stored, and not told")
        assert await lost_at(connection) == 60


@pytest.mark.contract("LV3", "CN11")
async def test_the_idle_time_begins_when_the_connection_is_open():
    server = FakeServer(accept(), send("before it is open"))
    async with WebSocketStore(
        "ws://fake",
        transport=server,
        reconnect=MUCH_LATER,
        idle_timeout=5,
        on_open=lambda _: asyncio.sleep(8),
    ) as connection:
        assert await lost_at(connection) == 13


@pytest.mark.contract("LV3")
async def test_idle_timeout_is_off_by_default_and_counts_from_each_opening():
    server = FakeServer()
    async with WebSocketStore(
        "ws://fake", transport=server, idle_timeout=60, reconnect=Reconnect.linear()
    ) as connection:
        await asyncio.sleep(400)
        assert [handshake.at for handshake in server.handshakes] == [63 * n for n in range(7)]
        assert connection.messages.total == 0


@pytest.mark.contract("LV4")
async def test_a_blocked_loop_is_not_taken_for_a_dead_peer(virtual_clock, caplog):
    server = FakeServer(slow(0.5))
    async with WebSocketStore("ws://fake", transport=server, reconnect=MUCH_LATER) as connection:
        await connection.ready()
        loop = asyncio.get_running_loop()
        with caplog.at_level(logging.WARNING, "sockstore"):
            # The ping of 20.5 s is under way; its answer cannot be heard in time.
            loop.call_at(20.7, virtual_clock.block, 100)
            await asyncio.sleep(3600)
        assert connection.connected.value
        assert len(server.handshakes) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    words = caplog.records[0].getMessage()
    assert "the event loop was blocked for at least 80.2 s" in words
    assert "one more ping" in words
    assert "test_alive.py" in words


@pytest.mark.contract("LV4")
async def test_a_peer_that_is_dead_after_the_extra_ping_is_lost(virtual_clock, caplog):
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer, reconnect=MUCH_LATER)
    connection.connect()
    puppet = await puppeteer.opened()
    loop = asyncio.get_running_loop()
    loop.call_at(21, virtual_clock.block, 100)
    await asyncio.sleep(120.5)
    assert connection.connected.value
    assert len(puppet.pings) == 2, "the one of 20 s, and the extra one after the block"
    assert await lost_at(connection) == 141
    assert connection.state.value.error == "no answer to ping"
    blocked = [record for record in caplog.messages if "was blocked" in record]
    assert len(blocked) == 1, "it is warned of once"
    puppet.end()
    await connection.aclose()


@pytest.mark.contract("LV4", "RC1")
async def test_a_jump_of_the_clock_in_any_phase_breaks_nothing(virtual_clock):
    loop = asyncio.get_running_loop()
    server = FakeServer()
    server.go_down()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        loop.call_soon(virtual_clock.block, 10_000)
        await turns(20)
        assert len(server.handshakes) >= 2, "the wait is over"
        server.come_up()
        await connection.ready()
        loop.call_soon(virtual_clock.block, 10_000)
        await turns(20)
        await asyncio.sleep(100)
        assert connection.connected.value
