"""Convert the rows of a chat to texts for a terminal."""

from __future__ import annotations

from datetime import datetime, tzinfo

from textual.content import Content
from textual.style import Style

from sockstore.ui.chat.clock import day_of, time_of_day
from sockstore.ui.chat.links import split_links
from sockstore.ui.chat.own_messages import Mark
from sockstore.ui.chat.rows import Row

__all__ = ["row_content"]

MARKS: dict[Mark, tuple[str, str]] = {
    "queued": ("…", "dim"),
    "sent": ("✓", "dim"),
    "acknowledged": ("✓✓", "dim"),
    "failed": ("Not delivered", "$text-error bold"),
}


def row_content(row: Row, now: datetime, zone: tzinfo | None = None) -> Content:
    """Return a row, and the rows before it: the day, the marker of new messages.

    Args:
        row: The row.
        now: The present moment, with a time zone.
        zone: The reader's time zone; None for this machine's.
    """
    before = _before(row, now, zone)
    is_together = row.continues and not before
    return Content("\n").join([*before, *_lines(row, zone, is_together=is_together)])


def _before(row: Row, now: datetime, zone: tzinfo | None) -> list[Content]:
    day = day_of(row.line.time, now, zone)
    is_another_day = bool(day) and day != day_of(row.previous_time, now, zone)
    before = [Content.styled(f"── {day} ──", "dim")] if is_another_day else []
    if row.is_first_unread:
        before.append(Content.styled("── New ──", "$text-error bold"))
    return before


def _lines(row: Row, zone: tzinfo | None, *, is_together: bool) -> list[Content]:
    line = row.line
    match line.kind:
        case "notice":
            return [Content.styled(line.content, "dim italic")]
        case "error":
            return [Content.styled(line.content, "$text-error")]
        case "gap":
            more = " (click to load them)" if row.can_be_filled else ""
            return [Content.styled(f"{line.content}{more}", "$text-warning")]
        case "message":
            head = [] if is_together else _head(row, zone)
            return [*head, _text(row)]


def _head(row: Row, zone: tzinfo | None) -> list[Content]:
    line, time = row.line, time_of_day(row.line.time, zone)
    if line.sender is None and not time:
        return []
    colour = "$text-primary bold" if line.mark else "$text-accent bold"
    name = Content.styled(line.sender or "", colour)
    return [Content.assemble(name, " ", Content.styled(time, "dim")) if time else name]


def _text(row: Row) -> Content:
    pieces = [
        Content.styled(piece.text, Style(underline=True, link=piece.url))
        if piece.url
        else Content(piece.text)
        for piece in split_links(row.line.content)
    ]
    if row.line.mark is not None:
        text, style = MARKS[row.line.mark]
        pieces.append(Content.styled(f" {text}", style))
    return Content("").join(pieces)
