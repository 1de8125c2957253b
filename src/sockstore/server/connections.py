"""How many connections there may be, of all clients and of each address: counting, without I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from sockstore.server.addresses import Address, Network, group_of

__all__ = ["Connections", "Crowded", "Visit"]


class Crowded(Enum):
    """Why one more connection is too many."""

    ADDRESS = "there are too many connections from this address"
    HANDSHAKES = "there are too many unfinished handshakes from this address"
    DESCRIPTORS = "the server has no file descriptors left"


@dataclass(slots=True, eq=False)
class Visit:
    """One connection, from its coming to its leaving.

    Args:
        connections: Where it is counted.
        group: What counts as its address; None is not counted.
    """

    connections: Connections
    group: Network | None
    is_in_handshake: bool = True  # until arrive() or leave()
    is_here: bool = True  # until leave()

    def arrive(self) -> None:
        """The handshake is done."""
        if self.is_in_handshake:
            self.is_in_handshake = False
            self.connections._take(self.connections._handshakes, self.group)

    def leave(self) -> None:
        """The connection has ended; a second call changes nothing."""
        self.arrive()
        if self.is_here:
            self.is_here = False
            self.connections.total -= 1
            self.connections._take(self.connections._open, self.group)


class Connections:
    """The open connections of a server.

    Args:
        per_address: How many one address may have; an IPv6 /64 counts as one.
        handshakes_per_address: How many of them may be unfinished handshakes.
        most: How many there may be in all; None for no bound.
        group: What counts as one address; None is not counted, as loopback is not.
    """

    def __init__(
        self,
        per_address: int,
        handshakes_per_address: int,
        *,
        most: int | None = None,
        group: Callable[[Address], Network | None] = group_of,
    ) -> None:
        self.total = 0
        self.most = most
        self._per_address = per_address
        self._handshakes_per_address = handshakes_per_address
        self._group = group
        self._open: Counter[Network] = Counter()
        self._handshakes: Counter[Network] = Counter()
        self._is_full = False  # from the first connection without a descriptor until many left
        self.is_news = False  # whether the last refusal is the first one of its kind

    def enter(self, address: Address | None) -> Visit | Crowded:
        """Count one more connection, or say why it is one too many.

        Args:
            address: Where it comes from; None is not counted for itself.
        """
        group = None if address is None else self._group(address)
        if self.most is not None:
            if self.total >= self.most:
                self.is_news = not self._is_full
                self._is_full = True
                return Crowded.DESCRIPTORS
            if self.total < self.most - self.most // 8:
                self._is_full = False
        if group is not None:
            if self._open[group] >= self._per_address:
                return Crowded.ADDRESS
            if self._handshakes[group] >= self._handshakes_per_address:
                return Crowded.HANDSHAKES
            self._open[group] += 1
            self._handshakes[group] += 1
        self.total += 1
        return Visit(self, group)

    @staticmethod
    def _take(counter: Counter[Network], group: Network | None) -> None:
        if group is None:
            return
        counter[group] -= 1
        if not counter[group]:
            del counter[group]
