"""The user's callables around a connection: each runs in a task, until nobody waits for it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from sockstore.errors import (
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    StopReconnecting,
    said,
)
from sockstore.machine import events as fact
from sockstore.machine.events import AttemptError, Event
from sockstore.machine.machine import Machine
from sockstore.outcomes import Outcome

__all__ = ["Callables", "as_attempt_error"]

_inside_on_open: ContextVar[object] = ContextVar("sockstore_inside_on_open", default=None)


class Callables:
    """Run ``on_open`` and ``should_reconnect``, and report what they said as events.

    Args:
        machine: Knows whether an answer is still waited for.
        dispatch: Takes the events.
        finished: Called when a task has ended.
    """

    def __init__(
        self, machine: Machine, dispatch: Callable[[Event], None], finished: Callable[[], None]
    ) -> None:
        self._machine = machine
        self._dispatch = dispatch
        self._finished = finished
        self._tasks: dict[asyncio.Task[None], Callable[[], bool]] = {}

    @property
    def running(self) -> bool:
        """Whether a callable runs."""
        return bool(self._tasks)

    @property
    def are_inside_on_open(self) -> bool:
        """Whether the code that asks was called by ``on_open``, directly or in a task of it."""
        return _inside_on_open.get() is self

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
            self._start(self._await(question, answer), lambda: self._machine.asks(question))
        else:
            self._dispatch(fact.PredicateAnswered(question, bool(answer)))

    def cancel_obsolete(self) -> None:
        """Cancel the callables whose answer nobody waits for any more."""
        for task, is_awaited in list(self._tasks.items()):
            if not is_awaited():
                task.cancel()

    def forget(self) -> None:
        """Forget the tasks of a loop that was closed."""
        self._tasks.clear()

    async def _on_open(self, transport: int, run: Callable[[], object]) -> None:
        _inside_on_open.set(self)
        failure: AttemptError | None = None
        try:
            result = run()
            del run  # it holds the connection
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            failure = as_attempt_error(error, "on_open")
        self._dispatch(fact.OnOpenFinished(transport, failure))

    async def _await(self, question: int, answer: Awaitable[object]) -> None:
        try:
            event = fact.PredicateAnswered(question, bool(await answer))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            event = fact.PredicateAnswered(question, allowed=False, exception=error)
        self._dispatch(event)

    def _start(self, running: Coroutine[Any, Any, None], is_awaited: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(running, name="sockstore: a callable of the user")
        self._tasks[task] = is_awaited
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._finished()


def as_attempt_error(error: BaseException, who: str) -> AttemptError:
    """Return an error that may end an attempt: whatever a callable raised is a failed attempt."""
    if isinstance(error, HandshakeFailed | InvalidOption | InvalidURI | StopReconnecting):
        return error
    failed = HandshakeFailed("the server", f"{who} raised {said(error)}", kind="option")
    failed.__cause__ = error
    return failed
