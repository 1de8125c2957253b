"""A plain connection through every fault that the chaos proxy knows, over real sockets."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from tests.loopback.chaos import chaos
from websockets.asyncio.server import serve

from sockstore import Gap, OutcomeUnknown, Reconnect, WebSocketStore
from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

SECONDS = 20


async def echo(socket):
    async for message in socket:
        await socket.send(message)


@pytest_asyncio.fixture
async def proxy():
    """A proxy in front of the echo server of `websockets`."""
    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with chaos(port) as made:
            yield made


def connect(proxy, **options):
    options = {
        "reconnect": Reconnect.exponential(base=0.02, max=0.1, min_uptime=0),
        "ping_interval": 0.3,
        "ping_timeout": 0.3,
        "close_timeout": 0.2,
        **options,
    }
    return WebSocketStore(f"ws://127.0.0.1:{proxy.port}/", **options)


async def until(store, is_so):
    return await asyncio.wait_for(store.wait_for(is_so), SECONDS)


async def carried(proxy):
    async with asyncio.timeout(SECONDS):
        while not proxy.pairs:
            await asyncio.sleep(0.005)
    return proxy.pairs[-1]


async def is_back(connection):
    """Wait until it is open again, and an echo shows that it works."""
    await until(connection.state, lambda state: state.phase == "open")
    stream = connection.stream(where=lambda message: message.data == "are you there")
    connection.send("are you there")
    await asyncio.wait_for(anext(stream), SECONDS)
    assert connection.error.value is None


@pytest.mark.contract("RC6", "CN7", "SE4")
@pytest.mark.parametrize("fault", ["reset", "fin"])
async def test_a_connection_that_ends_without_a_close_frame_comes_back(proxy, fault):
    async with connect(proxy) as connection:
        stream = connection.stream(gaps=True)
        await is_back(connection)
        await anext(stream)
        getattr(await carried(proxy), fault)()
        state = await until(connection.state, lambda state: state.error is not None)
        assert state.close.code == 1006
        await is_back(connection)
        assert (await anext(stream)).data == Gap(None, None, "reconnected")
        assert proxy.accepted == 2


@pytest.mark.contract("LV1", "OB3")
@pytest.mark.parametrize("directions", [("up", "down"), ("up",), ("down",)], ids="+".join)
async def test_a_frozen_connection_is_noticed_and_replaced(proxy, directions):
    async with connect(proxy) as connection:
        await is_back(connection)
        pair = await carried(proxy)
        pair.freeze(*directions)
        receipt = connection.send("is it there?")
        assert receipt.state == "sent"
        state = await until(connection.state, lambda state: state.error is not None)
        assert state.error == "no answer to ping"
        assert receipt.state == "unknown"
        await is_back(connection)
        pair.thaw()
        await is_back(connection)


@pytest.mark.contract("LV1")
async def test_a_frozen_connection_is_noticed_while_sending_is_blocked(proxy):
    async with connect(proxy) as connection:
        await is_back(connection)
        (await carried(proxy)).freeze()
        for _ in range(64):
            connection.send("x" * 2**17)
        assert connection.buffered_amount.value > 2**20
        state = await until(connection.state, lambda state: state.error is not None)
        assert state.error == "no answer to ping"


@pytest.mark.contract("CN6", "MS2")
async def test_a_frame_that_is_cut_is_no_message(proxy):
    async with connect(proxy) as connection:
        await is_back(connection)
        before = connection.messages.total
        (await carried(proxy)).cut_after(5000, "down")
        connection.send("x" * 20_000)
        await until(connection.state, lambda state: state.error is not None)
        await is_back(connection)
        assert connection.messages.total == before + 1


@pytest.mark.contract("OB2", "RC2")
async def test_what_is_sent_while_no_server_listens_leaves_in_order(proxy):
    async with connect(proxy) as connection:
        await is_back(connection)
        await proxy.refuse()
        (await carried(proxy)).reset()
        await until(connection.state, lambda state: state.attempt >= 2)
        numbers = connection.stream(where=lambda message: isinstance(message.data, int))
        receipts = [connection.send(number) for number in range(50)]
        assert {receipt.state for receipt in receipts} == {"queued"}
        await proxy.open()
        async with asyncio.timeout(SECONDS):
            assert [(await anext(numbers)).data for _ in range(50)] == list(range(50))


@pytest.mark.contract("CN12", "RC6")
async def test_a_server_that_accepts_and_says_nothing_is_a_failed_attempt(proxy):
    proxy.hang()
    async with connect(proxy, connect_timeout=0.3) as connection:
        state = await until(connection.state, lambda state: state.attempt >= 1)
        assert "0.3 s" in state.error
        proxy.serve()
        await is_back(connection)


@pytest.mark.contract("RC6", "RC8")
@pytest.mark.parametrize("status", [429, 503])
async def test_the_server_says_when_to_come_back(proxy, status):
    proxy.answer(status, {"Retry-After": "120"}, "later")
    async with connect(proxy) as connection:
        state = await until(connection.state, lambda state: state.phase == "waiting")
        assert 118 < state.retry_at - asyncio.get_running_loop().time() <= 120
        assert str(status) in state.error
        proxy.serve()
        connection.reconnect()
        await is_back(connection)


@pytest.mark.contract("RC6", "RC7")
async def test_a_refusal_asks_for_other_credentials_once(proxy):
    asked = []

    def headers(attempt):
        asked.append(attempt.refresh)
        if attempt.refresh:
            proxy.serve()
        return {"Authorization": "Bearer new" if attempt.refresh else "Bearer old"}

    proxy.answer(401)
    async with connect(proxy, headers=headers) as connection:
        await is_back(connection)
        assert asked == [False, True]
    proxy.answer(401)
    connection = connect(proxy)
    connection.connect()
    state = await until(connection.state, lambda state: state.phase == "failed")
    assert state.failure.reason == "unauthorised"


@pytest.mark.contract("OB5")
async def test_a_request_that_was_under_way_has_an_unknown_outcome(proxy):
    async with connect(proxy) as connection:
        await is_back(connection)
        pair = await carried(proxy)
        pair.freeze("down")
        asking = asyncio.ensure_future(connection.request({"op": "pay"}, timeout=SECONDS))
        repeated = asyncio.ensure_future(
            connection.request({"op": "get"}, timeout=SECONDS, idempotent=True)
        )
        with pytest.raises(OutcomeUnknown):
            await asking
        assert (await repeated)["op"] == "get"


@pytest.mark.contract("CN10", "OB4")
async def test_a_slow_connection_is_slow_and_nothing_else(proxy):
    async with assert_no_leaks():
        async with connect(proxy, ping_timeout=5) as connection:
            await is_back(connection)
            (await carried(proxy)).rate = 2_000_000
            stream = connection.stream(limit=1000)
            for _ in range(20):
                connection.send("x" * 50_000)
            async with asyncio.timeout(SECONDS):
                for _ in range(20):
                    await anext(stream)
            assert proxy.accepted == 1
