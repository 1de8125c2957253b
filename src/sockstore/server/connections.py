"""Count the connections of a server and of each address, and refuse those over a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from sockstore.server.addresses import Address, Network, group_of

__all__ = ["Connections", "Crowded", "Visit"]


class Crowded(Enum):
    """Why one more connection is refused."""

    ADDRESS = "there are too many connections from this address"
    HANDSHAKES = "there are too many unfinished handshakes from this address"
    DESCRIPTORS = "the server has no file descriptors left"


@dataclass(slots=True, eq=False)
class Visit:
    """One counted connection, until it has ended.

    Args:
        connections: The counter of connections that counts it.
        group: The address or network that it counts for; None for none.
        is_in_handshake: True until `arrive` or `leave` is called.
        is_here: True until `leave` is called.
    """

    connections: Connections
    group: Network | None
    is_in_handshake: bool = True
    is_here: bool = True

    def arrive(self) -> None:
        """Note that the handshake is complete; a second call changes nothing."""
        if self.is_in_handshake:
            self.is_in_handshake = False
            if self.group is not None:
                self.connections.end_handshake(self.group)

    def leave(self) -> None:
        """Note that the connection has ended; a second call changes nothing."""
        self.arrive()
        if self.is_here:
            self.is_here = False
            self.connections.end_connection(self.group)


class Connections:
    """The open connections of a server.

    Args:
        per_address: The most connections of one address; an IPv6 /64 counts as one address.
        handshakes_per_address: The most unfinished handshakes among them.
        most: The most connections of the server; None for no limit.
        group: Returns what an address counts as; None, as for loopback, is not counted.
    """

    def __init__(
        self,
        per_address: int,
        handshakes_per_address: int,
        *,
        most: int | None = None,
        group: Callable[[Address], Network | None] = group_of,
    ) -> None:
        # All open connections; `enter` and `end_connection` change it.
        self.total: int = 0
        # `sockstore serve` sets it again once it knows how many descriptors are free.
        self.most = most
        self._per_address = per_address
        self._handshakes_per_address = handshakes_per_address
        self._group = group
        # By address: its connections, and those of them whose handshake is unfinished.
        self._open: Counter[Network] = Counter()
        self._handshakes: Counter[Network] = Counter()

    def enter(self, address: Address | None) -> Visit | Crowded:
        """Count one more connection, or say why it is refused.

        Args:
            address: The client's address; None counts for the server only.
        """
        group = None if address is None else self._group(address)
        if self.most is not None and self.total >= self.most:
            return Crowded.DESCRIPTORS
        if group is not None:
            if self._open[group] >= self._per_address:
                return Crowded.ADDRESS
            if self._handshakes[group] >= self._handshakes_per_address:
                return Crowded.HANDSHAKES
            self._open[group] += 1
            self._handshakes[group] += 1
        self.total += 1
        return Visit(self, group)

    def end_handshake(self, group: Network) -> None:
        """Count one unfinished handshake less; a `Visit` calls this."""
        _decrement(self._handshakes, group)

    def end_connection(self, group: Network | None) -> None:
        """Count one connection less; a `Visit` calls this."""
        self.total -= 1
        if group is not None:
            _decrement(self._open, group)


def _decrement(counter: Counter[Network], group: Network) -> None:
    counter[group] -= 1
    if not counter[group]:
        del counter[group]
