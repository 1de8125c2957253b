"""Coroutine functions are refused where a function is called and not awaited."""

import asyncio
import functools
import inspect
import sys
import types
import warnings
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from sockstore import (
    InvalidOption,
    Navigator,
    Reconnect,
    Scope,
    WebSocketStore,
    derived,
    readable,
    writable,
)
from sockstore.base.plain_calls import returns_awaitable
from sockstore.blocking import WebSocket
from sockstore.protocols import Centrifuge, Heartbeat
from sockstore.stores import derived_emit, subscribe_weakly
from sockstore.testing import FakeServer, VirtualClock, accept, send
from sockstore.ui.live_list import LiveRows


async def show(*_):
    """A coroutine function."""


async def produce(*_):
    """An asynchronous generator."""
    yield 1


@types.coroutine
def old_style(*_):
    """A coroutine function without the keyword."""
    yield


def plain(*_):
    """What is right."""


@functools.wraps(plain)
async def wrapping(*_):
    """An async wrapper around a plain function."""


@functools.wraps(show)
def starting(*_):
    """A plain wrapper that starts a task."""


class Screen:
    """Has methods of each kind."""

    async def show(self, *_):
        """A coroutine method."""

    @staticmethod
    async def show_statically(*_):
        """Without self."""

    @classmethod
    async def show_by_class(cls, *_):
        """With the class."""

    async def __call__(self, *_):
        """A callable object."""

    def plain(self, *_):
        """What is right."""


class PlainScreen:
    def __call__(self, *_):
        """A callable object that is right."""


ASYNC = {
    "function": show,
    "asynchronous generator": produce,
    "types.coroutine": old_style,
    "method": Screen().show,
    "static method": Screen.show_statically,
    "class method": Screen.show_by_class,
    "callable object": Screen(),
    "its __call__": Screen().__call__,
    "partial": functools.partial(show, 1),
    "partial of a partial": functools.partial(functools.partial(Screen().show), 1),
    "partial of a callable object": functools.partial(Screen()),
    "lru_cache": functools.lru_cache(show),
    "staticmethod object": staticmethod(show),
    "async wrapper": wrapping,
    "mock": AsyncMock(),
}
if sys.version_info >= (3, 12):
    ASYNC["marked"] = inspect.markcoroutinefunction(lambda *_: show())

PLAIN = {
    "function": plain,
    "method": Screen().plain,
    "callable object": PlainScreen(),
    "built-in": [].append,
    "class": str,
    "partial": functools.partial(plain),
    "mock": Mock(),
    "magic mock": MagicMock(),
    "wrapper that starts a task": starting,
    "lambda": lambda *_: None,
}


@pytest.mark.contract("ST14")
@pytest.mark.parametrize("fn", ASYNC.values(), ids=ASYNC)
def test_every_kind_of_coroutine_function_is_seen(fn):
    assert returns_awaitable(fn)
    starts = []
    store = writable(1, starts.append)
    with pytest.raises(TypeError, match="without awaiting it"):
        store.subscribe(fn)
    assert not starts, "it never had a subscriber"


@pytest.mark.contract("ST14")
@pytest.mark.parametrize("fn", PLAIN.values(), ids=PLAIN)
def test_no_other_callable_is_taken_for_one(fn):
    assert not returns_awaitable(fn)
    writable(1).subscribe(fn)()


def connection(**options):
    return WebSocketStore("ws://h", **options)


def callbacks_of_blocking(use):
    def place(fn):
        ws = WebSocket("ws://h", callbacks="pump")
        use(ws, fn)

    return place


PLACES = {
    "subscribe": lambda fn: writable(1).subscribe(fn),
    "subscribe of a readable": lambda fn: readable(1).subscribe(fn),
    "subscribe of a derived": lambda fn: derived(writable(1), abs).subscribe(fn),
    "subscribe of a connection's store": connection().status.subscribe,
    "subscribe of the log": connection().messages.subscribe,
    "subscribe_weakly": lambda fn: subscribe_weakly(writable(1), fn),
    "Scope.subscribe": lambda fn: Scope().subscribe(writable(1), fn),
    "on_append": connection().messages.on_append,
    "select": lambda fn: connection().select(fn),
    "derived": lambda fn: derived(writable(1), fn),
    "derived_emit": lambda fn: derived_emit(writable(1), fn, 0),
    "cleanup of derived_emit": lambda fn: derived_emit(
        writable(1), lambda emit, one: fn, 0
    ).subscribe(plain),
    "start of writable": lambda fn: writable(1, fn),
    "start of readable": lambda fn: readable(1, fn),
    "what start returns": lambda fn: writable(1, lambda set_, update: fn).subscribe(plain),
    "differs of writable": lambda fn: writable(1, differs=fn),
    "differs of readable": lambda fn: readable(1, differs=fn),
    "differs of derived": lambda fn: derived(writable(1), abs, differs=fn),
    "differs of derived_emit": lambda fn: derived_emit(writable(1), plain, 0, differs=fn),
    "differs of select": lambda fn: connection().select(len, differs=fn),
    "where of stream": lambda fn: connection().stream(where=fn),
    "on_error": lambda fn: connection(on_error=fn),
    "decode of a codec": lambda fn: connection(codec=(fn, str)),
    "encode of a codec": lambda fn: connection(codec=(str, fn)),
    "method of a codec": lambda fn: connection(codec=types.SimpleNamespace(decode=fn, encode=str)),
    "transport": lambda fn: connection(transport=fn),
    "schedule": lambda fn: Reconnect(schedule=fn),
    "classify": lambda fn: Reconnect.exponential(classify=fn),
    "message of Heartbeat": Heartbeat,
    "reply of Heartbeat": lambda fn: Heartbeat("ping", fn),
    "bind": lambda fn: Scope().bind(fn),
    "row of LiveList": LiveRows,
    "key of LiveList": lambda fn: LiveRows(str, key=fn),
    "callbacks of blocking": lambda fn: WebSocket("ws://h", callbacks=fn),
    "on_change of blocking": callbacks_of_blocking(lambda ws, fn: ws.on_change("status", fn)),
    "on_status of blocking": callbacks_of_blocking(lambda ws, fn: ws.on_status(fn)),
    "on_message of blocking": callbacks_of_blocking(lambda ws, fn: ws.on_message(fn)),
    "where of on_message": callbacks_of_blocking(lambda ws, fn: ws.on_message(plain, where=fn)),
    "where of a blocking stream": callbacks_of_blocking(lambda ws, fn: ws.stream(where=fn)),
    "what of a blocking on_change": callbacks_of_blocking(lambda ws, fn: ws.on_change(fn, plain)),
}


@pytest.mark.contract("ST14")
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("kind", ["function", "method", "callable object", "partial"])
def test_a_place_that_does_not_await_refuses_it_at_once_and_says_what_to_do(place, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no coroutine is made that nobody awaits
        with pytest.raises(TypeError, match=r"without awaiting it, .*: (give|use|start) "):
            place(ASYNC[kind])


@pytest.mark.contract("ST14")
def test_the_sentence_names_the_function_and_not_what_it_holds():
    with pytest.raises(TypeError) as caught:
        writable(1).subscribe(functools.partial(show, "secret"))
    assert str(caught.value) == (
        "subscribe() calls show without awaiting it, so a coroutine function would never run: "
        "give a plain function that starts a task, such as `lambda value: scope.task(show(value))` "
        "(or asyncio.create_task, if you keep the task), or iterate over the store"
    )


@pytest.mark.contract("ST14")
@pytest.mark.parametrize("fn", [show, Screen()])
@pytest.mark.parametrize("store", [writable(1), writable(1, plain)])
def test_update_keeps_no_coroutine_as_a_value(store, fn):
    with pytest.raises(TypeError, match=r"returned a coroutine: give a plain function"):
        store.update(fn)
    assert store.value == 1


@pytest.mark.contract("ST14")
def test_wait_for_refuses_a_predicate_that_would_always_be_true():
    with pytest.raises(TypeError, match=r"wait_for\(\) calls show without awaiting it"):
        asyncio.run(writable(1).wait_for(show))


@pytest.mark.contract("ST14")
def test_call_threadsafe_refuses_a_coroutine_function():
    async def main():
        async with WebSocketStore("ws://h", transport=FakeServer()) as connection:
            with pytest.raises(TypeError, match="run_coroutine_threadsafe"):
                connection.call_threadsafe(show)
            assert await asyncio.wrap_future(connection.call_threadsafe(len, "abc")) == 3

    VirtualClock().run(main())


@pytest.mark.contract("ST14")
def test_a_function_that_was_not_called_is_no_task():
    async def main():
        async with Scope() as scope:
            with pytest.raises(TypeError, match=r"call the coroutine function, as in scope\.task"):
                scope.task(show)

    asyncio.run(main())


def both(told, answer=None):
    """Return a plain and an async callable that do the same."""

    def plainly(*args):
        told.append(args)
        return answer

    async def later(*args):
        await asyncio.sleep(0)
        return plainly(*args)

    return {"plain": plainly, "async": later}


@pytest.mark.contract("ST14", "CN11", "RC9")
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_places_that_may_await_take_both(kind):
    told = []
    answers = {
        "url": "ws://h",
        "headers": {"x": "y"},
        "subprotocols": [],
        "on_open": None,
        "should_reconnect": True,
    }
    options = {name: both(told, answer)[kind] for name, answer in answers.items()}

    async def main():
        server = FakeServer(accept(), send("x"))
        async with WebSocketStore(options.pop("url"), transport=server, **options) as connection:
            await connection.ready()
            server.drop()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            await connection.ready()
        async with Scope() as scope:
            await scope.mount(both(told)[kind])
            scope.on_destroy(both(told)[kind])
        async with Navigator() as navigator:
            assert await navigator.goto(both(told)[kind])

    VirtualClock().run(main())
    # Two attempts, two openings, one question; a mount, a cleanup and a page.
    assert len(told) == 2 * 3 + 2 + 1 + 3
    Centrifuge(token=both(told)[kind])


def generate(*_):
    """What a test fixture would look like."""
    yield


async def go(fn):
    async with Navigator() as navigator:
        await navigator.goto(fn)


def rooms():
    return connection(protocol=Centrifuge())


AWAITING_PLACES = {
    "on_open": lambda fn: connection(on_open=fn),
    "should_reconnect": lambda fn: connection(should_reconnect=fn),
    "token": lambda fn: Centrifuge(token=fn),
    "token of a room": lambda fn: rooms().subscribe("lobby", token=fn),
    "snapshot": lambda fn: rooms().subscribe("lobby", snapshot=fn),
    "mount": lambda fn: Scope().mount(fn),
    "on_destroy": lambda fn: Scope().on_destroy(fn),
    "goto": lambda fn: asyncio.run(go(fn)),
}


@pytest.mark.contract("ST14")
@pytest.mark.parametrize("place", AWAITING_PLACES.values(), ids=AWAITING_PLACES)
@pytest.mark.parametrize("fn", [produce, generate, functools.partial(generate, 1)])
def test_a_place_that_awaits_refuses_what_would_only_make_a_generator(place, fn):
    with pytest.raises(TypeError, match=r"which has a yield, .*: return instead of yielding"):
        place(fn)


@pytest.mark.contract("ST14")
def test_what_is_not_callable_is_still_an_invalid_option():
    with pytest.raises(InvalidOption, match="give a callable"):
        connection(on_error=3)
