"""Sharing: several providers, one connection, and each of them sees its own part of it."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from inside import count_watchers, shared_connections
from sockstore import (
    ConnectionEnded,
    InvalidOption,
    Navigator,
    Opening,
    ScopeClosed,
    WebSocketProvider,
    use_websocket,
)
from sockstore.testing import FakeServer, VirtualClock, accept, hang, pause, refuse, repeat
from waiting import turns

pytestmark = pytest.mark.virtual_clock


@pytest.fixture(autouse=True)
def _nothing_is_shared_afterwards():
    yield
    assert shared_connections() == 0


def sharing(server: FakeServer, url: str = "ws://fake", **options) -> WebSocketProvider:
    return WebSocketProvider(url, transport=server, share=True, **options)


# Taking and giving back


@pytest.mark.contract("PV7")
async def test_providers_of_the_same_name_and_url_share_one_connection(fake_server):
    async with sharing(fake_server) as one, sharing(fake_server) as two:
        await one.ready()
        await two.ready()
        assert len(fake_server.handshakes) == 1
        one.send("from one")
        two.send("from two")
        await turns()
        assert fake_server.received == ["from one", "from two"]
        assert use_websocket() is two


@pytest.mark.contract("PV7")
@pytest.mark.parametrize("other", [{"url": "ws://other"}, {"name": "other"}])
async def test_another_name_or_url_is_another_connection(fake_server, other):
    async with sharing(fake_server) as one, sharing(fake_server, **other) as two:
        await one.ready()
        await two.ready()
        assert len(fake_server.open_connections) == 2


@pytest.mark.contract("PV7")
async def test_a_provider_that_does_not_share_has_one_of_its_own(fake_server):
    async with (
        sharing(fake_server) as one,
        WebSocketProvider("ws://fake", transport=fake_server) as two,
    ):
        await one.ready()
        await two.ready()
        assert len(fake_server.open_connections) == 2


@pytest.mark.contract("PV7")
async def test_the_last_one_to_leave_closes_in_whatever_order_they_leave(fake_server):
    providers = [sharing(fake_server) for _ in range(3)]
    for provider in providers:
        connection = await provider.__aenter__()
    await connection.ready()
    for index in (1, 0, 2):
        assert len(fake_server.open_connections) == 1
        await providers[index].aclose()
    assert fake_server.open_connections == []
    assert connection.phase.value == "closed"


@pytest.mark.contract("PV7")
async def test_leaving_is_at_once_for_who_is_not_the_last(fake_server):
    loop = asyncio.get_running_loop()
    async with sharing(fake_server, close_timeout=3) as one:
        await one.ready()
        begun = loop.time()
        async with sharing(fake_server):
            fake_server.freeze()
        assert loop.time() == begun
        assert one.phase.value == "open"


@pytest.mark.contract("PV7")
async def test_without_auto_connect_a_lease_is_taken_by_connect(fake_server):
    async with sharing(fake_server, auto_connect=False) as idle:
        async with sharing(fake_server) as one:
            await one.ready()
            assert (idle.phase.value, idle.socket.value) == ("idle", None)
            idle.connect()
            assert idle.phase.value == "open"
        assert len(fake_server.open_connections) == 1
        assert len(fake_server.handshakes) == 1


@pytest.mark.contract("PV7")
async def test_disconnect_gives_back_only_ones_own_lease(fake_server):
    async with sharing(fake_server) as one, sharing(fake_server) as two:
        await one.ready()
        one.disconnect()
        assert (one.phase.value, one.connected.value, one.socket.value) == ("closed", False, None)
        assert (one.status.value, one.error.value) == ("disconnected", None)
        assert two.phase.value == "open"
        one.disconnect()
        await asyncio.sleep(100)
        assert two.phase.value == "open"
        two.disconnect()
        await turns()
        assert fake_server.open_connections == []


@pytest.mark.contract("PV7")
async def test_who_gave_back_may_take_again(fake_server):
    async with sharing(fake_server) as one, sharing(fake_server) as two:
        await one.ready()
        for _ in range(3):
            one.disconnect()
            one.connect()
            assert one.phase.value == "open"
        two.disconnect()
        assert one.phase.value == "open"
        assert len(fake_server.handshakes) == 1


@pytest.mark.contract("PV7")
async def test_taking_twice_is_one_lease(fake_server):
    async with sharing(fake_server) as one:
        await one.ready()
        one.connect()
        one.disconnect()
        await turns()
        assert fake_server.open_connections == []


@pytest.mark.contract("PV7")
async def test_after_all_have_disconnected_the_first_to_take_connects_anew(fake_server):
    async with sharing(fake_server) as one, sharing(fake_server) as two:
        await one.ready()
        one.disconnect()
        two.disconnect()
        await asyncio.sleep(10)
        two.connect()
        await two.ready()
        assert (one.phase.value, two.phase.value) == ("closed", "open")
        assert len(fake_server.handshakes) == 2


@pytest.mark.contract("PV7")
async def test_who_has_disconnected_still_shares_with_who_comes_later(fake_server):
    async with sharing(fake_server) as one:
        await one.ready()
        one.disconnect()
        await asyncio.sleep(10)
        async with sharing(fake_server) as two:
            await two.ready()
            one.connect()
            assert one.phase.value == "open"
            assert len(fake_server.open_connections) == 1


@pytest.mark.contract("PV7", "CN5")
async def test_disconnecting_before_any_connect_shows_closed(fake_server):
    async with sharing(fake_server, auto_connect=False) as idle:
        idle.disconnect()
        assert idle.phase.value == "closed"
        with pytest.raises(ConnectionEnded):
            await idle.ready()


@pytest.mark.contract("PV7", "CN5")
async def test_a_bad_close_code_is_refused_and_gives_nothing_back(fake_server):
    async with sharing(fake_server) as one:
        await one.ready()
        with pytest.raises(ValueError, match="1001"):
            one.close(1001)
        assert one.phase.value == "open"


@pytest.mark.contract("PV7", "CN5")
async def test_the_last_one_closes_with_its_own_code(fake_server):
    async with sharing(fake_server) as one:
        await one.ready()
        one.close(4000, "enough")
        await turns()
    assert fake_server.connections[0].closed.code == 4000


# What a lease shows


@pytest.mark.contract("PV7")
async def test_who_gave_back_sends_nothing_and_hears_nothing_of_the_others_state(fake_server):
    seen: list[str] = []
    async with sharing(fake_server) as one, sharing(fake_server) as two:
        await one.ready()
        one.disconnect()
        one.phase.subscribe(seen.append)
        receipt = one.send("x")
        assert (bool(receipt), receipt.state) == (False, "refused")
        with pytest.raises(TypeError):
            one.send(object())
        one.state.subscribe(lambda state: seen.append(state.phase))
        two.reconnect()
        await two.ready()
        assert fake_server.received == []
        with pytest.raises(ConnectionEnded):
            await one.ready()
    assert seen == ["closed", "closed"]


@pytest.mark.contract("PV7")
async def test_the_streams_of_who_gave_back_end_and_those_of_the_others_go_on(fake_server):
    async with sharing(fake_server) as one, sharing(fake_server) as two:
        await one.ready()
        mine, others = one.stream(), two.stream()
        fake_server.send(1)
        await turns()
        one.disconnect()
        fake_server.send(2)
        await turns()
        assert [message.data async for message in mine] == [1]
        assert [message.data async for message in one.stream()] == []
        assert [(await anext(others)).data, (await anext(others)).data] == [1, 2]


@pytest.mark.contract("PV7", "CN2")
async def test_no_subscriber_of_a_lease_ever_sees_a_mixed_state(fake_server):
    seen: list[tuple[str, bool, bool]] = []
    async with sharing(fake_server) as one, sharing(fake_server):
        one.state.subscribe(
            lambda state: seen.append((state.phase, state.connected, state.socket is not None))
        )
        await one.ready()
        one.disconnect()
        one.connect()
        fake_server.drop()
        await turns()
        await one.ready()
    assert seen == [
        ("connecting", False, False),
        ("open", True, True),
        ("closed", False, False),
        ("open", True, True),
        ("waiting", False, False),
        ("connecting", False, False),
        ("open", True, True),
        ("closed", False, False),
    ]


@pytest.mark.contract("PV7", "ST9")
async def test_a_subscriber_that_raises_keeps_no_lease(fake_server, reported):
    def fail(connected: bool) -> None:
        if connected != armed:
            raise ZeroDivisionError

    async with sharing(fake_server) as one:
        armed = False
        one.phase.subscribe(lambda phase: fail(phase == "closed"))
        await one.ready()
        one.disconnect()
        await turns()
        assert fake_server.open_connections == []
    assert {type(context["exception"]) for context in reported} == {ZeroDivisionError}


@pytest.mark.contract("PV7")
async def test_a_lease_keeps_its_url(fake_server):
    provider = sharing(fake_server)
    async with provider as one:
        one.connect("ws://fake")
        with pytest.raises(InvalidOption, match="url"):
            one.connect("ws://other")
        with pytest.raises(InvalidOption, match="url"):
            provider.url = "ws://other"
        await one.ready()
        assert one.socket.value.url == "ws://fake"
        one.disconnect()
        with pytest.raises(InvalidOption, match="url"):
            provider.url = "ws://other"


@pytest.mark.contract("PV7", "CN14")
async def test_the_refusal_of_another_url_tells_no_secret(fake_server):
    provider = sharing(fake_server)
    async with provider as one:
        for change in (one.connect, lambda url: setattr(provider, "url", url)):
            with pytest.raises(InvalidOption) as caught:
                change("ws://me:secret@fake/?token=secret")
            assert "secret" not in str(caught.value)


@pytest.mark.contract("PV7", "RC10")
async def test_reconnect_takes_the_lease_and_opens_a_new_connection_for_all(fake_server):
    async with sharing(fake_server) as one, sharing(fake_server, auto_connect=False) as two:
        await one.ready()
        two.reconnect()
        assert one.phase.value == two.phase.value == "connecting"
        await one.ready()
        assert len(fake_server.open_connections) == 1
        assert len(fake_server.handshakes) == 2


# When the shared connection ends


@pytest.mark.contract("PV7")
async def test_a_failure_is_seen_by_all_who_hold_it_and_a_new_taker_tries_again():
    server = FakeServer(refuse(404))
    async with sharing(server) as one, sharing(server) as two:
        for lease in (one, two):
            await lease.phase.wait_for(lambda phase: phase == "failed")
            with pytest.raises(ConnectionEnded):
                await lease.ready()
        async with sharing(server) as three:
            await three.ready()
            assert one.phase.value == two.phase.value == "open"


@pytest.mark.contract("PV7")
async def test_leaving_after_a_failure_leaves_nothing():
    server = FakeServer(repeat(refuse()))
    async with sharing(server, reconnect=False) as one, sharing(server, reconnect=False):
        await one.phase.wait_for(lambda phase: phase == "failed")
    assert one.phase.value == "closed"


@pytest.mark.contract("PV7", "RC5")
async def test_a_goodbye_of_the_server_closes_it_for_all_until_one_connects():
    server = FakeServer()
    async with sharing(server) as one, sharing(server) as two:
        await one.ready()
        server.close()
        await two.phase.wait_for(lambda phase: phase == "closed")
        assert one.phase.value == "closed"
        one.connect()
        await two.ready()


@pytest.mark.contract("PV7", "ST12")
async def test_another_thread_gives_back_and_takes_nothing(fake_server):
    async with sharing(fake_server) as one:
        await one.ready()
        for act in (one.close, one.connect, one.reconnect, lambda: one.send("x")):
            with pytest.raises(RuntimeError, match="call_threadsafe"):
                await asyncio.to_thread(act)
        assert one.phase.value == "open"
        assert len(fake_server.open_connections) == len(fake_server.handshakes) == 1
        assert fake_server.received == []
    await asyncio.get_running_loop().shutdown_default_executor()


# Linger


@pytest.mark.contract("PV7")
async def test_it_stays_open_for_the_time_that_it_lingers(fake_server):
    loop = asyncio.get_running_loop()
    async with sharing(fake_server, linger=10) as one:
        await one.ready()
    left = loop.time()
    assert one.phase.value == "closed"
    await asyncio.sleep(9.9)
    assert len(fake_server.open_connections) == 1
    await asyncio.sleep(0.2)
    assert fake_server.open_connections == []
    assert loop.time() - left == pytest.approx(10.1)


@pytest.mark.contract("PV7")
async def test_a_new_taker_cuts_the_lingering_and_finds_the_messages(fake_server):
    async with sharing(fake_server, linger=10) as one:
        await one.ready()
        fake_server.send("kept")
        await turns()
    await asyncio.sleep(9)
    async with sharing(fake_server) as two:
        assert two.phase.value == "open"
        assert [message.data for message in two.messages.value] == ["kept"]
        await asyncio.sleep(100)
        assert two.phase.value == "open"
        assert len(fake_server.handshakes) == 1
    assert fake_server.open_connections == []


@pytest.mark.contract("PV7")
async def test_a_disconnect_of_the_last_one_lingers_too(fake_server):
    async with sharing(fake_server, linger=10) as one:
        await one.ready()
        one.disconnect()
        await asyncio.sleep(5)
        assert len(fake_server.open_connections) == 1
        one.connect()
        await asyncio.sleep(50)
        assert (one.phase.value, len(fake_server.handshakes)) == ("open", 1)
    await asyncio.sleep(11)


@pytest.mark.contract("PV7")
async def test_it_lingers_on_when_its_last_holder_disconnects_and_then_leaves(fake_server):
    async with sharing(fake_server, linger=10) as one:
        await one.ready()
        one.disconnect()
    async with sharing(fake_server) as two:
        assert two.phase.value == "open"
    assert len(fake_server.handshakes) == 1


@pytest.mark.contract("PV7")
async def test_a_disconnect_of_who_holds_no_lease_cuts_no_lingering(fake_server):
    async with (
        sharing(fake_server, auto_connect=False) as idle,
        sharing(fake_server, linger=10) as one,
    ):
        await one.ready()
        one.disconnect()
        idle.disconnect()
        one.disconnect()
        await asyncio.sleep(9)
        assert len(fake_server.open_connections) == 1
        await asyncio.sleep(2)
        assert fake_server.open_connections == []


@pytest.mark.contract("PV7", "ST12")
async def test_a_taker_in_another_thread_is_refused_and_ends_no_lingering(fake_server):
    async with sharing(fake_server, linger=10, auto_connect=False) as one:
        one.connect()
        await one.ready()
        one.disconnect()

        def take() -> None:
            with pytest.raises(RuntimeError):
                one.connect()

        await asyncio.to_thread(take)
        await asyncio.sleep(11)
        assert fake_server.open_connections == []
    await asyncio.get_running_loop().shutdown_default_executor()


# Nested, navigated, left


@pytest.mark.contract("PV7", "PV3")
async def test_nested_scopes_share_and_the_outer_one_keeps_it_after_the_inner(fake_server):
    async with sharing(fake_server) as outer:
        await outer.ready()
        for _ in range(3):
            async with sharing(fake_server) as inner:
                assert use_websocket() is inner
                assert inner.phase.value == "open"
        assert use_websocket() is outer
        assert outer.phase.value == "open"
    assert len(fake_server.handshakes) == 1


@pytest.mark.contract("PV7", "PV5")
async def test_the_first_taker_may_leave_and_is_refused_while_the_others_go_on(fake_server):
    first = sharing(fake_server)
    one = await first.__aenter__()
    async with sharing(fake_server) as two:
        await one.ready()
        await first.aclose()
        with pytest.raises(ScopeClosed):
            one.send("x")
        assert two.send("x")
        await turns()
        assert fake_server.received == ["x"]


@pytest.mark.contract("PV7", "LC4")
async def test_the_navigation_of_one_holder_gives_back_its_own_lease_only(fake_server):
    async def page(scope: object) -> None:
        pass

    async with Navigator() as navigator:
        async with (
            sharing(fake_server, close_on_navigate=navigator) as one,
            sharing(fake_server) as two,
        ):
            await one.ready()
            await navigator.goto(page)
            assert (one.phase.value, two.phase.value) == ("closed", "open")
            assert not count_watchers(navigator.navigating)
            one.connect()
            one.disconnect()
            assert not count_watchers(navigator.navigating)


@pytest.mark.contract("PV7", "LC3")
async def test_leaving_while_it_connects_gives_up_the_attempt():
    server = FakeServer(hang())
    async with sharing(server):
        async with sharing(server) as two:
            await turns()
        assert two.phase.value == "closed"
    await asyncio.sleep(100)
    assert len(server.handshakes) == 1


@pytest.mark.contract("PV7", "PV5")
async def test_a_cancelled_exit_of_the_last_one_still_closes():
    server = FakeServer(accept(), pause(1))
    entered = asyncio.Event()

    async def hold() -> None:
        async with sharing(server) as one:
            await one.ready()
            entered.set()
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(hold()) for _ in range(3)]
    await entered.wait()
    await turns()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert server.open_connections == []


@pytest.mark.contract("LC2", "PV7")
async def test_a_shared_connection_is_gone_once_nobody_holds_it(fake_server):
    gone: list[weakref.ref[object]] = []

    class Opened:
        """The ``on_open`` of the connection, which lives as long as what holds it."""

        def __call__(self, opening: Opening) -> None:
            gone.append(weakref.ref(opening.connection))

    for _ in range(3):
        on_open = Opened()
        async with sharing(fake_server, on_open=on_open) as one:
            await one.ready()
            gone += [weakref.ref(one), weakref.ref(on_open)]
        del one, on_open
    gc.collect()
    assert [ref() for ref in gone] == [None] * 9


@pytest.mark.contract("PV7", "CN10")
def test_what_lingers_on_a_loop_that_was_closed_is_forgotten_by_the_next_loop():
    server = FakeServer()

    async def abandon() -> None:
        async with sharing(server, linger=1000) as one:
            await one.ready()

    async def share() -> None:
        async with sharing(server) as one:
            gc.collect()
            await one.ready()

    VirtualClock().run(abandon())
    with pytest.warns(ResourceWarning):
        VirtualClock().run(share())
    assert len(server.handshakes) == 2
