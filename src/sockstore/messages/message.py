"""Define `Message`, a record that is quick to make, because there may be millions.

A `msgspec.Struct` is made in a quarter of the time of a named tuple, and a third of that of a
frozen dataclass; where msgspec is missing (some browsers) a dataclass stands in. Importing msgspec
takes long enough to be felt: the thread that loads the native transport does it, so this module is
imported by the first message.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sockstore.base.positions import Publication

__all__ = ["Message", "MessageKind", "Record"]

MessageKind: TypeAlias = Literal["json", "text", "binary", "gap", "snapshot"]

if TYPE_CHECKING:
    from msgspec import Struct as Record
else:
    try:
        from msgspec import Struct as Record
    except ImportError:
        from dataclasses import dataclass

        class Record:
            """The base of a subclass with ``frozen=True``, which is a frozen dataclass."""

            def __init_subclass__(cls, *, frozen: bool) -> None:
                dataclass(frozen=frozen)(cls)


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
        publication: Its offset, id and sender in a session's room; None without a session.
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
