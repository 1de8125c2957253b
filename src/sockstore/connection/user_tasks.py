"""Run the user's callables around a connection, each in a task while its answer is needed."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sockstore.base.errors import HandshakeFailed, InvalidOption, InvalidURI, StopReconnecting
from sockstore.base.outcomes import Outcome, Word
from sockstore.base.tasks import as_exception, is_cancelled, start_task
from sockstore.machine import Machine
from sockstore.machine import events as fact
from sockstore.machine.endings import attempt_raised
from sockstore.machine.events import AttemptError, Event

__all__ = ["Callables", "OpeningRefused", "as_attempt_error", "call_on_open", "forget_variables"]

OF_TRANSPORTS = {"certificate", "http", "network", "protocol", "subprotocol", "timeout"}
"""The kinds of `HandshakeFailed` that transports report."""

_opening: ContextVar[tuple[object, int, bool] | None] = ContextVar(
    "sockstore_opening", default=None
)
"""The `Callables` whose ``on_open`` runs here, its transport, and whether `Opening` itself does.

It is set by `_on_open` and `Callables.in_opening`; a task that is started has a copy.
"""


class OpeningRefused(HandshakeFailed):
    """The error that `Opening.unauthorised` and `Opening.refused` return.

    Args:
        url: The url, without its secrets.
        why: The program's sentence.
        meaning: What to do next.
    """

    def __init__(self, url: str, why: str, meaning: Word) -> None:
        super().__init__(url, why, kind="refused")
        self.args = (url, why, meaning)
        self.meaning: Word = meaning


class Callables:
    """Run ``on_open`` and ``should_reconnect``, and report their results as events.

    Args:
        machine: Knows whether an answer is still waited for.
        dispatch: Takes the events.
        on_open_returned: Called with a transport's number when its ``on_open`` has returned, before
            that is reported.
        finished: Called when a task has ended.

    Attributes:
        tasks: The tasks of callables that run, each with a function that returns whether its answer
            is needed; a task is removed when it ends.
    """

    def __init__(
        self,
        machine: Machine,
        dispatch: Callable[[Event], None],
        on_open_returned: Callable[[int], None],
        finished: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._dispatch = dispatch
        self._on_open_returned = on_open_returned
        self._finished = finished
        self.tasks: dict[asyncio.Task[None], Callable[[], bool]] = {}

    @property
    def opening(self) -> int | None:
        """The transport whose ``on_open`` runs the calling code, itself or in a task it began."""
        opening = _opening.get()
        return opening[1] if opening is not None and opening[0] is self else None

    def refuse_in_opening(self, action: str, instead: str) -> None:
        """Refuse to wait inside ``on_open`` for what comes when it is over.

        Raises:
            RuntimeError: If the calling code is ``on_open``, or a task that it started.
        """
        opening = _opening.get()
        if opening is None or opening[0] is not self or opening[2]:
            return
        if self._machine.prepares(opening[1]):
            raise RuntimeError(f"{action} inside on_open would wait for on_open itself; {instead}")

    @contextmanager
    def in_opening(self, transport: int) -> Iterator[None]:
        """Let `Opening` send and ask before the connection is open, from whatever task."""
        token = _opening.set((self, transport, True))
        try:
            yield
        finally:
            _opening.reset(token)

    def run_on_open(self, transport: int, run: Callable[[], object]) -> None:
        """Call ``on_open``; `OnOpenFinished` follows."""
        self._start(self._on_open(transport, run), lambda: self._machine.prepares(transport))

    def ask_predicate(
        self, question: int, ask: Callable[[Outcome], object], outcome: Outcome
    ) -> None:
        """Call ``should_reconnect``; `PredicateAnswered` follows, at once if it is a function."""
        try:
            answer = ask(outcome)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._dispatch(fact.PredicateAnswered(question, allowed=False, exception=error))
            return
        if inspect.isawaitable(answer):
            self._start(self._await(question, answer), lambda: self._machine.asks(question), answer)
        else:
            self._dispatch(fact.PredicateAnswered(question, bool(answer)))

    def run(
        self,
        running: Coroutine[Any, Any, None],
        is_needed: Callable[[], bool],
        awaits: object = None,
    ) -> None:
        """Run a coroutine of the user in a task while it is needed.

        Args:
            running: The coroutine.
            is_needed: Returns whether it is.
            awaits: What it awaits and was made before: a coroutine is closed if it never begins.
        """
        self._start(running, is_needed, awaits)

    def cancel_obsolete(self) -> None:
        """Cancel the callables whose answer is not needed any more."""
        for task, is_awaited in list(self.tasks.items()):
            if not is_awaited():
                task.cancel()

    async def _on_open(self, transport: int, run: Callable[[], object]) -> None:
        _opening.set((self, transport, False))
        failure: AttemptError | None = None
        try:
            result = run()
            del run  # it holds the connection
            if inspect.isawaitable(result):
                await result
        except (HandshakeFailed, StopReconnecting) as error:
            failure = error
        except BaseException as error:
            if is_cancelled(error):
                raise
            failed = attempt_raised("on_open", error, "on_open")
            self._dispatch(fact.OnOpenFinished(transport, failed, None))
            if isinstance(error, asyncio.CancelledError):
                return
            raise
        if failure is None:
            self._on_open_returned(transport)
        meaning: Word | None = failure.meaning if isinstance(failure, OpeningRefused) else None
        self._dispatch(fact.OnOpenFinished(transport, failure, meaning))

    async def _await(self, question: int, answer: Awaitable[object]) -> None:
        try:
            event = fact.PredicateAnswered(question, bool(await answer))
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled(error):
                raise
            failure = as_exception(error)
            event = fact.PredicateAnswered(question, allowed=False, exception=failure)
        self._dispatch(event)

    def _start(
        self,
        running: Coroutine[Any, Any, None],
        is_awaited: Callable[[], bool],
        awaits: object = None,
    ) -> None:
        task = start_task(running, name="sockstore: a callable of the user")
        self.tasks[task] = is_awaited
        task.add_done_callback(self._done)
        if inspect.iscoroutine(awaits):
            # A task that is cancelled before it begins would cause a "never awaited" warning.
            task.add_done_callback(lambda _: awaits.close())

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.pop(task, None)
        self._finished()


def as_attempt_error(error: BaseException) -> AttemptError:
    """Return an error that may end an attempt: any error of a transport is a failed attempt."""
    if isinstance(error, HandshakeFailed | InvalidOption | InvalidURI | StopReconnecting):
        return error
    return attempt_raised("the attempt", error, "network")


def forget_variables(error: BaseException | None) -> None:
    """Release the variables that an error's traceback holds, and keep its lines if they help.

    The variables hold the attempt, which holds the previous error, and so on; those of ``on_open``
    hold the connection.
    """
    cleared: set[int] = set()
    # The lines of a transport say nothing that its error does not; and from Python 3.12 on a frame
    # keeps the variables of its callers, also those of a function that ran the loop and returned.
    has_lines = not _is_of_transport(error)
    while error is not None and id(error) not in cleared:
        cleared.add(id(error))
        traceback.clear_frames(error.__traceback__)
        if not has_lines:
            error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _is_of_transport(error: BaseException | None) -> bool:
    """Whether a transport reported it, and no code that raised something unexpected."""
    return (
        isinstance(error, HandshakeFailed)
        and error.kind in OF_TRANSPORTS
        and isinstance(error.__cause__, OSError | None)
    )


async def call_on_open(on_open: Callable[[Any], object], opening: object) -> None:
    """Call the user's ``on_open``, and wait for it.

    Raises:
        HandshakeFailed: If it raised; it names the callable.
        StopReconnecting: If it raised that.
    """
    try:
        result = on_open(opening)
        if inspect.isawaitable(result):
            await result
    except (HandshakeFailed, StopReconnecting):
        raise
    except Exception as error:
        raise attempt_raised("on_open", error, "on_open") from error
