"""A peer that vanishes with no FIN and no RST, as a machine does whose cable is pulled.

The kernel does it, in a network namespace. Times are those that the connection wrote down itself;
what they are compared with is far above what it needs, and far below what the kernel would take.
"""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from tests.loopback.network_namespaces import other_machine

from sockstore import Outbox, Position, Reconnect, WebSocketStore
from sockstore.protocols import Centrifuge

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

SECONDS = 60
INTERVAL, TIMEOUT = 0.5, 1.5
SLACK = 10.0
"""Seconds for a busy machine; without pings the kernel tries for a quarter of an hour."""

WAYS = {"drop": "stop_dropping", "unplug": "plug_in"}


@pytest_asyncio.fixture
async def machine():
    async with other_machine() as made:
        yield made


@pytest_asyncio.fixture
async def server(machine):
    running = await machine.serve()
    try:
        yield running
    finally:
        await running.kill()


def connect(machine, server, path="echo", **options):
    return WebSocketStore(
        f"ws://{machine.address}:{server.port}/{path}",
        reconnect=Reconnect.exponential(base=0.1, max=0.3, min_uptime=0),
        ping_interval=INTERVAL,
        ping_timeout=TIMEOUT,
        connect_timeout=1.0,
        close_timeout=SECONDS,
        **options,
    )


async def until_lost(connection):
    """Wait until the peer is given up, and return the state in which that was noted."""
    async with asyncio.timeout(SECONDS):
        return await connection.state.wait_for(lambda state: state.error is not None)


async def until_answered(connection):
    """Wait until it is open, and an echo comes back."""
    stream = connection.stream(where=lambda message: message.data == "are you there")
    await connection.ready(SECONDS)
    assert connection.send("are you there")
    async with asyncio.timeout(SECONDS):
        await anext(stream)


@pytest.mark.contract("LV1", "CN7", "OB3")
@pytest.mark.parametrize("way", WAYS)
async def test_a_machine_that_vanished_is_noticed_and_found_again(machine, server, way):
    async with connect(machine, server) as connection:
        await until_answered(connection)
        await getattr(machine, way)()
        vanished_at = asyncio.get_running_loop().time()
        receipt = connection.send("into nothing")
        assert receipt.state == "sent"
        state = await until_lost(connection)
        assert state.error == "no answer to ping"
        assert state.close.code == 1006
        assert state.since - vanished_at < INTERVAL + TIMEOUT + SLACK
        assert receipt.state == "unknown"
        # Gone is gone: attempts fail, each in its time, until the machine is there again.
        async with asyncio.timeout(SECONDS):
            await connection.state.wait_for(lambda state: state.attempt >= 2)
        await getattr(machine, WAYS[way])()
        await until_answered(connection)
        assert connection.error.value is None


@pytest.mark.contract("LV1", "OB2", "OB4")
async def test_a_machine_that_vanished_is_noticed_while_a_send_is_blocked(machine, server):
    async with connect(machine, server, outbox=Outbox(max_bytes=64 * 2**20)) as connection:
        await until_answered(connection)
        await machine.drop()
        vanished_at = asyncio.get_running_loop().time()
        handed_over, waiting = await send_until_blocked(connection)
        state = await until_lost(connection)
        assert state.error == "no answer to ping"
        assert state.since - vanished_at < INTERVAL + TIMEOUT + SLACK
        assert {receipt.state for receipt in handed_over} == {"unknown"}
        assert {receipt.state for receipt in waiting} == {"queued"}
        echoes = connection.stream(where=lambda message: message.data[:1] == "x")
        await machine.stop_dropping()
        for number, receipt in enumerate(waiting, start=len(handed_over)):
            async with asyncio.timeout(SECONDS):
                await receipt
                assert (await anext(echoes)).data == big(number)


def big(number):
    return f"x{number} {'.' * 60_000}"


async def send_until_blocked(connection):
    """Return the receipts of what the socket took, and of what had to wait."""
    receipts = []
    while sum(receipt.state == "queued" for receipt in receipts) < 3:
        assert connection.connected.value, "it was lost before its buffers were full"
        receipts.append(connection.send(big(len(receipts))))
        await asyncio.sleep(0)
    return receipts[:-3], receipts[-3:]


@pytest.mark.contract("LV1", "SE1", "SE2")
@pytest.mark.parametrize("chains", [(), ("INPUT",), ("OUTPUT",)], ids=["both", "deaf", "mute"])
async def test_rooms_lose_nothing_when_the_other_machine_vanishes(machine, server, chains):
    """A mute machine stores messages, and its acknowledgements are lost: they are sent again."""
    path, options = "connection/websocket", {"protocol": Centrifuge()}
    async with connect(machine, server, path, **options) as connection:
        rooms = [connection.subscribe(f"room{n}", since=Position(0)) for n in range(3)]
        streams = [room.stream() for room in rooms]
        async with asyncio.timeout(SECONDS):
            for room in rooms:
                await room.send(0)
        await machine.drop(*chains)
        receipts = [room.send(number) for number in range(1, 20) for room in rooms]
        state = await until_lost(connection)
        assert state.error == "no answer to ping"
        await machine.stop_dropping()
        async with asyncio.timeout(SECONDS):
            for receipt in receipts:
                await receipt
            heard = [[await anext(stream) for _ in range(20)] for stream in streams]
        for messages in heard:
            assert [message.data for message in messages] == [*range(20)]
            assert [message.publication.offset for message in messages] == [*range(1, 21)]
        assert [receipt.offset for receipt in receipts] == [n for n in range(2, 21) for _ in rooms]
        for room in rooms:
            assert room.state.value.recovered
            room.unsubscribe()
