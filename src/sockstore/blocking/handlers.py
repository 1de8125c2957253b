"""Answer the server's calls where the callbacks of a blocking WebSocket run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial, update_wrapper
from typing import Any

from sockstore.base.plain_calls import returns_awaitable
from sockstore.blocking.callbacks import Runner

__all__ = ["answering"]


class Call:
    """One call of the server, which waits for its turn among the callbacks.

    Args:
        fn: Makes the answer.
    """

    def __init__(self, fn: Callable[[], object]) -> None:
        self.is_due = False  # set by the runner
        # None once it was called.
        self._fn: Callable[[], object] | None = fn
        self._loop = asyncio.get_running_loop()
        # The answer, or the error that was raised; cancelled once nobody waits for it.
        self.outcome: asyncio.Future[tuple[object, Exception | None]] = self._loop.create_future()

    @property
    def waiting(self) -> int:
        """1 until it was made."""
        return int(self._fn is not None)

    def run(self) -> None:
        """Make the answer, and hand it to the thread of the loop."""
        fn, self._fn = self._fn, None
        if fn is None or self.outcome.cancelled():
            return
        try:
            self._hand_over(fn(), None)
        except Exception as error:  # noqa: BLE001 - the user's code; the connection reports it
            self._hand_over(None, error)
        except BaseException:  # Ctrl-C while pump() runs it
            self._hand_over(None, RuntimeError("the handler was interrupted"))
            raise

    def _hand_over(self, answer: object, error: Exception | None) -> None:
        def set_outcome() -> None:
            if not self.outcome.done():
                self.outcome.set_result((answer, error))

        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(set_outcome)


def answering(fn: Any, runner: Runner) -> Callable[..., object]:
    """Return a handler for the connection that has `fn` called where callbacks run.

    A coroutine function is returned as it is, since it runs on the loop; so is what the connection
    will refuse.
    """
    if not callable(fn) or returns_awaitable(fn):
        unchanged: Callable[..., object] = fn
        return unchanged

    async def answer(*args: Any, **kwargs: Any) -> object:
        call = Call(partial(fn, *args, **kwargs))
        runner.announce(call)
        result, error = await call.outcome
        if error is not None:
            raise error
        return await result if inspect.isawaitable(result) else result

    # With its name and its signature, by which the connection refuses other arguments.
    return update_wrapper(answer, fn, updated=())
