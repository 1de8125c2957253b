"""Describe who is in a room."""

from __future__ import annotations

from sockstore.base.frozen import frozen

__all__ = ["Member"]


@frozen
class Member:
    """One connection of somebody who is in a room.

    Args:
        client: The name of the connection, unique on its server.
        user: The name of its user; None without one.

    Example:
        >>> Member("9b42e55c", "Ann").user
        'Ann'
    """

    client: str
    user: str | None = None
