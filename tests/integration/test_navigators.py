"""Navigation: one page at a time, and connections that do not outlive theirs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest
from puppets import let_go

from inside import count_watchers
from sockstore import (
    InvalidOption,
    Navigation,
    Navigator,
    Reconnect,
    Scope,
    ScopeClosed,
    WebSocketProvider,
    WebSocketStore,
    use_websocket,
    writable,
)
from sockstore.testing import FakeServer, hang, refuse
from waiting import turns

pytestmark = pytest.mark.virtual_clock


class Notes(list[str]):
    """What pages do, in order."""

    def page(self, name: str, seconds: float = 0):
        async def page(scope: Scope) -> None:
            scope.on_destroy(lambda: self.append(f"leave {name}"))
            self.append(f"mount {name}")
            await asyncio.sleep(seconds)
            self.append(f"show {name}")

        page.__name__ = name
        return page


@pytest.fixture
def notes() -> Notes:
    return Notes()


async def empty(scope: Scope) -> None:
    pass


def listeners(navigator: Navigator) -> int:
    return count_watchers(navigator.navigating)


# Pages


@pytest.mark.contract("LC4")
async def test_the_old_scope_is_left_before_the_next_page_is_mounted(notes):
    async def slow(scope: Scope) -> None:
        async def clean() -> None:
            await asyncio.sleep(3)
            notes.append("leave slow")

        scope.on_destroy(clean)

    async with Navigator() as navigator:
        assert await navigator.goto(slow)
        assert await navigator.goto(notes.page("next"))
        assert notes == ["leave slow", "mount next", "show next"]
    assert notes[-1] == "leave next"


@pytest.mark.contract("LC4")
async def test_navigating_says_from_where_and_to_where_until_the_page_is_shown():
    seen: list[object] = []

    async def other(scope: Scope) -> None:
        seen.append("mounting")
        assert navigator.page is None

    async with Navigator() as navigator:
        navigator.navigating.subscribe(seen.append)
        await navigator.goto(empty)
        assert navigator.page is empty
        await navigator.goto(other)
        assert navigator.page is other
    assert seen == [
        None,
        Navigation(None, empty),
        None,
        Navigation(empty, other),
        "mounting",
        None,
        Navigation(other, None),
        None,
    ]
    assert navigator.page is None


@pytest.mark.contract("LC4")
async def test_the_last_of_several_navigations_at_once_wins(notes):
    async with Navigator() as navigator:
        pages = [notes.page(name, 1) for name in "abc"]
        results = await asyncio.gather(*(navigator.goto(page) for page in pages))
        assert results == [False, False, True]
        assert navigator.page is pages[2]
        assert notes == ["mount c", "show c"]


@pytest.mark.contract("LC4")
async def test_a_navigation_that_takes_over_waits_until_the_old_page_is_left(notes):
    async def slow(scope: Scope) -> None:
        async def clean() -> None:
            await asyncio.sleep(3)
            notes.append("leave slow")

        scope.on_destroy(clean)

    async with Navigator() as navigator:
        await navigator.goto(slow)
        first = asyncio.create_task(navigator.goto(notes.page("a")))
        await asyncio.sleep(1)
        assert await navigator.goto(notes.page("b"))
        assert await first is False
        assert notes == ["leave slow", "mount b", "show b"]


@pytest.mark.contract("LC4")
async def test_a_page_that_is_still_being_mounted_is_given_up_for_the_next_one(notes):
    async with Navigator() as navigator:
        first = asyncio.create_task(navigator.goto(notes.page("a", 100)))
        await asyncio.sleep(1)
        assert await navigator.goto(notes.page("b"))
        assert await first is False
        assert notes == ["mount a", "leave a", "mount b", "show b"]


@pytest.mark.contract("LC4", "LC1")
async def test_a_page_that_swallows_its_cancellation_is_given_up_within_the_bound(notes):
    stop = asyncio.Event()

    async def stubborn(scope: Scope) -> None:
        while not stop.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await stop.wait()

    loop = asyncio.get_running_loop()
    async with Navigator(destroy_timeout=2) as navigator:
        first = asyncio.create_task(navigator.goto(stubborn))
        await turns()
        begun = loop.time()
        with pytest.raises(ExceptionGroup, match="leaving the scope raised"):
            async with asyncio.timeout(100):
                await navigator.goto(notes.page("b"))
        assert loop.time() - begun == pytest.approx(2 + 1)
        assert notes == ["mount b", "show b"]
        assert await first is False
    stop.set()


@pytest.mark.contract("LC4")
async def test_a_task_of_the_page_may_navigate_away_from_it(notes):
    async def page(scope: Scope) -> None:
        scope.on_destroy(lambda: notes.append("leave page"))

        async def click() -> None:
            try:
                await navigator.goto(notes.page("next"))
            finally:
                notes.append("task ended")

        scope.task(click())

    async with Navigator() as navigator:
        await navigator.goto(page)
        await navigator.navigating.wait_for(lambda navigation: navigation)
        await navigator.navigating.wait_for(lambda navigation: navigation is None)
        assert notes == ["task ended", "leave page", "mount next", "show next"]


@pytest.mark.contract("LC4")
async def test_a_page_may_redirect_while_it_is_mounted(notes):
    async def redirects(scope: Scope) -> None:
        await navigator.goto(notes.page("login"))
        notes.append("never")

    async with Navigator() as navigator:
        assert await navigator.goto(redirects) is False
        await navigator.navigating.wait_for(lambda navigation: navigation is None)
        assert notes == ["mount login", "show login"]


@pytest.mark.contract("LC4")
async def test_a_navigation_goes_on_when_who_asked_for_it_is_cancelled(notes):
    async with Navigator() as navigator:
        click = asyncio.create_task(navigator.goto(notes.page("a", 1)))
        await turns()
        click.cancel()
        await asyncio.wait([click])
        await navigator.navigating.wait_for(lambda navigation: navigation is None)
        assert notes == ["mount a", "show a"]


@pytest.mark.contract("LC4")
async def test_what_a_page_raises_reaches_who_navigates_and_no_page_is_shown(notes):
    async def broken(scope: Scope) -> None:
        scope.on_destroy(lambda: notes.append("leave broken"))
        raise ZeroDivisionError

    async with Navigator() as navigator:
        with pytest.raises(ZeroDivisionError):
            await navigator.goto(broken)
        assert (navigator.page, navigator.navigating.value) == (None, None)
        assert notes == ["leave broken"]
        assert await navigator.goto(empty)


@pytest.mark.contract("LC4")
async def test_a_page_that_raises_is_heard_above_its_own_cleanup_which_is_reported(reported):
    async def broken(scope: Scope) -> None:
        def clean() -> None:
            raise ValueError("cleanup")

        scope.on_destroy(clean)
        raise ZeroDivisionError

    async with Navigator() as navigator:
        with pytest.raises(ZeroDivisionError):
            await navigator.goto(broken)
    (context,) = reported
    assert [str(error) for error in context["exception"].exceptions] == ["cleanup"]


async def messy(scope: Scope) -> None:
    """Show, and raise when it is left."""

    def clean() -> None:
        raise ValueError("cleanup")

    scope.on_destroy(clean)


@pytest.mark.contract("LC4")
async def test_what_the_cleanup_of_the_old_page_raises_is_raised_once_the_new_one_is_shown():
    async with Navigator() as navigator:
        await navigator.goto(messy)
        with pytest.raises(ExceptionGroup):
            await navigator.goto(empty)
        assert (navigator.page, navigator.navigating.value) == (empty, None)


@pytest.mark.contract("LC4")
async def test_what_the_cleanup_of_the_old_page_raises_is_reported_if_the_new_one_raises(reported):
    async def broken(scope: Scope) -> None:
        raise ZeroDivisionError

    async with Navigator() as navigator:
        await navigator.goto(messy)
        with pytest.raises(ZeroDivisionError):
            await navigator.goto(broken)
    (context,) = reported
    assert [str(error) for error in context["exception"].exceptions] == ["cleanup"]


@pytest.mark.contract("LC4")
async def test_what_the_cleanup_raises_is_not_lost_when_another_navigation_takes_over():
    async def slow_and_messy(scope: Scope) -> None:
        async def clean() -> None:
            await asyncio.sleep(2)
            raise ValueError("cleanup")

        scope.on_destroy(clean)

    async with Navigator() as navigator:
        await navigator.goto(slow_and_messy)
        first = asyncio.create_task(navigator.goto(empty))
        await asyncio.sleep(1)
        assert await navigator.goto(empty)
        with pytest.raises(ExceptionGroup):
            await first


@pytest.mark.contract("LC4")
async def test_a_subscriber_that_raises_stops_no_navigation(reported, notes):
    def fail(navigation: object) -> None:
        if navigation:
            raise ZeroDivisionError

    async with Navigator() as navigator:
        with navigator.navigating.subscribe(fail):
            assert await navigator.goto(notes.page("a"))
    assert notes == ["mount a", "show a", "leave a"]
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


@pytest.mark.contract("LC4")
async def test_a_navigator_that_was_left_navigates_no_more(notes):
    navigator = Navigator()
    await navigator.goto(notes.page("a"))
    await navigator.aclose()
    await navigator.aclose()
    assert notes == ["mount a", "show a", "leave a"]
    with pytest.raises(ScopeClosed, match="navigate"):
        await navigator.goto(empty)


@pytest.mark.contract("LC4")
async def test_leaving_the_navigator_gives_up_a_page_that_is_being_mounted(notes):
    async with Navigator() as navigator:
        click = asyncio.create_task(navigator.goto(notes.page("a", 100)))
        await asyncio.sleep(1)
    assert await click is False
    assert notes == ["mount a", "leave a"]


@pytest.mark.contract("LC4", "PV2")
async def test_pages_see_what_surrounds_the_navigator_and_not_what_surrounds_who_clicked():
    seen: list[object] = []

    async def page(scope: Scope) -> None:
        seen.append(use_websocket())

    server = FakeServer()
    async with WebSocketProvider("ws://outer", transport=server) as outer:
        async with Navigator() as navigator:
            async with WebSocketProvider("ws://inner", transport=server):
                await navigator.goto(page)
    assert seen == [outer]


@pytest.mark.contract("LC4", "LC3", "PV5")
async def test_the_provider_of_a_page_is_disconnected_before_the_next_page_is_mounted():
    server = FakeServer()
    open_ones: list[int] = []

    async def chat(scope: Scope) -> None:
        connection = await scope.enter(WebSocketProvider("ws://chat", transport=server))
        await connection.ready()
        assert use_websocket() is connection

    async def home(scope: Scope) -> None:
        open_ones.append(len(server.open_connections))

    async with Navigator() as navigator:
        await navigator.goto(chat)
        assert len(server.open_connections) == 1
        await navigator.goto(home)
    assert open_ones == [0]


@pytest.mark.contract("LC2", "LC4")
async def test_a_page_is_gone_once_it_is_left():
    class Thing:
        def clean(self) -> None:
            pass

    things: list[weakref.ref[object]] = []

    async def page(scope: Scope) -> None:
        thing = Thing()
        scope.on_destroy(thing.clean)
        things.extend([weakref.ref(thing), weakref.ref(scope)])

    async with Navigator() as navigator:
        await navigator.goto(page)
        await navigator.goto(empty)
        gc.collect()
        assert [thing() for thing in things] == [None, None]


# close_on_navigate


@pytest.mark.contract("LC4")
async def test_the_first_navigation_closes_a_connection_and_removes_its_listener():
    server = FakeServer()
    async with Navigator() as navigator:
        connection = WebSocketStore("ws://fake", transport=server, close_on_navigate=navigator)
        assert listeners(navigator) == 0
        connection.connect()
        connection.connect()
        await connection.ready()
        assert listeners(navigator) == 1
        await navigator.goto(empty)
        assert connection.phase.value in {"closing", "closed"}
        assert listeners(navigator) == 0
        await connection.aclose()
        assert server.open_connections == []


@pytest.mark.contract("LC3", "LC4")
async def test_a_navigation_closes_a_connection_that_is_still_connecting():
    async with Navigator() as navigator:
        connection = WebSocketStore(
            "ws://fake", transport=FakeServer(hang()), close_on_navigate=navigator
        )
        connection.connect()
        await turns()
        await navigator.goto(empty)
        assert connection.phase.value in {"closing", "closed"}
        await connection.aclose()


@pytest.mark.contract("LC4")
@pytest.mark.parametrize("end", ["closed by the user", "goodbye", "failed", "dropped"])
async def test_no_listener_is_left_of_a_connection_that_ended_before_any_navigation(end):
    server = FakeServer(refuse(404)) if end == "failed" else FakeServer()
    navigator = Navigator()
    connection = WebSocketStore(
        "ws://fake",
        transport=server,
        close_on_navigate=navigator,
        reconnect=Reconnect.exponential(after_goodbye=False),
    )
    connection.connect()
    await turns()
    match end:
        case "closed by the user":
            await connection.aclose()
        case "goodbye":
            server.close()
            await connection.phase.wait_for(lambda phase: phase == "closed")
        case "failed":
            await connection.phase.wait_for(lambda phase: phase == "failed")
        case _:
            held = [connection]
            del connection
            with pytest.warns(ResourceWarning):
                let_go(held)
            await turns()
    assert listeners(navigator) == 0


@pytest.mark.contract("LC4")
@pytest.mark.parametrize("again", ["connect", "reconnect"])
async def test_a_connection_that_is_connected_again_listens_again(again):
    server = FakeServer()
    async with Navigator() as navigator:
        connection = WebSocketStore("ws://fake", transport=server, close_on_navigate=navigator)
        connection.connect()
        await navigator.goto(empty)
        getattr(connection, again)()
        await connection.ready()
        assert listeners(navigator) == 1
        await navigator.goto(empty)
        assert connection.phase.value in {"closing", "closed"}
        assert listeners(navigator) == 0
        await connection.aclose()


@pytest.mark.contract("LC4")
async def test_a_navigation_does_not_close_what_is_opened_while_its_own_page_is_mounted():
    server = FakeServer()
    connection: WebSocketStore

    async def page(scope: Scope) -> None:
        nonlocal connection
        connection = WebSocketStore("ws://fake", transport=server, close_on_navigate=navigator)
        connection.send("queued")
        connection.connect()
        await connection.ready()

    async with Navigator() as navigator:
        await navigator.goto(page)
        assert connection.phase.value == "open"
        await turns()
        assert server.received == ["queued"]
        await navigator.goto(empty)
        assert connection.phase.value in {"closing", "closed"}
        await connection.aclose()


@pytest.mark.contract("LC4")
async def test_a_navigator_of_ones_own_may_say_true_at_each_navigation():
    class Router:
        navigating = writable(False)

    server, router = FakeServer(), Router()
    router.navigating.set(True)
    connection = WebSocketStore("ws://fake", transport=server, close_on_navigate=router)
    connection.connect()
    await connection.ready()
    router.navigating.set(False)
    assert connection.phase.value == "open"
    router.navigating.set(True)
    assert connection.phase.value in {"closing", "closed"}
    await connection.aclose()


@pytest.mark.contract("LC4")
@pytest.mark.parametrize("share", [False, True])
async def test_what_navigates_nowhere_is_refused_when_it_is_given(share):
    for wrong in (object(), "navigator"):
        with pytest.raises(InvalidOption, match="Navigator"):
            WebSocketStore("ws://fake", close_on_navigate=wrong)
        with pytest.raises(InvalidOption, match="Navigator"):
            WebSocketProvider("ws://fake", close_on_navigate=wrong, share=share)
