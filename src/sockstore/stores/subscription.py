"""Hold one place among the subscribers of a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sockstore.stores.nodes import Node

__all__ = ["Subscription"]


class Subscription:
    """What `subscribe` returns: call it to unsubscribe, as often as you like.

    Example:
        >>> from sockstore.stores import writable
        >>> with writable(1).subscribe(print) as subscription:
        ...     subscription.active
        1
        True
        >>> subscription.active
        False
    """

    __slots__ = ("__weakref__", "_node", "_run")

    def __init__(self, node: Node[Any], run: Callable[[Any], object]) -> None:
        self._node: Node[Any] | None = node
        self._run: Callable[[Any], object] | None = run

    @property
    def active(self) -> bool:
        """Whether changes are still delivered."""
        return self._run is not None

    def __call__(self) -> None:
        """Unsubscribe; the function is not called again, not even for a change under way.

        Raises:
            Exception: What the `stop` of a store raised that lost its last subscriber.
        """
        self._run = None
        node, self._node = self._node, None
        if node is not None:
            node._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self()

    def _retire(self) -> None:
        """Unsubscribe from within the garbage collector, which may strike at any moment."""
        self._run = None
        node = self._node
        if node is not None:
            node._leave_when_idle(self)
