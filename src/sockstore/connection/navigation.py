"""Define navigations, and close a connection at the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from weakref import WeakMethod

from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen
from sockstore.stores import Readable, Unsubscriber, subscribe_weakly

__all__ = ["CloseOnNavigate", "Navigates", "Navigation", "check_navigator"]


@frozen
class Navigation:
    """A navigation that is under way: the value of `Navigator.navigating`.

    Args:
        from_: The page that is left; None for the first page.
        to: The page that comes; None if the navigator itself is left.

    Source:
        The guide's ``navigating``, which is SvelteKit's ``$app/stores``.
    """

    from_: object
    to: object


class Navigates(Protocol):
    """Anything with the guide's store ``navigating``: a `Navigator`, or your own."""

    @property
    def navigating(self) -> Readable[object]:
        """None, or what is true while a navigation is under way."""


def check_navigator(navigator: object) -> None:
    """Refuse an object that has no store ``navigating``.

    Raises:
        InvalidOption: If it is neither None nor such an object.
    """
    store = getattr(navigator, "navigating", None)
    if navigator is not None and not isinstance(store, Readable):
        raise InvalidOption("close_on_navigate", navigator, "give a Navigator")


class CloseOnNavigate:
    """Call `close` at the first navigation that begins after `listen`, then stop listening.

    Args:
        navigator: Where to listen, or None for nowhere.
        close: The method to call; it does not keep its object alive.

    Raises:
        InvalidOption: If the navigator has no store ``navigating``.
    """

    __slots__ = ("__weakref__", "_close", "_ignored", "_navigator", "_unsubscribe")

    def __init__(self, navigator: Navigates | None, close: Callable[[], object]) -> None:
        check_navigator(navigator)
        self._navigator = navigator
        self._close = None if navigator is None else WeakMethod(close)
        self._ignored: object = None
        self._unsubscribe: Unsubscriber | None = None

    def listen(self) -> None:
        """Listen from now on; a navigation that is under way led to this call, and is ignored."""
        if self._navigator is None or self._unsubscribe is not None:
            return
        self._ignored = self._navigator.navigating.value
        self._unsubscribe = subscribe_weakly(self._navigator.navigating, self._navigated)

    def stop(self) -> None:
        """Stop listening."""
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()

    def _navigated(self, navigation: object) -> None:
        if navigation is self._ignored:
            return
        self._ignored = None
        if navigation:
            self.stop()
            close = None if self._close is None else self._close()
            if close is not None:
                close()
