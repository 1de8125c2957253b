"""Hold what reaches one handle of a subscription: its messages, its state and its snapshot."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from weakref import ref

from sockstore.base.checks import require_callable, require_text
from sockstore.base.codecs import Unreadable
from sockstore.base.errors import ConnectionEnded, SubscriptionRefused
from sockstore.base.plain_calls import name_of
from sockstore.machine.subscriptions import WAITING, SubscriptionState
from sockstore.messages.writer import LogWriter
from sockstore.protocols.base import Received, WireSubscription
from sockstore.stores import Writable, writable

if TYPE_CHECKING:
    from sockstore.base.positions import Position
    from sockstore.base.records import Message, MessageKind
    from sockstore.machine.snapshots import OwedSnapshot
    from sockstore.messages.buffer import Buffer
    from sockstore.protocols.outputs import Member

__all__ = ["Feed", "Gate", "Handlers", "add_handler"]

Handlers: TypeAlias = dict[str, Callable[..., object]]
"""The functions that answer a server's calls, by name."""


class Gate(Protocol):
    """Tells whether the scope of a holder was left."""

    is_left: bool


class Feed:
    """What reaches one handle. It does not know the handle, so a forgotten one is noticed.

    Args:
        key: What was subscribed to.
        params: What else the server is asked with.
        owner: The `Connection` that was asked; it is not kept alive.
        gate: The owner's `Gate`: once it is left, nothing is held any more.
        log: Where the messages go.
        convert: Makes the data of a message, and its kind, of what came; None leaves it.
        read: The same for what could not be decoded, without `convert`.
        limit: Messages that are held back while a snapshot is loaded.
        linger: Seconds for which the subscription is kept after this handle was the last one.
        token: The token of the subscription, or a callable that makes one.
        since: What the program has read already; None for nothing.

    Attributes:
        wire: The subscription as its server sees it; set by `Subscriptions.hold`.
        state: What the subscription does; set by `Subscriptions`.
        answer: What the server answered last; set by `Subscriptions`.
        members: Who is in it; None unless `Subscription.members` made it. Set by `Subscriptions`.
        over: Raised in those who wait for the server: it refused, the connection has ended, or this
            was released; None while they may wait. Set by `Subscriptions`.
        holders: The handle, and whoever watches its latest message: counted by `Subscriptions`.
        is_closed: Whether it will never be held again; set by `Subscriptions.release_all`.
        is_lent: Whether others than the handle may hold it; set by `Subscription.latest`.
        handlers: The functions that answer the server's calls, by name.
        load: Loads the snapshot; None without one. Set with `owed`, before it is held.
        owed: Decides when; None without one.
        loading: The number of the load that was begun last; set by `SnapshotLoader`.
        problem: Why that snapshot could not be loaded; None if nothing is wrong. Set by
            `Subscriptions`, cleared once it was loaded and when the connection is lost.
    """

    __slots__ = (
        "_convert",
        "_read",
        "answer",
        "gate",
        "handlers",
        "holders",
        "is_closed",
        "is_lent",
        "key",
        "limit",
        "linger",
        "load",
        "loading",
        "log",
        "members",
        "over",
        "owed",
        "owner",
        "params",
        "problem",
        "since",
        "state",
        "token",
        "wire",
    )

    wire: WireSubscription

    def __init__(
        self,
        key: Hashable,
        params: Mapping[str, Any],
        *,
        owner: Any,
        gate: Gate,
        log: LogWriter,
        convert: Callable[[Any], tuple[Any, MessageKind]] | None,
        read: Callable[[Any], tuple[Any, MessageKind]],
        limit: int,
        linger: float,
        token: object = None,
        since: Position | None = None,
    ) -> None:
        self.key: Final = key
        self.params: Final = params
        self.owner: Final = ref(owner)
        self.gate: Final = gate
        self.log: Final = log
        self.limit: Final = limit
        self.linger: Final = linger
        self.token: Final[object] = token
        self.since: Final[Position | None] = since
        self.state: Final[Writable[SubscriptionState]] = writable(WAITING)
        self.answer: object = None
        self.members: Writable[tuple[Member, ...]] | None = None
        self.over: Exception | None = None
        self.is_closed: bool = False
        self.is_lent: bool = False
        self.holders: int = 0
        self.handlers: Handlers = {}
        self.load: Callable[[], object] | None = None
        self.owed: OwedSnapshot[Received] | None = None
        self.loading: int | None = None
        self.problem: str | None = None
        self._convert = convert
        self._read = read

    def ending(self) -> Exception | None:
        """Return what to raise: a copy of `over`, as a raised error keeps its frames alive.

        These hold the handle, and this feed lives until its handle is gone.
        """
        if self.over is None:
            return None
        error = copy(self.over)
        error.__cause__ = self.over.__cause__
        return error

    @property
    def takes_frames(self) -> bool:
        """Whether a message goes into the log as it came: nothing converts or holds it back."""
        return self.owed is None and self._convert is None

    def take(self, received: Received) -> bool:
        """Add a message to the log; return whether the slice should end now."""
        data = received.data
        if self._convert is None and received.text is not None and received.publication is None:
            self.log.last = data
            return self.log.append_text(received.text, data)
        data, kind = self._converted(data)
        self.log.last = data
        return self.log.append(data, kind, received.publication)

    def message_of(self, received: Received) -> Message:
        """Return a message that is not in the log; its number is 0."""
        data, kind = self._converted(received.data)
        return self.log.message(data, kind, received.publication)

    def _converted(self, data: Any) -> tuple[Any, MessageKind]:
        if self._convert is not None:
            return self._convert(data)
        return self._read(data) if isinstance(data, Unreadable) else (data, _kind_of(data))

    def add_reader(self, buffer: Buffer) -> None:
        """Give a reader every message from now on; one of a feed that has ended ends at once."""
        if self.over is None and self.holders:
            self.log.add_stream(buffer)
        else:
            # As with a connection: what was closed ends streams, what failed raises in them.
            has_failed = self.state.value.error is not None and _is_failure(self.over)
            buffer.end(self.ending() if has_failed else None)

    def loaded(self, attempt: int, snapshot: object) -> None:
        """Deliver a snapshot, and what was held back until it was there."""
        held = None if self.owed is None else self.owed.loaded(attempt)
        if held is None:
            return
        self.log.begin_slice()
        self.log.expect(len(held) + 1)
        if snapshot is not None:
            self.log.last = snapshot
            self.log.append(snapshot, "snapshot")
        for received in held:
            if self.holders:
                self.take(received)
        self.log.end_slice()


def _kind_of(data: object) -> MessageKind:
    return "text" if isinstance(data, str) else "binary" if isinstance(data, bytes) else "json"


def _is_failure(over: Exception | None) -> bool:
    if isinstance(over, ConnectionEnded):
        return over.reason is not None
    return isinstance(over, SubscriptionRefused)


def add_handler(handlers: Handlers, name: str, fn: Callable[..., object]) -> Callable[[], None]:
    """Answer the calls of a name with a function; return how to stop, which may be called twice.

    Raises:
        InvalidOption: If the name is not text, or is empty.
        ValueError: If another function answers this name.
        TypeError: If it is no function, or one whose call would only make a generator.
    """
    require_text("name", name, "the name of a method or event")
    if not callable(fn):
        raise TypeError(f"handle({name!r}): {fn!r} is not a function")
    require_callable("fn", fn, may_await=True)
    if name in handlers:
        raise ValueError(f"{name!r} is answered already, by {name_of(handlers[name])}")
    handlers[name] = fn
    is_stopped = False

    def stop() -> None:
        # By now another holder may answer this name.
        nonlocal is_stopped
        if not is_stopped:
            is_stopped = True
            del handlers[name]

    return stop
