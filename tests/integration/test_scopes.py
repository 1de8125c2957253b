"""A scope: what it owns, what its code finds, and how it is left, whoever leaves it and when."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import AsyncIterator

import pytest
from puppets import count_objects

from inside import scopes_here
from sockstore import InvalidOption, Scope, ScopeClosed, derived, writable
from sockstore.testing import assert_no_leaks
from waiting import turns

pytestmark = pytest.mark.virtual_clock


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def stubborn(stop: asyncio.Event) -> None:
    """Go on, however often it is cancelled."""
    while not stop.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await stop.wait()


def here() -> Scope | None:
    return next(scopes_here(), None)


class Manager:
    """An async context manager that takes notes."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes
        self.told: object = None

    async def __aenter__(self) -> str:
        self.notes.append(f"enter {self.name}")
        await asyncio.sleep(0)
        return self.name

    async def __aexit__(self, kind, error, traceback) -> None:
        self.told = error
        await asyncio.sleep(0)
        self.notes.append(f"leave {self.name}")


# Mounting


@pytest.mark.contract("LC1")
async def test_what_is_mounted_is_destroyed_in_reverse_order_whatever_kind_it_is():
    notes: list[str] = []

    async def wait_to_be_cancelled() -> None:
        try:
            await for_ever()
        finally:
            notes.append("task")

    def mount_sync():
        notes.append("mount sync")
        return lambda: notes.append("unmount sync")

    async def clean() -> None:
        await asyncio.sleep(1)
        notes.append("unmount async")

    async def mount_async():
        await asyncio.sleep(1)
        notes.append("mount async")
        return clean

    @contextlib.contextmanager
    def plain():
        yield
        notes.append("leave plain")

    async with Scope() as scope:
        scope.on_destroy(lambda: notes.append("on_destroy"))
        scope.mount(mount_sync)
        scope.task(wait_to_be_cancelled())
        await scope.mount(mount_async)
        await scope.enter(Manager("async", notes))
        await scope.enter(plain())
        scope.on_destroy(clean)
        assert notes == ["mount sync", "mount async", "enter async"]
        notes.clear()
    assert notes == [
        "unmount async",
        "leave plain",
        "leave async",
        "unmount async",
        "task",
        "unmount sync",
        "on_destroy",
    ]


@pytest.mark.contract("LC1")
@pytest.mark.parametrize("kind", ["sync", "async", "sync with an async cleanup"])
async def test_unmounting_cleans_up_once_and_the_scope_does_not_do_it_again(kind):
    notes: list[str] = []

    async def clean_async() -> None:
        notes.append("cleaned")

    def clean() -> None:
        notes.append("cleaned")

    async def mount_async():
        return clean_async

    async with Scope() as scope:
        mounted = scope.mount(
            {
                "sync": lambda: clean,
                "async": mount_async,
                "sync with an async cleanup": lambda: clean_async,
            }[kind]
        )
        await mounted
        await mounted.unmount()
        await mounted.unmount()
        assert notes == ["cleaned"]
    assert notes == ["cleaned"]


@pytest.mark.contract("LC1")
async def test_unmounting_what_is_still_being_mounted_cancels_it():
    async with Scope() as scope:
        mounted = scope.mount(for_ever)
        await turns()
        await mounted.unmount()
        with pytest.raises(asyncio.CancelledError):
            await mounted


@pytest.mark.contract("LC1")
async def test_unmounting_raises_what_the_cleanup_raises():
    def clean() -> None:
        raise ZeroDivisionError

    async with Scope() as scope:
        with pytest.raises(ZeroDivisionError):
            await scope.mount(lambda: clean).unmount()


@pytest.mark.contract("LC1")
async def test_what_is_still_being_mounted_when_the_scope_is_left_is_cancelled():
    ends: list[str] = []

    async def mount() -> None:
        try:
            await for_ever()
        finally:
            ends.append("cancelled")

    async with Scope() as scope:
        scope.mount(mount)
        await turns()
    assert ends == ["cancelled"]


@pytest.mark.contract("LC1")
async def test_a_mount_that_ends_all_the_same_while_it_is_cancelled_is_cleaned_up():
    notes: list[str] = []

    async def mount():
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()
        return lambda: notes.append("cleaned")

    async with Scope() as scope:
        scope.mount(mount)
        await turns()
    assert notes == ["cleaned"]


@pytest.mark.contract("LC1")
async def test_a_sync_function_that_raises_mounts_nothing():
    def mount() -> None:
        raise ZeroDivisionError

    async with Scope() as scope:
        with pytest.raises(ZeroDivisionError):
            scope.mount(mount)


@pytest.mark.contract("LC1")
async def test_who_awaits_an_async_mount_gets_what_it_raises():
    async def mount() -> None:
        raise ZeroDivisionError

    async with Scope() as scope:
        with pytest.raises(ZeroDivisionError):
            await scope.mount(mount)


@pytest.mark.contract("LC1")
async def test_what_an_async_mount_raises_is_reported_if_nobody_awaits_it(reported):
    async def mount() -> None:
        raise ZeroDivisionError

    async with Scope() as scope:
        scope.mount(mount)
        await turns()
    gc.collect()
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


@pytest.mark.contract("LC1")
async def test_a_subscription_lasts_as_long_as_the_scope():
    store, seen = writable(1), []
    async with Scope() as scope:
        scope.subscribe(store, seen.append)
        store.set(2)
    store.set(3)
    assert seen == [1, 2]


@pytest.mark.contract("LC1")
async def test_unsubscribing_early_leaves_nothing_for_the_scope_to_hold():
    async with Scope() as scope:
        store = writable(1)
        gone = weakref.ref(store)
        unsubscribe = scope.subscribe(derived(store, abs), lambda _: None)
        unsubscribe()
        unsubscribe()
        del store, unsubscribe
        gc.collect()
        assert gone() is None
        before = count_objects()
        for _ in range(1000):
            scope.subscribe(writable(1), lambda _: None)()
        assert count_objects() - before < 100


@pytest.mark.contract("LC1", "LC2")
async def test_a_task_that_ended_is_held_no_longer():
    async with Scope() as scope:
        before = count_objects()
        for _ in range(1000):
            await scope.task(asyncio.sleep(0))
        await turns()
        assert count_objects() - before < 100


# Errors and cancellation


@pytest.mark.contract("LC1")
async def test_all_cleanups_run_and_what_they_raise_comes_as_one_group():
    ran: list[int] = []

    def failing(number: int):
        def clean() -> None:
            ran.append(number)
            raise ValueError(number)

        return clean

    with pytest.raises(ExceptionGroup) as caught:
        async with Scope() as scope:
            for number in range(3):
                scope.on_destroy(failing(number))
    assert ran == [2, 1, 0]
    assert [error.args for error in caught.value.exceptions] == [(2,), (1,), (0,)]


@pytest.mark.contract("LC1")
async def test_the_error_of_the_block_goes_on_and_managers_are_told_of_it():
    manager = Manager("one", [])
    error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError) as caught:
        async with Scope() as scope:
            await scope.enter(manager)
            raise error
    assert caught.value is error
    assert manager.told is error


@pytest.mark.contract("LC1")
async def test_the_error_of_the_block_is_the_context_of_what_cleanups_raise():
    def fail() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup) as caught:
        async with Scope() as scope:
            scope.on_destroy(fail)
            raise ZeroDivisionError
    assert isinstance(caught.value.__context__, ZeroDivisionError)


@pytest.mark.contract("LC1")
async def test_a_timeout_around_the_block_stays_a_timeout():
    ran: list[str] = []

    async def clean() -> None:
        await asyncio.sleep(1)
        ran.append("cleaned")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3), Scope() as scope:
            scope.on_destroy(clean)
            await for_ever()
    assert ran == ["cleaned"]


@pytest.mark.contract("LC1")
async def test_an_interruption_by_a_cleanup_stops_no_other_cleanup():
    ran: list[str] = []

    def interrupt() -> None:
        raise SystemExit(3)

    scope = Scope()
    scope.on_destroy(lambda: ran.append("first"))
    scope.on_destroy(interrupt)
    with pytest.raises(SystemExit):
        await scope.aclose()
    assert ran == ["first"]


@pytest.mark.contract("LC1")
async def test_what_a_task_raises_when_it_is_cancelled_is_among_the_errors():
    async def fail() -> None:
        try:
            await for_ever()
        finally:
            raise ValueError("in a hurry")

    with pytest.raises(ExceptionGroup) as caught:
        async with Scope() as scope:
            scope.task(fail())
            await turns()
    assert [str(error) for error in caught.value.exceptions] == ["in a hurry"]


@pytest.mark.contract("LC1")
async def test_a_cancelled_block_stays_cancelled_and_errors_of_cleanups_are_reported(reported):
    def fail() -> None:
        raise ValueError("beside a cancellation")

    async def main() -> None:
        async with Scope() as scope:
            scope.on_destroy(fail)
            await for_ever()

    task = asyncio.create_task(main())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert [str(context["exception"]) for context in reported] == ["beside a cancellation"]


@pytest.mark.contract("LC1")
async def test_a_cancellation_while_it_is_left_destroys_the_rest_and_is_not_swallowed():
    notes: list[str] = []

    async def slow() -> None:
        notes.append("slow begins")
        try:
            await for_ever()
        finally:
            notes.append("slow ends")

    async def main() -> None:
        async with Scope() as scope:
            scope.on_destroy(lambda: notes.append("first"))
            scope.task(for_ever())
            scope.on_destroy(slow)

    task = asyncio.create_task(main())
    await turns()
    assert notes == ["slow begins"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert notes == ["slow begins", "slow ends", "first"]


@pytest.mark.contract("LC1")
async def test_a_cleanup_that_is_stubborn_is_cancelled_at_the_bound_and_reported():
    ran: list[str] = []
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(ExceptionGroup) as caught:
        async with Scope(destroy_timeout=3) as scope:
            scope.on_destroy(lambda: ran.append("first"))
            scope.on_destroy(for_ever)
    assert ran == ["first"]
    assert loop.time() - begun == 3
    (error,) = caught.value.exceptions
    assert isinstance(error, TimeoutError)
    assert "for_ever did not end in time" in str(error)


@pytest.mark.contract("LC1")
async def test_a_cleanup_that_was_cancelled_before_the_bound_is_not_said_to_be_late():
    task = asyncio.create_task(for_ever())

    async def clean() -> None:
        task.cancel()
        await task

    with pytest.raises(ExceptionGroup) as caught:
        async with Scope() as scope:
            scope.on_destroy(clean)
    (error,) = caught.value.exceptions
    assert not isinstance(error, TimeoutError)
    assert "clean was cancelled" in str(error)


@pytest.mark.contract("LC1")
@pytest.mark.parametrize("how", ["task", "cleanup", "mount"])
async def test_what_swallows_cancellation_is_given_up_and_named_within_a_bound(how):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def go_on() -> None:
        await stubborn(stop)

    with pytest.raises(ExceptionGroup) as caught:
        async with Scope(destroy_timeout=3) as scope:
            match how:
                case "task":
                    scope.task(go_on())
                case "cleanup":
                    scope.on_destroy(go_on)
                case _:
                    scope.mount(go_on)
            await turns()
    assert loop.time() - begun == pytest.approx(3 + 1)
    assert "goes on although it was cancelled" in str(caught.value.exceptions[0])
    stop.set()


@pytest.mark.contract("LC1")
async def test_a_manager_that_does_not_end_is_cut_at_the_bound():
    @contextlib.asynccontextmanager
    async def endless():
        yield
        await for_ever()

    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(ExceptionGroup) as caught:
        async with Scope(destroy_timeout=3) as scope:
            await scope.enter(endless())
    assert loop.time() - begun == 3
    assert [type(error) for error in caught.value.exceptions] == [TimeoutError]


@pytest.mark.contract("LC1")
async def test_the_bound_is_one_for_all_that_is_stubborn():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(ExceptionGroup) as caught:
        async with Scope(destroy_timeout=3) as scope:
            for _ in range(10):
                scope.task(stubborn(stop))
            await turns()
    assert len(caught.value.exceptions) == 10
    assert loop.time() - begun < 3 + 1 + 10 * 0.25
    stop.set()


@pytest.mark.contract("LC1")
@pytest.mark.parametrize("seconds", [-1, float("nan"), "10"])
async def test_a_bound_that_is_no_time_is_refused(seconds):
    with pytest.raises(InvalidOption):
        Scope(destroy_timeout=seconds)


# Who leaves it, and when


@pytest.mark.contract("LC1", "LC3")
async def test_it_can_be_left_from_another_task_and_then_again_by_its_block():
    ran: list[str] = []
    async with Scope() as scope:
        scope.on_destroy(lambda: ran.append("once"))
        await asyncio.create_task(scope.aclose())
        assert ran == ["once"]
        assert here() is None
    await scope.aclose()
    assert ran == ["once"]


@pytest.mark.contract("LC1")
async def test_a_second_leaving_waits_for_the_first():
    notes: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(2)
        notes.append("destroyed")

    scope = Scope()
    scope.on_destroy(slow)
    first = asyncio.create_task(scope.aclose())
    await turns()
    await scope.aclose()
    assert notes == ["destroyed"]
    await first


@pytest.mark.contract("LC1")
async def test_one_of_its_own_tasks_may_leave_it():
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ran: list[str] = []
    async with Scope() as scope:
        scope.on_destroy(lambda: ran.append("cleanup"))

        async def leave() -> str:
            await scope.aclose()
            return "goes on"

        assert await scope.task(leave()) == "goes on"
        assert ran == ["cleanup"]
    assert loop.time() == begun


@pytest.mark.contract("LC1")
@pytest.mark.parametrize("where", ["cleanup", "helper task", "nested scope", "ending task"])
async def test_a_cleanup_that_leaves_the_scope_again_is_not_stuck(where):
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def leave_when_cancelled(scope: Scope) -> None:
        try:
            await for_ever()
        finally:
            await scope.aclose()

    async with Scope() as scope:

        async def through_a_helper() -> None:
            await asyncio.create_task(scope.aclose())

        match where:
            case "cleanup":
                scope.on_destroy(scope.aclose)
            case "helper task":
                scope.on_destroy(through_a_helper)
            case "nested scope":
                inner = await scope.enter(Scope())
                inner.on_destroy(scope.aclose)
                inner.task(leave_when_cancelled(scope))
            case _:
                scope.task(leave_when_cancelled(scope))
        await turns()
    assert loop.time() == begun


@pytest.mark.contract("LC1")
async def test_the_outer_scope_may_be_left_from_within_the_inner_one():
    notes: list[str] = []
    async with Scope() as outer:
        outer.on_destroy(lambda: notes.append("outer"))
        async with Scope() as inner:
            inner.on_destroy(lambda: notes.append("inner"))
            await outer.aclose()
            assert list(scopes_here()) == [inner]
    assert notes == ["outer", "inner"]
    assert here() is None


@pytest.mark.contract("LC1")
async def test_nothing_can_be_mounted_once_it_is_left_not_even_by_its_cleanups():
    scope = Scope()
    refused: list[str] = []

    def try_all() -> None:
        coroutine = for_ever()
        for action in (
            lambda: scope.mount(try_all),
            lambda: scope.subscribe(writable(1), print),
            lambda: scope.task(coroutine),
            lambda: scope.on_destroy(try_all),
        ):
            with pytest.raises(ScopeClosed) as caught:
                action()
            refused.append(caught.value.action)

    scope.on_destroy(try_all)
    await scope.aclose()
    try_all()
    assert refused == ["mount", "subscribe", "start a task", "register a cleanup"] * 2
    with pytest.raises(ScopeClosed):
        await scope.enter(contextlib.nullcontext())
    with pytest.raises(ScopeClosed):
        await scope.__aenter__()


@pytest.mark.contract("LC1")
async def test_what_is_being_entered_while_the_scope_is_left_is_left_too():
    notes: list[str] = []
    scope = Scope()
    is_entered = asyncio.Event()

    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        notes.append("enter late")
        await is_entered.wait()
        yield
        notes.append("leave late")

    entering = asyncio.create_task(scope.enter(slow()))
    await asyncio.sleep(0)
    await scope.aclose()
    is_entered.set()
    with pytest.raises(ScopeClosed):
        await entering
    assert notes == ["enter late", "leave late"]


@pytest.mark.contract("LC1")
@pytest.mark.parametrize("inside", ["itself", "one of its own tasks", "a scope inside it"])
async def test_a_scope_never_surrounds_itself(inside):
    async with asyncio.timeout(5):
        scope = Scope()

        async def enter_again() -> None:
            async with scope:
                assert list(scopes_here()) == [scope]

        match inside:
            case "itself":
                async with scope:
                    with pytest.raises(RuntimeError, match="once"):
                        await scope.__aenter__()
                    assert list(scopes_here()) == [scope]
            case "one of its own tasks":
                await scope.task(enter_again())
            case _:
                async with scope, Scope() as inner:
                    with pytest.raises(RuntimeError, match="once"):
                        await scope.__aenter__()
                    assert list(scopes_here()) == [inner, scope]


@pytest.mark.contract("LC1")
async def test_a_scope_that_was_left_does_not_keep_the_task_alive_that_left_it():
    async def leave() -> None:
        await scope.aclose()

    scope = Scope()
    task = asyncio.create_task(leave())
    gone = weakref.ref(task)
    await task
    await turns()
    del task
    gc.collect()
    assert gone() is None


# The scope around the code that runs


@pytest.mark.contract("PV2")
async def test_code_in_the_block_and_in_its_tasks_is_in_the_scope_and_code_outside_is_not():
    async def deep(levels: int) -> Scope | None:
        if levels:
            return await asyncio.create_task(deep(levels - 1))
        return here()

    outside = asyncio.Event()

    async def from_before() -> Scope | None:
        await outside.wait()
        return here()

    earlier = asyncio.create_task(from_before())
    async with Scope() as scope:
        assert await deep(50) is scope
        outside.set()
        assert await earlier is None
        async with Scope() as inner:
            assert await deep(5) is inner
        assert await deep(5) is scope
    assert here() is None


@pytest.mark.contract("PV2")
async def test_a_function_in_a_worker_thread_is_in_the_scope():
    async with Scope() as scope:
        assert await asyncio.to_thread(here) is scope
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.contract("PV2")
async def test_what_the_scope_runs_is_inside_it_even_if_who_asks_is_not():
    seen: list[Scope | None] = []
    scope = Scope()
    scope.mount(lambda: seen.append(here()))
    scope.on_destroy(lambda: seen.append(here()))

    async def look() -> None:
        seen.append(here())

    await scope.task(look())
    await scope.mount(look)
    assert here() is None
    await scope.aclose()
    assert seen == [scope] * 4
    assert here() is None


@pytest.mark.contract("PV2")
async def test_a_task_of_an_outer_scope_is_where_it_was_started_if_that_is_further_in():
    async def look() -> Scope | None:
        return here()

    async with Scope() as outer, Scope() as inner:
        assert await outer.task(look()) is inner


@pytest.mark.contract("PV2")
async def test_leaving_an_outer_scope_first_leaves_the_inner_one_where_it_is():
    async with Scope() as around:
        outer, inner = Scope(), Scope()
        await outer.__aenter__()
        await inner.__aenter__()
        await outer.__aexit__(None, None, None)
        assert list(scopes_here()) == [inner, around]
        await inner.__aexit__(None, None, None)
        assert list(scopes_here()) == [around]


@pytest.mark.contract("PV2")
async def test_a_task_that_outlives_a_scope_is_in_the_one_around_it():
    go_on = asyncio.Event()

    async def outlive() -> Scope | None:
        await go_on.wait()
        return here()

    async with Scope() as outer:
        async with Scope():
            task = asyncio.create_task(outlive())
        go_on.set()
        assert await task is outer


@pytest.mark.contract("PV4")
async def test_a_plain_thread_is_in_the_scope_only_if_its_function_is_bound_to_it():
    seen: list[Scope | None] = []
    async with Scope() as scope:
        for work in (lambda: seen.append(here()), scope.bind(lambda: seen.append(here()))):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert seen == [None, scope]


@pytest.mark.contract("PV4")
async def test_a_bound_function_can_be_called_by_many_threads_at_once():
    async with Scope() as scope:
        barrier = threading.Barrier(4)

        def work(number: int) -> tuple[int, Scope | None]:
            barrier.wait(10)
            return number, here()

        bound = scope.bind(work)
        found: list[tuple[int, Scope | None]] = []
        threads = [threading.Thread(target=lambda n=n: found.append(bound(n))) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [(n, scope) for n in range(4)]


@pytest.mark.contract("LC2")
async def test_a_scope_that_was_left_is_gone_with_everything_that_was_mounted_in_it():
    class Thing:
        def clean(self) -> None:
            pass

    things: list[weakref.ref[object]] = []
    for _ in range(3):
        async with Scope() as scope, Scope() as inner:
            thing = Thing()
            inner.on_destroy(thing.clean)
            things += [weakref.ref(thing), weakref.ref(scope), weakref.ref(inner)]
            del thing, scope, inner
    gc.collect()
    assert [thing for thing in things if thing() is not None] == []


# Proof


@pytest.mark.contract("LC5")
async def test_assert_no_leaks_names_the_task_of_a_scope_that_was_not_left():
    scope = Scope()
    with pytest.raises(AssertionError, match="task 'forgotten'"):
        async with assert_no_leaks():
            scope.task(for_ever(), name="forgotten")
    await scope.aclose()


@pytest.mark.contract("LC5")
@pytest.mark.parametrize("through", ["the store", "a derived store"])
async def test_assert_no_leaks_counts_the_subscribers_of_the_stores_it_is_given(through):
    store = writable(1)
    watched = store if through == "the store" else derived(store, abs)
    scope = Scope()
    with pytest.raises(AssertionError, match="1 subscribers of"):
        async with assert_no_leaks(store):
            scope.subscribe(watched, lambda _: None)
    async with assert_no_leaks(store):
        await scope.aclose()
    async with assert_no_leaks(store), Scope() as other:
        other.subscribe(watched, lambda _: None)
