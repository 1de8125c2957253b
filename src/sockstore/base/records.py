"""Define messages and their places: records, which are quick to make, as there may be millions.

A `msgspec.Struct` is made in a quarter of the time of a named tuple, and a third of that of a
frozen dataclass; where msgspec is missing (some browsers) a dataclass stands in. Importing msgspec
takes long enough to be felt: the thread that loads the native transport does it, so this module is
imported by the first message.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sockstore.base.positions import Position

__all__ = ["Message", "MessageKind", "Publication", "Record"]

MessageKind: TypeAlias = Literal["json", "text", "binary", "gap", "snapshot"]

if TYPE_CHECKING:
    from typing import dataclass_transform

    @dataclass_transform(frozen_default=True)
    class Record:
        """What type checkers see, also where msgspec is not installed."""

        def __init_subclass__(cls, *, frozen: bool) -> None: ...

else:
    try:
        from msgspec import Struct as Record
    except ImportError:
        from dataclasses import dataclass

        class Record:
            """The base of a subclass with ``frozen=True``, which is a frozen dataclass."""

            def __init_subclass__(cls, *, frozen: bool) -> None:
                dataclass(frozen=frozen)(cls)


class Publication(Record, frozen=True):
    """The facts about a message of a room, beside its data.

    Args:
        offset: Its place in the room; None in a room without a history.
        epoch: The log that the offset belongs to.
        id: Its unique id; None if the server does not give one.
        sender: The name of its sender; None if there is none.

    Example:
        >>> Publication(42, "5f0c9a1b").position
        Position(offset=42, epoch='5f0c9a1b', id=None)
    """

    offset: int | None
    epoch: str = ""
    id: str | None = None
    sender: str | None = None

    @property
    def position(self) -> Position | None:
        """The position of a reader whose last message this is."""
        return None if self.offset is None else Position(self.offset, self.epoch, self.id)


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
