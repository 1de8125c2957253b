"""Providers: who finds which connection, and what is left of it when its scope is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
import weakref

import pytest

from inside import count_watchers
from sockstore import (
    InvalidOption,
    InvalidURI,
    ProviderNotFound,
    Reconnect,
    Scope,
    ScopeClosed,
    WebSocketProvider,
    WebSocketStore,
    use_websocket,
)
from sockstore.testing import FakeServer, accept, drop, echo, hang, pause, refuse, repeat, slow
from waiting import turns

pytestmark = pytest.mark.virtual_clock


def provider(server: FakeServer, url: str = "ws://fake", **options) -> WebSocketProvider:
    return WebSocketProvider(url, transport=server, **options)


def urls(server: FakeServer) -> list[str]:
    return [handshake.target.url for handshake in server.handshakes]


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


# Entering


@pytest.mark.contract("PV1")
async def test_it_connects_on_entry_without_waiting_and_disconnects_on_exit(fake_server):
    async with provider(fake_server) as connection:
        assert connection.phase.value == "connecting"
        await connection.ready()
        assert len(fake_server.open_connections) == 1
    assert connection.phase.value == "closed"
    assert fake_server.open_connections == []


@pytest.mark.contract("PV1")
async def test_without_auto_connect_it_waits_for_connect(fake_server):
    async with provider(fake_server, auto_connect=False) as connection:
        await asyncio.sleep(100)
        assert (connection.phase.value, fake_server.handshakes) == ("idle", [])
        connection.connect()
        await connection.ready()


@pytest.mark.contract("PV1")
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": 1},
        {"auto_connect": "yes"},
        {"share": 1},
        {"linger": -1},
        {"reconnect": "yes"},
        {"reconnect_interval": -1},
        {"max_reconnect_attempts": -1},
        {"history": -1},
    ],
)
async def test_options_that_cannot_be_used_are_refused_when_they_are_given(wrong):
    with pytest.raises(InvalidOption):
        WebSocketProvider("ws://fake", **wrong)


@pytest.mark.contract("PV1")
async def test_a_bad_url_is_refused_when_it_is_given():
    with pytest.raises(InvalidURI):
        WebSocketProvider("http://fake")


@pytest.mark.contract("PV1", "PV4")
@pytest.mark.parametrize("share", [False, True])
async def test_an_entry_that_fails_leaves_no_provider_behind(fake_server, share):
    broken = WebSocketProvider(None, transport=fake_server, share=share)
    with pytest.raises(InvalidOption):
        await broken.__aenter__()
    with pytest.raises(ProviderNotFound):
        use_websocket()
    assert broken.scope.closed


@pytest.mark.contract("PV1")
async def test_it_is_used_once(fake_server):
    one = provider(fake_server)
    async with one:
        with pytest.raises(RuntimeError, match="once"):
            await one.__aenter__()
    with pytest.raises(ScopeClosed):
        await one.__aenter__()


# Looking up


@pytest.mark.contract("PV2")
async def test_it_is_found_however_deep_in_functions_and_tasks(fake_server):
    async def deep(levels: int) -> WebSocketStore:
        if levels % 2:
            return await asyncio.create_task(deep(levels - 1))
        return await deep(levels - 1) if levels else use_websocket()

    async with provider(fake_server) as connection:
        assert use_websocket() is connection
        assert await deep(50) is connection
        async with asyncio.TaskGroup() as group:
            task = group.create_task(deep(3))
        assert task.result() is connection


@pytest.mark.contract("PV2")
async def test_what_is_found_has_everything_that_the_guide_gives(fake_server):
    async with provider(fake_server):
        found = use_websocket()
        await found.ready()
        assert (found.connected.value, found.error.value) == (True, None)
        assert found.socket.value.url == "ws://fake"
        assert len(found.messages.value) == 0
        assert found.send("x")
        found.disconnect()
        assert not found.connected.value
        found.connect()
        await found.ready()


@pytest.mark.contract("PV2")
async def test_a_worker_thread_may_read_but_not_send(fake_server):
    def work() -> str:
        with pytest.raises(RuntimeError, match="call_threadsafe"):
            use_websocket().send("x")
        return use_websocket().status.value

    async with provider(fake_server) as connection:
        await connection.ready()
        assert await asyncio.to_thread(work) == "connected"
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.contract("PV2")
async def test_callbacks_of_the_connection_find_it(fake_server):
    found: list[WebSocketStore] = []
    async with provider(fake_server, on_open=lambda _: found.append(use_websocket())) as connection:
        connection.messages.on_append(lambda _: found.append(use_websocket()))
        await connection.ready()
        fake_server.send("x")
        await turns()
    assert found == [connection, connection]


@pytest.mark.contract("PV3")
async def test_several_names_are_live_side_by_side(fake_server):
    async with (
        provider(fake_server, "ws://a", name="a") as a,
        provider(fake_server, "ws://b", name="b") as b,
    ):
        assert (use_websocket("a"), use_websocket("b")) == (a, b)
        await a.ready()
        await b.ready()
        assert len(fake_server.open_connections) == 2


@pytest.mark.contract("PV3")
async def test_of_one_name_the_inner_one_wins_and_the_outer_one_is_back_after_it(fake_server):
    async def look() -> WebSocketStore:
        return use_websocket()

    async with provider(fake_server) as outer:
        async with provider(fake_server) as inner:
            assert inner is not outer
            assert await asyncio.create_task(look()) is inner
        assert use_websocket() is outer
        assert await asyncio.create_task(look()) is outer
        assert outer.phase.value == "open"


@pytest.mark.contract("PV3")
async def test_tasks_side_by_side_do_not_see_each_others_providers(fake_server):
    async def one(name: str) -> None:
        async with provider(fake_server) as connection:
            for _ in range(5):
                await asyncio.sleep(0.1)
                assert use_websocket() is connection

    async with provider(fake_server) as outer:
        await asyncio.gather(*(one(name) for name in "abc"))
        assert use_websocket() is outer


@pytest.mark.contract("PV2", "LC1")
@pytest.mark.parametrize("how", ["await", "wait_for", "gather", "create_task"])
async def test_what_a_scope_entered_is_found_in_it_whichever_task_did_the_entering(
    fake_server, how
):
    async def look() -> tuple[WebSocketStore, WebSocketStore]:
        return use_websocket("a"), use_websocket("b")

    async with Scope() as scope:
        enter_a = scope.enter(provider(fake_server, name="a"))
        enter_b = scope.enter(provider(fake_server, name="b"))
        match how:
            case "await":
                a, b = await enter_a, await enter_b
            case "wait_for":
                a, b = await asyncio.wait_for(enter_a, 9), await asyncio.wait_for(enter_b, 9)
            case "gather":
                a, b = await asyncio.gather(enter_a, enter_b)
            case _:
                a, b = await asyncio.create_task(enter_a), await asyncio.create_task(enter_b)
        assert await look() == (a, b)
        assert await scope.task(look()) == (a, b)
        assert await asyncio.create_task(look()) == (a, b)
    assert fake_server.open_connections == []


@pytest.mark.contract("PV2", "LC1")
async def test_what_a_scope_entered_is_found_by_what_it_runs_for_code_outside(fake_server):
    found: list[object] = []
    scope = Scope()
    connection = await scope.enter(provider(fake_server))
    scope.mount(lambda: found.append(use_websocket()))
    scope.bind(lambda: found.append(use_websocket()))()
    with pytest.raises(ProviderNotFound):
        use_websocket()
    scope.on_destroy(lambda: found.append(use_websocket()))
    await scope.aclose()
    assert found == [connection] * 3


@pytest.mark.contract("PV3", "LC1")
async def test_of_two_that_a_scope_entered_under_one_name_the_later_one_wins(fake_server):
    async with Scope() as scope:
        first = await scope.enter(provider(fake_server))
        early = provider(fake_server)
        second = await scope.enter(early)
        assert use_websocket() is second
        await early.aclose()
        assert use_websocket() is first


@pytest.mark.contract("PV3", "LC1")
async def test_the_scope_nearest_to_the_code_wins_over_what_an_outer_scope_enters(fake_server):
    async with Scope() as outer:
        async with provider(fake_server) as inner:
            added = await outer.enter(provider(fake_server))
            other = await outer.enter(provider(fake_server, name="other"))
            assert use_websocket() is inner
            assert use_websocket("other") is other
        assert use_websocket() is added


@pytest.mark.contract("PV2", "LC1")
async def test_a_manager_that_enters_providers_of_its_own_provides_all_of_them(fake_server):
    @contextlib.asynccontextmanager
    async def both():
        async with provider(fake_server, name="a") as a, provider(fake_server, name="b") as b:
            yield a, b

    async with Scope() as scope:
        a, b = await scope.enter(both())
        assert (use_websocket("a"), use_websocket("b")) == (a, b)
    assert {a.phase.value, b.phase.value} == {"closed"}


@pytest.mark.contract("PV4")
async def test_outside_any_provider_the_error_tells_the_usual_causes():
    with pytest.raises(ProviderNotFound, match="async with WebSocketProvider") as caught:
        use_websocket()
    assert (caught.value.name, caught.value.in_scope) == ("default", ())


@pytest.mark.contract("PV4")
async def test_a_wrong_name_is_answered_with_the_names_in_scope_nearest_first(fake_server):
    async with (
        provider(fake_server, name="far"),
        provider(fake_server, name="near"),
        provider(fake_server, name="far"),
    ):
        with pytest.raises(ProviderNotFound, match="'far', 'near'") as caught:
            use_websocket("nearr")
        assert caught.value.in_scope == ("far", "near")


@pytest.mark.contract("PV4")
async def test_a_plain_thread_is_told_how_to_carry_the_context_over(fake_server):
    caught: list[ProviderNotFound] = []
    found: list[WebSocketStore] = []

    def work() -> None:
        try:
            found.append(use_websocket())
        except ProviderNotFound as error:
            caught.append(error)

    one = provider(fake_server)
    async with one as connection:
        for target in (work, one.scope.bind(work)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert "scope.bind(" in str(caught[0])
    assert found == [connection]


@pytest.mark.contract("PV4")
async def test_after_the_provider_nothing_is_found_also_by_a_task_that_outlives_it(fake_server):
    left = asyncio.Event()

    async def outlive() -> None:
        await left.wait()
        use_websocket()

    async with provider(fake_server):
        task = asyncio.create_task(outlive())
    left.set()
    with pytest.raises(ProviderNotFound):
        await task


# Leaving


@pytest.mark.contract("PV5", "LC3")
@pytest.mark.parametrize("when", ["idle", "connecting", "open", "waiting", "failed", "closed"])
@pytest.mark.parametrize("how", ["end", "exception", "cancellation", "another task"])
async def test_leaving_disconnects_in_every_phase_and_however_it_is_left(when, how):
    steps = {"connecting": [hang()], "waiting": [refuse()], "failed": [refuse(404)]}
    server = FakeServer(*steps.get(when, []))
    one = provider(server, auto_connect=when != "idle")
    connections: list[WebSocketStore] = []

    async def main() -> None:
        async with one as connection:
            connections.append(connection)
            if when == "closed":
                connection.close()
            await connection.phase.wait_for(lambda phase: phase == when)
            match how:
                case "exception":
                    raise ZeroDivisionError
                case "cancellation":
                    asyncio.current_task().cancel()
                    await for_ever()
                case "another task":
                    await asyncio.create_task(one.aclose())

    task = asyncio.create_task(main())
    await asyncio.wait([task])
    expected = {"exception": ZeroDivisionError, "cancellation": asyncio.CancelledError}
    if how in expected:
        with pytest.raises(expected[how]):
            await task
    else:
        await task
    (connection,) = connections
    handshakes = len(server.handshakes)
    await asyncio.sleep(100)
    assert connection.phase.value == "closed"
    assert (server.open_connections, len(server.handshakes)) == ([], handshakes)


@pytest.mark.contract("PV5")
@pytest.mark.parametrize("share", [False, True])
async def test_after_leaving_what_would_be_silent_is_refused(fake_server, share):
    async with provider(fake_server, share=share) as connection:
        await connection.ready()
    for action, use in {
        "connect": connection.connect,
        "reconnect": connection.reconnect,
        "stream": connection.stream,
        "send": lambda: connection.send("x"),
    }.items():
        with pytest.raises(ScopeClosed, match=f"cannot {action}") as caught:
            use()
        assert caught.value.action == action


@pytest.mark.contract("PV5")
@pytest.mark.parametrize("share", [False, True])
async def test_after_leaving_one_may_read_unsubscribe_and_disconnect(fake_server, share):
    seen: list[object] = []
    async with provider(fake_server, share=share) as connection:
        await connection.ready()
        fake_server.send({"type": "x"})
        await turns()
        unsubscribe = connection.connected.subscribe(seen.append)
        connection.messages.subscribe(seen.append)
    assert seen[0] is True
    assert seen[-1] is False
    assert connection.status.value == "disconnected"
    assert connection.messages.value[0].data == {"type": "x"}
    unsubscribe()
    connection.connected.subscribe(seen.append)()
    connection.disconnect()
    await connection.aclose()


@pytest.mark.contract("PV5")
async def test_a_stream_that_is_being_read_ends_when_the_provider_is_left(fake_server):
    async def read(connection: WebSocketStore) -> list[object]:
        return [message.data async for message in connection.stream()]

    async with provider(fake_server) as connection:
        await connection.ready()
        task = asyncio.create_task(read(connection))
        await turns()
        fake_server.send(1, 2)
        await turns()
    assert await task == [1, 2]


@pytest.mark.contract("PV5", "LC1")
async def test_what_was_mounted_in_it_may_still_send_when_it_is_destroyed(fake_server):
    one = provider(fake_server)
    async with one as connection:
        await connection.ready()
        one.scope.on_destroy(lambda: connection.send("goodbye"))
    assert fake_server.received == ["goodbye"]


@pytest.mark.contract("PV5", "LC1")
async def test_cleanups_that_use_up_all_the_time_do_not_keep_it_connected(fake_server):
    one = provider(fake_server)
    with pytest.raises(ExceptionGroup):
        async with one as connection:
            await connection.ready()
            one.scope.on_destroy(for_ever)
    assert connection.phase.value == "closed"
    assert fake_server.open_connections == []


@pytest.mark.contract("PV5")
async def test_a_peer_that_never_answers_the_close_does_not_keep_the_exit_waiting(fake_server):
    loop = asyncio.get_running_loop()
    async with provider(fake_server, close_timeout=2) as connection:
        await connection.ready()
        fake_server.freeze()
        begun = loop.time()
    assert loop.time() - begun == 2
    assert connection.phase.value == "closed"


# Another url


@pytest.mark.contract("PV6")
@pytest.mark.parametrize("when", ["connecting", "open", "waiting", "failed"])
async def test_another_url_retires_the_old_socket_and_keeps_stores_and_subscribers(when):
    steps = {"connecting": [hang()], "waiting": [refuse()], "failed": [refuse(404)]}
    server = FakeServer(*steps.get(when, []))
    one = provider(server, "ws://old")
    async with one as connection:
        await connection.phase.wait_for(lambda phase: phase == when)
        await turns()
        seen: list[object] = []
        connection.socket.subscribe(lambda socket: seen.append(socket and socket.url))
        one.url = "ws://new"
        assert one.url == "ws://new"
        await connection.ready()
        assert use_websocket() is connection
        assert seen == ["ws://old"] * (when == "open") + [None, "ws://new"]
        await turns()
        assert urls(server) == ["ws://old", "ws://new"]
        assert len(server.open_connections) == 1


@pytest.mark.contract("PV6")
@pytest.mark.parametrize("when", ["idle", "closing", "closed"])
async def test_another_url_does_not_connect_what_is_disconnected(fake_server, when):
    one = provider(fake_server, "ws://old", auto_connect=when != "idle")
    async with one as connection:
        if when != "idle":
            await connection.ready()
            connection.close()
            if when == "closed":
                await connection.aclose()
        before = len(fake_server.handshakes)
        assert connection.phase.value == when
        one.url = "ws://new"
        await asyncio.sleep(100)
        assert len(fake_server.handshakes) == before
        connection.connect()
        await connection.ready()
        assert urls(fake_server)[-1] == "ws://new"


@pytest.mark.contract("PV6", "OB2")
@pytest.mark.parametrize("action", ["connect", "reconnect"])
async def test_what_was_queued_for_the_old_url_never_reaches_the_new_one(fake_server, action):
    one = provider(fake_server, auto_connect=False)
    async with one as connection:
        receipt = connection.send("for the old one")
        one.url = "ws://other"
        getattr(connection, action)()
        await connection.ready()
        assert receipt.state == "dropped"
        assert fake_server.received == []


@pytest.mark.contract("PV6")
async def test_the_same_url_again_changes_nothing(fake_server):
    one = provider(fake_server)
    async with one as connection:
        await connection.ready()
        one.url = "ws://fake"
        await turns()
        assert connection.phase.value == "open"
        assert len(fake_server.handshakes) == 1


@pytest.mark.contract("PV6")
async def test_a_bad_url_is_refused_and_the_old_one_stays(fake_server):
    one = provider(fake_server)
    async with one as connection:
        await connection.ready()
        with pytest.raises(InvalidURI):
            one.url = "http://fake"
        assert (one.url, connection.phase.value) == ("ws://fake", "open")


@pytest.mark.contract("PV6", "PV5")
async def test_the_url_of_a_provider_that_was_left_cannot_be_changed(fake_server):
    one = provider(fake_server)
    async with one:
        pass
    with pytest.raises(ScopeClosed):
        one.url = "ws://new"
    assert one.url == "ws://fake"


@pytest.mark.contract("PV6")
async def test_the_url_may_be_changed_before_it_is_entered(fake_server):
    one = provider(fake_server, "ws://old")
    one.url = "ws://new"
    async with one as connection:
        await connection.ready()
    assert urls(fake_server) == ["ws://new"]


@pytest.mark.contract("PV5", "CN5")
async def test_leaving_waits_as_long_as_a_closing_handshake_may_take(fake_server):
    loop = asyncio.get_running_loop()
    async with provider(fake_server, close_timeout=30) as connection:
        await connection.ready()
        fake_server.freeze()
        before = loop.time()
    assert loop.time() - before == 30
    assert connection.phase.value == "closed"


# The guide's schedule


@pytest.mark.contract("RC1", "RC3")
async def test_reconnect_true_is_the_guides_schedule_of_five_attempts():
    server = FakeServer(repeat(refuse()))
    async with provider(server) as connection:
        await connection.phase.wait_for(lambda phase: phase == "failed")
        assert str(connection.error.value) == "Failed to reconnect after 5 attempts"
    times = [handshake.at for handshake in server.handshakes]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits == pytest.approx([3, 6, 9, 12, 15])


@pytest.mark.contract("RC1")
async def test_interval_and_attempts_are_those_that_were_given():
    server = FakeServer(repeat(refuse()))
    async with provider(server, reconnect_interval=0.5, max_reconnect_attempts=2) as connection:
        await connection.phase.wait_for(lambda phase: phase == "failed")
        assert str(connection.error.value) == "Failed to reconnect after 2 attempts"
    assert [handshake.at for handshake in server.handshakes] == pytest.approx([0, 0.5, 1.5])


@pytest.mark.contract("RC1")
async def test_reconnect_false_never_does():
    server = FakeServer(accept(), pause(10), drop())
    async with provider(server, reconnect=False) as connection:
        await connection.phase.wait_for(lambda phase: phase == "failed")
        assert len(server.handshakes) == 1


@pytest.mark.contract("RC1")
async def test_a_reconnect_wins():
    server = FakeServer(repeat(refuse()))
    every_second = Reconnect(schedule=lambda attempt, outcome: 1.0, attempts=3)
    async with provider(server, reconnect=every_second) as connection:
        await connection.phase.wait_for(lambda phase: phase == "failed")
    assert [handshake.at for handshake in server.handshakes] == pytest.approx([0, 1, 2, 3])


@pytest.mark.contract("RC1")
@pytest.mark.parametrize("beside", [{"max_reconnect_attempts": 3}, {"reconnect_interval": 1.0}])
async def test_a_reconnect_beside_other_values_of_the_two_is_refused(beside):
    with pytest.raises(InvalidOption, match="reconnect"):
        WebSocketProvider("ws://fake", reconnect=Reconnect.exponential(), **beside)


@pytest.mark.contract("RC4")
async def test_in_a_provider_too_a_short_life_counts_as_a_failed_attempt():
    server = FakeServer(repeat(accept(), pause(1), drop()))
    async with provider(server) as connection:
        await connection.phase.wait_for(lambda phase: phase == "failed")
        assert len(server.handshakes) == 6


# Many


@pytest.mark.contract("LC2", "CN10")
async def test_a_task_that_outlives_the_scope_keeps_nothing_that_was_entered_in_it(fake_server):
    gone: list[weakref.ref[object]] = []

    async def main() -> asyncio.Task[None]:
        async with Scope() as scope:
            one = provider(fake_server)
            connection = await scope.enter(one)
            gone.extend([weakref.ref(one.scope), weakref.ref(connection)])
            return asyncio.create_task(for_ever())

    task = await asyncio.create_task(main())
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.contract("LC2")
async def test_a_thousand_mounts_and_unmounts_leave_no_subscriber_on_a_store():
    server = FakeServer(slow(0.01), accept(), echo())
    async with provider(server, "ws://outer", name="outer") as outer:
        await outer.ready()
        before = count_watchers(outer.state)
        for _ in range(1000):
            async with Scope() as scope:
                scope.subscribe(outer.connected, lambda _: None)
                scope.subscribe(outer.messages, lambda _: None)
                await scope.enter(provider(server))
        after = count_watchers(outer.state)
        assert after == before
        assert not count_watchers(outer.messages)
        assert len(server.open_connections) == 1
