"""Retired transports: they decide nothing any more, and only their end has to come.

So a new connection never waits for an old socket, and an old socket that answers late changes
nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

from sockstore.frozen import frozen
from sockstore.machine.outbox import Flights
from sockstore.outcomes import Close

__all__ = ["RetiredTransports"]

NEVER = math.inf


@frozen
class _Retired:
    deadline: float
    flights: Flights
    code: int | None


class RetiredTransports:
    """The transports that were closed, replaced or lost, and are not released yet."""

    __slots__ = ("_by_number",)

    def __init__(self) -> None:
        self._by_number: dict[int, _Retired] = {}

    def __bool__(self) -> bool:
        return bool(self._by_number)

    @property
    def deadline(self) -> float | None:
        """When the next one is overdue."""
        return min((it.deadline for it in self._by_number.values()), default=None)

    def add(
        self, transport: int, deadline: float, flights: Flights, code: int | None = None
    ) -> None:
        """Retire a transport; `code` is what our close frame says, if it sends one."""
        self._by_number[transport] = _Retired(deadline, flights, code)

    def ended(self, transport: int, close: Close) -> None:
        """Its WebSocket has ended: an answer to our close frame proves that all before arrived.

        A peer that closes in the same moment as we do has perhaps not read everything; an answer
        repeats our code (RFC 6455 section 5.5.1), so another code is no answer.
        """
        retired = self._by_number.get(transport)
        if retired is not None:
            retired.flights.end(proven=close.clean and close.code == retired.code)

    def released(self, transport: int) -> None:
        """Nothing is left of it."""
        retired = self._by_number.pop(transport, None)
        if retired is not None:
            retired.flights.lose()

    def take_overdue(self, now: float) -> list[int]:
        """Return those that are to be aborted now; each is returned once."""
        overdue = [number for number, it in self._by_number.items() if it.deadline <= now]
        for number in overdue:
            self._by_number[number] = replace(self._by_number[number], deadline=NEVER)
        return overdue
