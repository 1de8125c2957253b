"""Compute the share of the clients that come back in the busiest second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["ATTEMPTS", "busiest_second", "shares"]

ATTEMPTS = (1, 5, 10)
"""The numbers of the retries in a row that are measured."""


def busiest_second(times: Iterable[float]) -> int:
    """Return how many of the times lie in the second that has the most; it may begin anywhere.

    Example:
        >>> busiest_second([0.5, 1.4, 1.5, 3.0])
        2
    """
    ordered = sorted(times)
    most = first = 0
    for index, time in enumerate(ordered):
        while time - ordered[first] >= 1:
            first += 1
        most = max(most, index - first + 1)
    return most


def shares(arrivals: Mapping[int, list[float]], clients: int) -> dict[str, float]:
    """Return for each attempt the percentage of all clients that came in its busiest second.

    Args:
        arrivals: For each attempt its times; empty if the clients give up before.
        clients: The number of clients.
    """
    return {
        f"attempt {attempt}": 100 * busiest_second(arrivals[attempt]) / clients
        for attempt in ATTEMPTS
        if arrivals.get(attempt)
    }
