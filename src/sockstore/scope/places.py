"""Find the scopes that surround code, through a context variable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

__all__ = ["Place", "here", "places_here", "provide", "provide_subscription", "step_out"]

T = TypeVar("T")

_current: ContextVar[Place | None] = ContextVar("sockstore_scope", default=None)


class Place:
    """The place of one scope among the scopes that surround each other.

    Args:
        scope: The scope.
    """

    def __init__(self, scope: object) -> None:
        self.scope: object = scope  # until `leave`
        # The place around this one: where the scope is made, then where it is entered.
        self.parent = here()
        # The values that code inside the scope finds by name; providers add to it.
        self.provided: dict[str, Any] = {}
        # The subscriptions that it finds in the same way.
        self.subscriptions: dict[str, Any] = {}
        # Set by `leave`; until then the cleanups of the scope are inside.
        self.has_been_left: bool = False
        # The places of context managers that the scope entered, such as providers.
        self._entered: list[Place] = []

    def is_inside(self, other: Place) -> bool:
        """Whether this is that place, or one within it."""
        place: Place | None = self
        while place is not None and place is not other:
            place = place.parent
        return place is other

    def lookups(self) -> Iterator[Place]:
        """Yield the places to look for a name from here, the one that was entered last first."""
        for entered in reversed(self._entered):
            inner = _nearest(entered)
            while inner is not None and inner is not self:
                yield from inner.lookups()
                inner = _nearest(inner.parent)
        yield self

    def enter(self) -> None:
        """Let the code that follows run inside."""
        around = here()
        if around is None or not around.is_inside(self):
            self.parent = around
        _current.set(self)

    def leave(self) -> None:
        """Provide nothing, and surround no code; the reference cycle with the scope is broken."""
        self.has_been_left = True
        self.scope = None
        self.provided.clear()
        self.subscriptions.clear()
        self._entered.clear()

    async def run(self, fn: Callable[[], Awaitable[T]]) -> tuple[T, Place | None]:
        """Await a function inside; return its result, and the place that it entered."""
        before = _current.get()
        _current.set(self)
        try:
            return await fn(), _current.get()
        finally:
            _current.set(before)

    def add_entered(self, inner: Place | None) -> None:
        """Also look up names in a context manager that the scope entered."""
        if inner is not None and inner is not self and inner.is_inside(self):
            self._entered.append(inner)

    def context(self) -> Context:
        """Return a copy of the present context, inside this place."""
        context = copy_context()
        context.run(self._step_inside)
        return context

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Run a block inside."""
        before = _current.get()
        self._step_inside()
        try:
            yield
        finally:
            _current.set(before)

    def _step_inside(self) -> None:
        """Make this the current place, unless it, or one within it, already is."""
        current = here()
        if current is None or not current.is_inside(self):
            _current.set(self)


def here() -> Place | None:
    """Return the nearest place around the calling code."""
    return _nearest(_current.get())


def provide(name: str, value: object) -> None:
    """Let the code in the nearest scope find a value by its name."""
    _own_place().provided[name] = value


def provide_subscription(name: str, subscription: object) -> None:
    """Let the code in the nearest scope find a subscription by the name of its provider."""
    _own_place().subscriptions[name] = subscription


def step_out() -> None:
    """Leave a place that has been left; by value, as another task has a context of its own."""
    _current.set(here())


def places_here() -> Iterator[Place]:
    """Yield the places that surround the calling code, nearest first."""
    place = here()
    while place is not None:
        yield from place.lookups()
        place = _nearest(place.parent)


def _own_place() -> Place:
    place = here()
    assert place is not None  # noqa: S101 - a provider enters its scope first
    return place


def _nearest(place: Place | None) -> Place | None:
    """Skip places that have been left: a task, or another task's exit, may outlive them."""
    while place is not None and place.has_been_left:
        place = place.parent
    return place
