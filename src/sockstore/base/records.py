"""Define records: values that are quick to make, because there may be millions.

A `msgspec.Struct` is made in a quarter of the time of a named tuple, and a third of that of a
frozen dataclass; where msgspec is missing (some browsers) a dataclass stands in. Importing msgspec
takes long enough to be felt: the thread that loads the native transport does it, so this module is
imported by the first message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockstore.base.positions import Position

__all__ = ["Publication", "Record"]

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
