"""The connection, as its driver sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from sockstore.base.outcomes import Outcome
from sockstore.base.positions import Gap
from sockstore.base.state import Attempt, ConnectionState
from sockstore.machine.session_frames import Published
from sockstore.transports.base import Deliver, Listener, Target, Transport

__all__ = ["Owner", "Sink"]


class Sink(Protocol):
    """What takes messages."""

    def begin_slice(self) -> Deliver:
        """Return what takes the messages of one slice."""

    def end_slice(self) -> None:
        """Tell subscribers about the messages of the slice."""

    @property
    def has_delivered(self) -> bool:
        """Whether the slice brought a message that stands in `messages`."""

    @property
    def has_heard_a_word(self) -> bool:
        """Whether the server's program said anything in the slice, replies to heartbeats too."""

    def stop_slice(self) -> None:
        """End the slice that is being delivered, if there is one."""

    def keep_beginning(self, transport: int) -> None:
        """Keep what this connection says for streams that its ``on_open`` makes."""

    def drop_beginning(self, transport: int) -> None:
        """The ``on_open`` of this connection is over."""

    def expect(self, count: int) -> None:
        """So many messages of a session's room come at once now."""

    def publish(self, publication: Published, epoch: str) -> bool:
        """Take a message of a session's room; return whether the slice should end now."""

    def gap(self, gap: Gap) -> None:
        """Messages are missing here."""

    def before_next_message(self, tell: Callable[[], None]) -> None:
        """Call `tell` once, before the next message is delivered."""


class Owner(Protocol):
    """The connection, as its driver sees it."""

    def make_target(self, attempt: Attempt) -> Awaitable[Target]:
        """Ask the url, headers and subprotocols callables."""

    def make_transport(self, listener: Listener) -> Transport:
        """Return a transport for one attempt."""

    def run_on_open(self, loaded: Callable[[], None] | None) -> object:
        """Load a snapshot and call `loaded` behind it, unless that is None; call ``on_open``."""

    def ask_predicate(self, outcome: Outcome) -> object:
        """Call the user's ``should_reconnect``; it may return an awaitable."""

    @property
    def receiver(self) -> Sink:
        """Where messages go."""

    def bound(self) -> None:
        """The connection belongs to this thread from now on."""

    def publish(self, state: ConnectionState) -> None:
        """Show a new snapshot to everyone."""

    def buffered_changed(self) -> None:
        """The amount that waits to be sent may have changed."""
