"""Define `Message`, which is loaded late: see `sockstore.base.records`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal, TypeAlias

from sockstore.base.records import Publication, Record

__all__ = ["Message", "MessageKind"]

MessageKind: TypeAlias = Literal["json", "text", "binary", "gap", "snapshot"]


class Message(Record, frozen=True):
    """One received message.

    Args:
        data: The decoded value; the text itself if it was not JSON; bytes if it was binary; a
            `Gap` where messages are missing (in streams only).
        kind: ``"json"`` if the codec decoded it, else ``"text"`` or ``"binary"``; or ``"gap"``; or
            ``"snapshot"`` for what the ``snapshot=`` of a subscription returned.
        number: 1 for the first message of the connection object, then counted up; that of the
            message before it for a gap.
        received_at: Seconds since the epoch.
        publication: Its offset, id and sender in a room of `Centrifuge`; None elsewhere.
        key: The key of its subscription; None if it belongs to none.

    Example:
        >>> Message("hello", "text", 1, 0.0).record
        {'type': 'text', 'content': 'hello'}
    """

    data: Any
    kind: MessageKind
    number: int
    received_at: float
    publication: Publication | None = None
    key: Hashable = None

    @property
    def record(self) -> Any:
        """The guide's store view: data that is not JSON is wrapped as ``{"type", "content"}``."""
        return self.data if self.kind == "json" else {"type": self.kind, "content": self.data}
