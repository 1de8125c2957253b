"""Own what is mounted in a part of a program, and destroy it when that part is left.

The scope of the running code is in a context variable, so every function that is called inside it
and every task that is started inside it belongs to the same scope.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from sockstore.base.checks import require_seconds
from sockstore.base.errors import ScopeClosed
from sockstore.base.plain_calls import name_of, refuse_async, refuse_generator
from sockstore.base.tasks import start_task
from sockstore.scope.cleanup import (
    Cleanup,
    Deadline,
    Entered,
    ExitDetails,
    Leaving,
    Mounting,
    Owned,
    Running,
)
from sockstore.scope.places import Place, places_here, step_out
from sockstore.stores import readonly
from sockstore.stores.contract import Subscribable

__all__ = ["Mounted", "Scope", "scopes_here"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[[], object])
P = ParamSpec("P")
OwnedT = TypeVar("OwnedT", bound=Owned)
RunningT = TypeVar("RunningT", bound=Running[Any])

NO_ERROR: ExitDetails = (None, None, None)


class Scope:
    """Own things, and destroy them in reverse order when the scope is left.

    It is used in an ``async with`` block, or, where a user interface has callbacks instead of
    blocks, constructed on mount and ended with `aclose` on unmount. Each scope is used once.

    Args:
        destroy_timeout: Seconds that leaving may take altogether; things not destroyed by then are
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
        ...     name.set("not printed")
        >>> asyncio.run(main())
        Ada
        destroyed
    """

    def __init__(self, *, destroy_timeout: float = 10.0) -> None:
        require_seconds("destroy_timeout", destroy_timeout)
        self._destroy_timeout = destroy_timeout
        self._place = Place(self)
        # Set by `__aenter__`; a scope is entered once.
        self._is_entered = False
        # The things to destroy, the latest last; a dict removes one thing quickly.
        self._owned: dict[Owned, None] = {}
        # Set by the first call that leaves the scope.
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
            Await it to wait until `fn` has returned, and to get its error; or end it before
            the scope ends, with `Mounted.unmount`.

        Raises:
            ScopeClosed: If the scope has been left.
            TypeError: If `fn` is a generator function: return the cleanup, do not yield.
            Exception: The error of a sync `fn`; nothing is mounted then.

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
        with self._place.inside():
            result = fn()
        if inspect.isawaitable(result):
            start = partial(self._start, name=f"mount {name_of(fn)}")
            return Mounted(self._run(Mounting(result, start)), self._unmount)
        owned = self._own(Cleanup(result)) if callable(result) else None
        return Mounted(owned, self._unmount)

    def subscribe(self, store: Subscribable[T], run: Callable[[T], object]) -> Callable[[], None]:
        """Subscribe to a store until the scope is left.

        Args:
            store: Any store, also one of another library.
            run: Called with the value, now and on every change.

        Returns:
            A callable that unsubscribes earlier.

        Raises:
            ScopeClosed: If the scope has been left.
            TypeError: If `run` is a coroutine function.
        """
        self._check_open("subscribe")
        subscription = readonly(store).subscribe(run)
        cleanup = self._own(Cleanup(subscription))

        def unsubscribe() -> None:
            self._disown(cleanup)
            subscription()

        return unsubscribe

    def task(
        self, coroutine: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Start a task that is cancelled when the scope is left.

        An exception before that is the task's result, as always in asyncio: await the task, or
        the event loop's exception handler is called.

        Args:
            coroutine: The coroutine to run.
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
                on, whichever task enters it; async or sync.

        Returns:
            The value of ``async with manager as value``.

        Raises:
            ScopeClosed: If the scope has been left.
            Exception: Any error of the manager.

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
        value, inner = await self._place.run(entered.enter)
        if self.closed:
            await entered.destroy(self._deadline(), NO_ERROR)
            raise ScopeClosed("enter")
        self._own(entered)
        self._place.add_entered(inner)
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
            fn: For example the target of a plain thread, which would start without a context. It
                is not a coroutine function: a task runs in the scope that starts it (see `task`).

        Returns:
            The function; it can be called any number of times.

        Raises:
            TypeError: If it is a coroutine function.

        Example:
            ::

                threading.Thread(target=scope.bind(work)).start()
        """
        refuse_async(fn, "bind()", "start a task of the scope instead: scope.task(work())")
        context = self._place.context()

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
        self._place.enter()
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
            step_out()

    async def aclose(self) -> None:
        """Leave the scope: destroy what it owns, the latest first, each once.

        A second call waits until the scope is left; one by a cleanup returns at once.

        Raises:
            ExceptionGroup: Of the errors of cleanups; all of them ran.
            CancelledError: If it was cancelled; everything was still destroyed.
        """
        await self._leave(NO_ERROR)

    async def _leave(self, details: ExitDetails) -> None:
        if self._leaving is not None:
            await self._leaving.wait()
            return
        self._leaving = Leaving(self._owned, self._deadline())
        try:
            with self._place.inside():
                await self._leaving.run(details)
        finally:
            self._place.leave()

    # Helpers

    def _check_open(self, action: str) -> None:
        if self.closed:
            raise ScopeClosed(action)

    def _own(self, owned: OwnedT) -> OwnedT:
        self._owned[owned] = None
        return owned

    def _disown(self, owned: Owned) -> bool:
        """Forget something owned; return whether it was not destroyed yet."""
        return self._owned.pop(owned, owned) is None

    def _start(self, coroutine: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        return start_task(coroutine, name=name, context=self._place.context())

    def _run(self, running: RunningT) -> RunningT:
        def done(_: object) -> None:
            if running.is_over:
                self._disown(running)

        running.task.add_done_callback(done)
        return self._own(running)

    def _deadline(self) -> Deadline:
        return Deadline(self._destroy_timeout)

    async def _unmount(self, owned: Owned) -> None:
        if self._disown(owned):
            await owned.destroy(self._deadline(), NO_ERROR)


class Mounted:
    """Something that `Scope.mount` runs; await it to wait until it is mounted.

    Args:
        owned: The thing that the scope destroys, if any.
        unmount: Destroys it before the scope is left.
    """

    __slots__ = ("_owned", "_unmount")

    def __init__(
        self,
        owned: Cleanup | Mounting | None,
        unmount: Callable[[Owned], Awaitable[None]],
    ) -> None:
        self._owned = owned
        self._unmount = unmount

    def __await__(self) -> Generator[object, None, None]:
        """Wait until the function that was mounted has returned.

        Raises:
            Exception: Its error.
        """
        if isinstance(self._owned, Mounting):
            yield from self._owned.task.__await__()

    async def unmount(self) -> None:
        """Destroy it now, before its scope is left; a second call does nothing.

        Raises:
            Exception: The error of its cleanup.
        """
        if self._owned is not None:
            await self._unmount(self._owned)


def scopes_here() -> Iterator[Scope]:
    """Yield the scopes that surround the calling code, nearest first."""
    return (cast("Scope", place.scope) for place in places_here())
