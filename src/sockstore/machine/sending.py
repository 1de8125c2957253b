"""Sending: what waits, what is under way, and what may go now.

Without a session a message is handed over once, and that is all. With one it is kept until the
server has it, and goes again over the next connection before anything new does.
"""

from __future__ import annotations

from sockstore.machine import effects as order
from sockstore.machine.effects import Effect
from sockstore.machine.outbox import Offer, OutboxQueue, Outgoing
from sockstore.machine.session import SessionMachine
from sockstore.options import Outbox

__all__ = ["Sending"]


class Sending:
    """The outbox, and behind it the session, if there is one.

    Args:
        options: The limits of the outbox; None if nothing may wait.
        session: The session, or None.

    Attributes:
        outbox: What waits to be sent for the first time.
        session: The session, or None.
    """

    __slots__ = ("outbox", "session")

    def __init__(self, options: Outbox | None, session: SessionMachine | None) -> None:
        self.outbox = OutboxQueue(options)
        self.session = session

    @property
    def deadline(self) -> float | None:
        """When to look again."""
        waiting, session = self.outbox.next_expiry, self.session
        if session is None:
            return waiting
        times = (waiting, session.deadline(is_waited_for=bool(self.outbox)))
        return min((time for time in times if time is not None), default=None)

    @property
    def has_something(self) -> bool:
        """Whether anything waits to be sent, or to be sent again."""
        return bool(self.outbox) or (self.session is not None and self.session.has_resends)

    def is_free(self, now: float) -> bool:
        """Whether a new message need not wait for anything here."""
        if self.session is None:
            return not self.outbox
        return not self.has_something and self.session.may_send(now)

    def offer(self, entry: Outgoing, now: float) -> Offer:
        """Queue a message, or say why not."""
        return self.outbox.offer(entry, now)

    def next_to_send(self, now: float, *, only_again: bool = False) -> Outgoing | None:
        """Remove and return what goes next, if anything may.

        Args:
            now: Seconds, in the machine's clock.
            only_again: Whether new messages have to wait.
        """
        session = self.session
        if session is None:
            return self.outbox.take() if self.outbox and not only_again else None
        if not session.may_send(now):
            return None
        if session.has_resends:
            return session.next_resend()
        return self.outbox.take() if self.outbox and not only_again else None

    def write(self, entry: Outgoing, now: float) -> str | bytes | None:
        """Return what goes on the wire for a message; None if the server would not take it."""
        return entry.data if self.session is None else self.session.write(entry, now)

    def expire(self, now: float) -> list[Effect]:
        """Give up what is no longer worth sending, and what must not be sent again."""
        effects: list[Effect] = []
        if expired := self.outbox.take_expired(now):
            effects.append(order.SettleReceipts(expired, "expired", "it waited too long"))
        if self.session is not None and (unknown := self.session.take_expired(now)):
            why = "no answer came in time, so nobody knows whether it is stored"
            effects.append(order.SettleReceipts(unknown, "unknown", why))
        return effects

    def drop(self, why: str) -> list[Effect]:
        """Give up everything."""
        effects: list[Effect] = []
        if self.session is not None and (unknown := self.session.take_all()):
            before = f"{why} before the server answered"
            effects.append(order.SettleReceipts(unknown, "unknown", before))
        if dropped := self.outbox.take_all():
            effects.append(order.SettleReceipts(dropped, "dropped", why))
        return effects
