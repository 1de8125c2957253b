"""The machine slept, the network went away or came back: what a connection makes of it."""

from __future__ import annotations

import asyncio

import pytest

from sockstore import InvalidOption, Reconnect, WebSocketStore
from sockstore.protocols import Heartbeat, Plain
from sockstore.testing import FakeServer, VirtualClock

LATER = Reconnect(schedule=lambda attempt, outcome: 20)


def now() -> float:
    return asyncio.get_running_loop().time()


async def waiting(server: FakeServer, **options) -> WebSocketStore:
    """A connection whose server went down: the next attempt is 20 s away."""
    connection = WebSocketStore("ws://fake", transport=server, reconnect=LATER, **options)
    connection.connect()
    await connection.ready()
    await asyncio.sleep(10)
    server.go_down()
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    server.come_up()
    return connection


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
@pytest.mark.parametrize("wake", ["suspend", "resume", "online"])
async def test_waking_up_ends_a_wait_at_once(wake, virtual_clock):
    server = FakeServer()
    connection = await waiting(server)
    if wake == "suspend":
        virtual_clock.suspend(3600)
    else:
        connection.hint(wake)
    assert connection.phase.value == "connecting"
    await connection.ready()
    assert now() == 10
    await connection.aclose()


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
@pytest.mark.parametrize("wake", ["suspend", "resume", "online"])
async def test_waking_up_probes_an_open_connection_at_once(wake, virtual_clock):
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=LATER) as connection:
        await connection.ready()
        await asyncio.sleep(5)
        server.freeze()  # the peer forgot us while we slept
        if wake == "suspend":
            virtual_clock.suspend(3600)
        else:
            connection.hint(wake)
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert now() == 25, "the ping was sent at 5 s, not at 20 s"
        assert connection.state.value.error == "no answer to ping"


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
@pytest.mark.parametrize("ping_interval", [None, 20.0])
async def test_a_connection_that_survived_the_sleep_goes_on(ping_interval, virtual_clock):
    server = FakeServer()
    async with WebSocketStore(
        "ws://fake", transport=server, ping_interval=ping_interval
    ) as connection:
        await connection.ready()
        for _ in range(5):
            virtual_clock.suspend(3600)
            await asyncio.sleep(3)
        await asyncio.sleep(100)
        assert len(server.handshakes) == 1
        assert server.connection.pings >= 5


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
async def test_offline_pauses_retries_until_online():
    connection = await waiting(FakeServer())
    connection.hint("offline")
    await asyncio.sleep(25)
    assert connection.phase.value == "waiting"
    assert connection.state.value.retry_at == 40
    connection.hint("online")
    await connection.ready()
    assert now() == 35
    await connection.aclose()


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
async def test_offline_is_believed_for_30_seconds_at_most():
    connection = await waiting(FakeServer())
    connection.hint("offline")
    await connection.ready()
    assert now() == 40
    await connection.aclose()


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
async def test_offline_never_closes_an_open_socket_and_pauses_what_comes_after():
    server = FakeServer()
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=Reconnect(schedule=lambda *_: 1)
    ) as connection:
        await connection.ready()
        connection.hint("offline")
        await asyncio.sleep(5)
        assert connection.connected.value
        server.drop()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert connection.state.value.retry_at == 30, "offline since 0"
        await connection.ready()
        assert now() == 30


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
@pytest.mark.parametrize("hint", ["online", "resume"])
async def test_what_comes_after_online_waits_no_longer_than_scheduled(hint):
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=LATER) as connection:
        await connection.ready()
        connection.hint("offline")
        connection.hint(hint)
        await asyncio.sleep(1)
        server.drop()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert connection.state.value.retry_at == 21


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5", "LV2")
async def test_waking_up_sends_a_heartbeat_at_once(virtual_clock):
    server = FakeServer()
    heartbeat = Heartbeat("ping", "pong", interval=15, timeout=5)
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=LATER, protocol=Plain(heartbeat=heartbeat)
    ) as connection:
        await connection.ready()
        await asyncio.sleep(2)
        virtual_clock.suspend(3600)
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert now() == 7
        assert connection.state.value.error == "no answer to heartbeat"


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5", "OB3")
async def test_the_pong_of_a_probe_proves_what_was_sent_before_it(virtual_clock):
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, reconnect=False)
    connection.connect()
    await connection.ready()
    receipt = connection.send("before")
    connection.hint("resume")
    await asyncio.sleep(1)
    server.drop()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    assert receipt.state == "sent"


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5", "RC9")
async def test_a_hint_does_not_answer_for_should_reconnect():
    server = FakeServer()
    connection = WebSocketStore(
        "ws://fake",
        transport=server,
        reconnect=LATER,
        should_reconnect=lambda outcome: asyncio.sleep(5, result=True),
    )
    connection.connect()
    await connection.ready()
    server.drop()
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    connection.hint("resume")
    assert connection.phase.value == "waiting"
    await connection.ready()
    assert now() == 25
    await connection.aclose()


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5", "RC10")
async def test_who_asks_for_a_connection_gets_an_attempt_also_offline():
    connection = await waiting(FakeServer())
    connection.hint("offline")
    connection.reconnect()
    await connection.ready()
    assert now() == 10
    await connection.aclose()


@pytest.mark.virtual_clock
@pytest.mark.contract("LV5")
@pytest.mark.parametrize("hint", ["online", "offline", "resume"])
async def test_a_hint_is_legal_in_every_phase(hint):
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, reconnect=False)
    seen = [connection.phase.value]
    connection.hint(hint)
    assert connection.phase.value == "idle"
    connection.connect()
    connection.hint(hint)
    assert connection.phase.value == "connecting"
    await connection.ready()
    connection.hint(hint)
    connection.close()
    connection.hint(hint)
    seen.append(connection.phase.value)
    await connection.aclose()
    connection.hint(hint)
    seen.append(connection.phase.value)
    server.go_down()
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    connection.hint(hint)
    assert [*seen, connection.phase.value] == ["idle", "closing", "closed", "failed"]


@pytest.mark.contract("LV5")
def test_another_word_is_refused():
    with pytest.raises(InvalidOption, match="'online', 'offline' or 'resume'"):
        WebSocketStore("ws://fake").hint("asleep")  # type: ignore[arg-type]


@pytest.mark.contract("TK1")
def test_the_clock_on_the_wall_goes_on_while_a_virtual_machine_sleeps():
    clock = VirtualClock()

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        start = loop.wall_clock()
        await asyncio.sleep(10)
        clock.suspend(100)
        return [loop.time(), loop.wall_clock() - start]

    assert clock.run(main()) == [10, 110]
