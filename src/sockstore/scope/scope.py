"""A scope owns what is mounted in it, and destroys it when it is left.

The scope that code runs in travels in a context variable, so it is there in every function that is
called and in every task that is started inside it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from sockstore.base.checks import require_seconds
from sockstore.base.errors import ScopeClosed
from sockstore.base.plain_calls import name_of, refuse_async, refuse_generator
from sockstore.base.tasks import start_task
from sockstore.scope.ownership import (
    Bound,
    Cleanup,
    Entered,
    ExitDetails,
    Leaving,
    Mounting,
    Owned,
    Running,
)
from sockstore.stores import readonly
from sockstore.stores.contract import Subscribable

__all__ = ["Mounted", "Scope", "scopes_here"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[[], object])
P = ParamSpec("P")
OwnedT = TypeVar("OwnedT", bound=Owned)
RunningT = TypeVar("RunningT", bound=Running[Any])

NO_ERROR: ExitDetails = (None, None, None)

_current: ContextVar[Scope | None] = ContextVar("sockstore_scope", default=None)


class Scope:
    """Own things, and destroy them in reverse order when the scope is left.

    It is used in an ``async with`` block, or, where a user interface has callbacks instead of
    blocks, constructed on mount and ended with `aclose` on unmount. Each scope is used once.

    Args:
        destroy_timeout: Seconds that leaving may take altogether; what is not destroyed by then is
            cancelled, and reported as a TimeoutError.

    Raises:
        InvalidOption: If `destroy_timeout` cannot be used.

    Source:
        The guide's lifecycle pattern (``onMount``, ``onDestroy``).

    Example:
        >>> import asyncio
        >>> from sockstore import Scope, writable
        >>> async def main() -> None:
        ...     name = writable("Ada")
        ...     async with Scope() as scope:
        ...         scope.on_destroy(lambda: print("destroyed"))
        ...         scope.subscribe(name, print)
        ...     name.set("nobody hears this")
        >>> asyncio.run(main())
        Ada
        destroyed
    """

    def __init__(self, *, destroy_timeout: float = 10.0) -> None:
        require_seconds("destroy_timeout", destroy_timeout)
        self._destroy_timeout = destroy_timeout
        self._parent = _nearest(_current.get())
        self._is_entered = False
        self._entered: list[Scope] = []
        """The scopes of the managers that were entered: providers, for example."""
        self._owned: dict[Owned, None] = {}
        self.provided: dict[str, Any] = {}
        """What code inside this scope finds by name."""
        self._leaving: Leaving | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing can be mounted any more."""
        return self._leaving is not None

    # Owning

    def mount(self, fn: Callable[[], object]) -> Mounted:
        """Run `fn` in this scope; if it returns a callable, that is its cleanup.

        Args:
            fn: A sync function runs at once; an async one in a task of the scope. The cleanup may
                be sync or async, too.

        Returns:
            Await it to wait until `fn` is through and to get what it raised; or end it before the
            scope ends, with `Mounted.unmount`.

        Raises:
            ScopeClosed: If the scope has been left.
            TypeError: If `fn` is a generator function: return the cleanup, do not yield.
            Exception: What a sync `fn` raised; nothing is mounted then.

        Source:
            The guide's ``onMount``.

        Example:
            >>> scope = Scope()
            >>> mounted = scope.mount(lambda: lambda: print("unmounted"))
            >>> asyncio.run(scope.aclose())
            unmounted
        """
        self._check_open("mount")
        refuse_generator(fn, "mount()")
        with self._inside():
            result = fn()
        if inspect.isawaitable(result):
            start = partial(self._start, name=f"mount {name_of(fn)}")
            return Mounted(self, self._run(Mounting(result, start)))
        return Mounted(self, self._own(Cleanup(result)) if callable(result) else None)

    def subscribe(self, store: Subscribable[T], run: Callable[[T], object]) -> Callable[[], None]:
        """Subscribe to a store until the scope is left.

        Args:
            store: Any store, also a foreign one.
            run: Called with the value, now and on every change.

        Returns:
            How to unsubscribe earlier.

        Raises:
            ScopeClosed: If the scope has been left.
            TypeError: If `run` is a coroutine function.
        """
        self._check_open("subscribe")
        subscription = readonly(store).subscribe(run)
        cleanup = self._own(Cleanup(subscription))

        def unsubscribe() -> None:
            self._owned.pop(cleanup, None)
            subscription()

        return unsubscribe

    def task(
        self, coroutine: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Start a task that is cancelled when the scope is left.

        What it raises before that is the task's, as always in asyncio: await it, or the event
        loop's exception handler is told.

        Args:
            coroutine: What to run.
            name: The task's name.

        Returns:
            The task.

        Raises:
            ScopeClosed: If the scope has been left.
            RuntimeError: If no event loop runs here.
            TypeError: If it is not a coroutine, for example a function that was not called.

        Example:
            >>> async def main() -> None:
            ...     async with Scope() as scope:
            ...         scope.task(asyncio.sleep(3600))
            >>> asyncio.run(main())
        """
        if not asyncio.iscoroutine(coroutine):
            raise TypeError(
                f"task() runs a coroutine, and {name_of(coroutine)} is not one: "
                "call the coroutine function, as in scope.task(work())"
            )
        try:
            self._check_open("start a task")
            return self._run(Running(self._start(coroutine, name))).task
        except BaseException:
            coroutine.close()
            raise

    async def enter(self, manager: AbstractAsyncContextManager[T] | AbstractContextManager[T]) -> T:
        """Enter a context manager that is left when the scope is left.

        Args:
            manager: For example a `WebSocketProvider`, which all code in the scope finds from then
                on, whichever task enters it; async and sync managers will do.

        Returns:
            What ``async with manager as value`` would give.

        Raises:
            ScopeClosed: If the scope has been left.
            Exception: What the manager raises.

        Example:
            >>> from contextlib import nullcontext
            >>> async def main() -> None:
            ...     async with Scope() as scope:
            ...         print(await scope.enter(nullcontext("entered")))
            >>> asyncio.run(main())
            entered
        """
        self._check_open("enter")
        entered = Entered(manager)
        before = _current.get()
        _current.set(self)
        try:
            value = await entered.enter()
            inner = _current.get()
        finally:
            _current.set(before)
        if self.closed:
            await entered.destroy(self._bound(), NO_ERROR)
            raise ScopeClosed("enter")
        self._own(entered)
        if inner is not None and inner is not self and inner.is_inside(self):
            self._entered.append(inner)
        return value

    def on_destroy(self, fn: F) -> F:
        """Call `fn` when the scope is left.

        Args:
            fn: Sync or async.

        Returns:
            `fn`, so that this can be a decorator.

        Raises:
            ScopeClosed: If the scope has been left.

        Source:
            The guide's ``onDestroy``.
        """
        self._check_open("register a cleanup")
        refuse_generator(fn, "on_destroy()")
        self._own(Cleanup(fn))
        return fn

    def bind(self, fn: Callable[P, T]) -> Callable[P, T]:
        """Return a function that runs in this scope, wherever it is called.

        Args:
            fn: For example the target of a plain thread, which would start with no context; no
                coroutine function, for a task runs where it is started (see `task`).

        Returns:
            The function; it can be called any number of times.

        Raises:
            TypeError: If it is a coroutine function.

        Example:
            ::

                threading.Thread(target=scope.bind(work)).start()
        """
        refuse_async(fn, "bind()", "start a task of the scope instead: scope.task(work())")
        context = self._context()

        @wraps(fn)
        def bound(*args: P.args, **kwargs: P.kwargs) -> T:
            return context.copy().run(fn, *args, **kwargs)

        return bound

    # Leaving

    async def __aenter__(self) -> Self:
        self._check_open("enter")
        if self._is_entered:
            raise RuntimeError("this scope was entered before; each is used once")
        self._is_entered = True
        around = _nearest(_current.get())
        if around is None or not around.is_inside(self):
            self._parent = around
        _current.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._leave(
                NO_ERROR if kind is None or error is None else (kind, error, traceback)
            )
        finally:
            # By value: the exit may run in another task, whose context has a variable of its own.
            _current.set(_nearest(_current.get()))

    async def aclose(self) -> None:
        """Leave the scope: destroy what it owns, the latest first, each once.

        A second call waits until the scope is left; one by a cleanup returns at once.

        Raises:
            ExceptionGroup: Of what cleanups raised; all of them ran.
            CancelledError: If it was cancelled; everything was destroyed all the same.
        """
        await self._leave(NO_ERROR)

    async def _leave(self, details: ExitDetails) -> None:
        if self._leaving is not None:
            await self._leaving.wait()
            return
        self._leaving = Leaving(self._owned, self._bound())
        try:
            with self._inside():
                await self._leaving.run(details)
        finally:
            self.provided.clear()
            self._entered.clear()

    # What providers and navigators use

    def is_inside(self, other: Scope) -> bool:
        """Whether this is that scope, or one within it."""
        scope: Scope | None = self
        while scope is not None and scope is not other:
            scope = scope._parent
        return scope is other

    def _names(self) -> Iterator[Scope]:
        """Return where code in this scope looks for a name: in what was entered last, first."""
        for entered in reversed(self._entered):
            inner = _nearest(entered)
            while inner is not None and inner is not self:
                yield from inner._names()
                inner = _nearest(inner._parent)
        yield self

    @property
    def has_been_left(self) -> bool:
        """Whether everything in it is destroyed; while it is left, its cleanups are inside."""
        return self._leaving is not None and self._leaving.is_over

    def _check_open(self, action: str) -> None:
        if self.closed:
            raise ScopeClosed(action)

    def _own(self, owned: OwnedT) -> OwnedT:
        self._owned[owned] = None
        return owned

    def _disown(self, owned: Owned) -> bool:
        """Give something up; return whether it had not been destroyed yet."""
        return self._owned.pop(owned, owned) is None

    def _start(self, coroutine: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        return start_task(coroutine, name=name, context=self._context())

    def _run(self, running: RunningT) -> RunningT:
        def done(_: object) -> None:
            if running.is_over:
                self._disown(running)

        running.task.add_done_callback(done)
        return self._own(running)

    def _bound(self) -> Bound:
        return Bound(self._destroy_timeout)

    # The context

    def _context(self) -> Context:
        context = copy_context()
        context.run(self._step_inside)
        return context

    def _step_inside(self) -> None:
        """Let the scope be the current one, unless it, or one within it, already is."""
        current = _nearest(_current.get())
        if current is None or not current.is_inside(self):
            _current.set(self)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        before = _current.get()
        self._step_inside()
        try:
            yield
        finally:
            _current.set(before)


class Mounted:
    """Something that `Scope.mount` runs; await it to wait until it is mounted.

    Args:
        scope: Where it is mounted.
        owned: What the scope owns of it, if anything.
    """

    __slots__ = ("_owned", "_scope")

    def __init__(self, scope: Scope, owned: Cleanup | Mounting | None) -> None:
        self._scope = scope
        self._owned = owned

    def __await__(self) -> Generator[object, None, None]:
        """Wait until the function that was mounted is through.

        Raises:
            Exception: What it raised.
        """
        if isinstance(self._owned, Mounting):
            yield from self._owned.task.__await__()

    async def unmount(self) -> None:
        """Destroy it now, before its scope is left; a second call does nothing.

        Raises:
            Exception: What its cleanup raised.
        """
        if self._owned is not None and self._scope._disown(self._owned):
            await self._owned.destroy(self._scope._bound(), NO_ERROR)


def scopes_here() -> Iterator[Scope]:
    """Return the scopes that surround the calling code, nearest first."""
    scope = _nearest(_current.get())
    while scope is not None:
        yield from scope._names()
        scope = _nearest(scope._parent)


def _nearest(scope: Scope | None) -> Scope | None:
    """Pass over scopes that have been left: a task, or another task's exit, may outlive them."""
    while scope is not None and scope.has_been_left:
        scope = scope._parent
    return scope
