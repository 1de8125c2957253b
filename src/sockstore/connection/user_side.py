"""Say what the driver of a connection needs of the user's side.

The driver refers to it weakly, as the event loop refers to the driver: so a connection that its
user forgets is noticed.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from sockstore.base.state import ConnectionState
from sockstore.connection.receiver import Receiver
from sockstore.machine import effects as order

__all__ = ["TalkEffect", "UserEffect", "UserSide"]

TalkEffect: TypeAlias = (
    order.DeliverGapTo
    | order.ShowSubscription
    | order.ShowMembers
    | order.ForgetSubscription
    | order.AnswerRequest
    | order.TakeCall
    | order.AskProgram
)
"""The orders that only a protocol gives."""

UserEffect: TypeAlias = (
    order.OpenTransport | order.DeliverGap | order.RunOnOpen | order.AskPredicate | TalkEffect
)
"""The effects that concern users: their callables, and what they read."""


class UserSide(Protocol):
    """The user's side of a connection as its driver sees it: stores, log and callables."""

    @property
    def receiver(self) -> Receiver:
        """The receiver of messages."""

    def carry_out(self, effect: UserEffect) -> None:
        """Carry out an effect that concerns users."""

    def look_at_users_soon(self) -> None:
        """Something may wait for a lazy connection that is not open."""

    def adopt(self) -> None:
        """Give the stores to the calling thread."""

    def show(self, state: ConnectionState) -> None:
        """Show a snapshot to everyone."""

    def show_buffered(self) -> None:
        """Show how much waits to be sent."""

    def end_turn(self) -> None:
        """Do what was put off to the end of this turn of the loop."""
