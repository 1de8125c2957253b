"""Know who uses a connection: readers of its messages, and callers that wait for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

__all__ = ["Users", "UsersKeeper"]


class UsersKeeper(Protocol):
    """What `Users` needs of the connection's engine."""

    def look_at_users(self) -> None:
        """Tell the machine whether there are any; called on the running loop."""

    def call_soon(self, fn: Callable[[], object]) -> bool:
        """Call a function on the loop that the connection is in use on; return whether it is."""


class Users:
    """The users of one lazy connection.

    Args:
        keeper: The engine, or a function that returns it: it may be gone.
    """

    __slots__ = ("_is_due", "_keeper", "_present")

    def __init__(self, keeper: Callable[[], UsersKeeper | None]) -> None:
        self._keeper = keeper
        self._present: set[object] = set()  # `stay` adds, and what it returns removes
        self._is_due = False  # set by `look_soon`, reset by `_look`

    def __bool__(self) -> bool:
        return bool(self._present)

    def stay(self) -> Callable[[], None]:
        """Note one more user; return how to note that it has left, in any thread."""
        token = object()
        self._present.add(token)
        self.look_soon()

        def leave() -> None:
            self._present.discard(token)
            self.look_soon()

        return leave

    def look_soon(self) -> None:
        """Let the connection notice, in the next turn of its loop; without a loop it is noted."""
        keeper = self._keeper()
        if self._is_due or keeper is None:
            return
        if keeper.call_soon(self._look):
            self._is_due = True
            return
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_soon(self._look)
            self._is_due = True

    def _look(self) -> None:
        self._is_due = False
        if (keeper := self._keeper()) is not None:
            keeper.look_at_users()
