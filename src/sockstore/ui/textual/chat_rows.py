"""Convert the rows of a chat to texts for a terminal."""

from __future__ import annotations

from datetime import datetime, tzinfo

from textual.content import Content
from textual.style import Style

from sockstore.ui.chat.lines import Mark
from sockstore.ui.chat.rows import Row, local_time, new_day
from sockstore.ui.text import split_links

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
    line, day = row.line, new_day(row, now, zone)
    parts = [Content.styled(f"── {day} ──", "dim")] if day else []
    if row.is_first_unread:
        parts.append(Content.styled("── New ──", "$text-error bold"))
    match line.kind:
        case "notice":
            parts.append(Content.styled(line.content, "dim italic"))
        case "error":
            parts.append(Content.styled(line.content, "$text-error"))
        case "gap":
            more = " (click to load them)" if row.can_be_filled else ""
            parts.append(Content.styled(f"{line.content}{more}", "$text-warning"))
        case "message":
            if parts or not row.continues:
                parts += _head(row, zone)
            parts.append(_text(row))
    return Content("\n").join(parts)


def _head(row: Row, zone: tzinfo | None) -> list[Content]:
    line, moment = row.line, local_time(row.line.time, zone)
    if line.sender is None and moment is None:
        return []
    colour = "$text-primary bold" if line.mark else "$text-accent bold"
    name = Content.styled(line.sender or "", colour)
    if moment is None:
        return [name]
    return [Content.assemble(name, " ", Content.styled(f"{moment:%H:%M}", "dim"))]


def _text(row: Row) -> Content:
    pieces: list[Content] = []
    for piece in split_links(row.line.content):
        style = Style(underline=True, link=piece.url) if piece.url else ""
        pieces.append(Content.styled(piece.text, style))
    if row.line.mark is not None:
        text, mark_style = MARKS[row.line.mark]
        pieces.append(Content.styled(f" {text}", mark_style))
    return Content("").join(pieces)
