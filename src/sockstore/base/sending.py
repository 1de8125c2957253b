"""Define the options of sending: the limits of an outbox, and what is said of one message."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

from sockstore.base.checks import require_count, require_flag, require_seconds
from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen

__all__ = ["Outbox", "SendOptions"]

MOST_IN_ID = 64
"""Characters of an id (P29)."""


@frozen(kw_only=True)
class Outbox:
    """How many messages may wait for an open connection, and what happens to further ones.

    Args:
        limit: Messages that may wait.
        max_bytes: UTF-8 bytes that may wait altogether.
        ttl: Seconds after which a waiting message expires; None never.
        overflow: ``"refuse"`` the new message, or ``"drop_oldest"`` to make room for it; urgent
            ones are dropped last.
        max_message_bytes: UTF-8 bytes that the server takes in one message; a larger one is refused
            here, also while the connection is open. None sets no limit.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> Outbox(limit=100, ttl=60.0).max_bytes
        8388608
    """

    limit: int = 1000
    max_bytes: int = 8 * 2**20
    ttl: float | None = None
    overflow: Literal["refuse", "drop_oldest"] = "refuse"
    max_message_bytes: int | None = None

    def __post_init__(self) -> None:
        require_count("limit", self.limit, least=1)
        require_count("max_bytes", self.max_bytes, least=1)
        require_seconds("ttl", self.ttl, optional=True)
        require_count("max_message_bytes", self.max_message_bytes, least=1, optional=True)
        if self.overflow not in ("refuse", "drop_oldest"):
            raise InvalidOption("overflow", self.overflow, "give 'refuse' or 'drop_oldest'")


@frozen
class SendOptions:
    """How one message is sent, as `WebSocketStore.send` says.

    Args:
        ttl: Seconds after which it is not handed over any more; None leaves it to the outbox.
        key: A newer message with the same key takes its place while it waits.
        urgent: Whether it leaves before others that wait.
        now: Whether it is refused if it cannot leave at once.
        id: The sender's own id of the message.

    Raises:
        InvalidOption: If a value cannot work.
    """

    ttl: float | None = None
    key: Hashable = None
    urgent: bool = False
    now: bool = False
    id: str | None = None

    def __post_init__(self) -> None:
        require_seconds("ttl", self.ttl, optional=True)
        require_flag("urgent", self.urgent)
        require_flag("now", self.now)
        try:
            hash(self.key)
        except TypeError as error:
            raise InvalidOption("key", type(self.key), "give a value that can be hashed") from error
        if self.id is not None and not _is_id(self.id):
            raise InvalidOption("id", self.id, f"give 1 to {MOST_IN_ID} visible ASCII characters")


def _is_id(value: object) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= MOST_IN_ID
        and all("!" <= character <= "~" for character in value)
    )
