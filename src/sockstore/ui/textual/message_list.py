"""A list of texts that follows its end and keeps its reader's place, drawn line by line."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

__all__ = ["Item", "MessageList"]


@dataclass(frozen=True, slots=True)
class Item:
    """One text of the list.

    Args:
        key: Tells items apart.
        content: The text that is shown; it is laid out again only if it changed.
    """

    key: Hashable
    content: Content


class MessageList(ScrollView, can_focus=True):
    """Texts one below the other, of which only those in sight are drawn.

    It follows its end, unless its reader has scrolled away from there; then nothing moves, also
    when older texts come in above.
    """

    DEFAULT_CSS = """
    MessageList { height: 1fr; padding: 0 1; overflow-x: hidden; scrollbar-gutter: stable; }
    MessageList:focus { background-tint: $foreground 3%; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "scroll_end_now", "To the end", show=False),
    ]

    virtual_size = Reactive(Size(0, 0), layout=True, repaint=False)
    """As in Textual, but a list that has grown is not drawn anew: `show` draws what changed."""

    class Reading(Message):
        """Posted when the reader looks at the end, or has scrolled away from it."""

        def __init__(self, *, at_end: bool) -> None:
            super().__init__()
            self.at_end = at_end

    class AtTop(Message):
        """Posted when the reader has come to the beginning."""

    class Chosen(Message):
        """Posted when the reader has clicked on an item."""

        def __init__(self, key: Hashable) -> None:
            super().__init__()
            self.key = key

    def __init__(self, note: str = "") -> None:
        super().__init__()
        self._note = note
        # The items that are shown; `_lay_out` sets them.
        self._items: Sequence[Item] = ()
        # The lines of each item, the line after its last one, and the width; `_lay_out` sets them.
        self._strips: dict[Hashable, tuple[Content, list[Strip]]] = {}
        self._ends: list[int] = []
        self._width = 0
        # Whether the list follows its end; scrolling changes it.
        self._at_end = True

    @property
    def items(self) -> Sequence[Item]:
        """The items that are shown."""
        return self._items

    def show(self, items: Sequence[Item]) -> int:
        """Show these items; the reader keeps the place.

        Returns:
            How many characters of them are new.
        """
        if not self.is_attached:
            return 0  # the screen is being left
        height, had_items = self.virtual_size.height, bool(self._items)
        unchanged, characters = self._lay_out(items)
        if had_items and items:
            self.refresh_lines(unchanged, max(height, self.virtual_size.height) - unchanged)
        else:
            self.refresh()  # the note goes, or comes back
        return characters

    def action_scroll_end_now(self) -> None:
        """Go to the end."""
        self._set_at_end(at_end=True)
        self._go_to(None)

    # Layout

    def _lay_out(self, items: Sequence[Item]) -> tuple[int, int]:
        """Lay out the items that are new or changed, and all of them for another width.

        Returns:
            How many lines at the top stay as they were, and how many characters are new.
        """
        place = None if self._at_end else self._place()
        # A list that is not visible has no width; it keeps its last one.
        width = self.scrollable_content_region.width or max(1, self._width)
        before = self._strips if width == self._width else {}
        drawn = iter(before.values())
        self._items, self._width, self._strips, self._ends = items, width, {}, []
        end = unchanged = characters = 0
        for item in items:
            entry = before.get(item.key)
            if entry is None or entry[0] != item.content:
                entry = (item.content, self._strips_of(item.content, width))
                characters += len(item.content)
            if unchanged == end and next(drawn, None) is entry:
                unchanged += len(entry[1])
            end += len(entry[1])
            self._strips[item.key] = entry
            self._ends.append(end)
        self.virtual_size = Size(width, end)
        self._go_to(place)
        return unchanged, characters

    def _start(self, index: int) -> int:
        return self._ends[index - 1] if index else 0

    def _strips_of(self, content: Content, width: int) -> list[Strip]:
        return Visual.to_strips(
            self, content, width, None, self.visual_style, apply_selection=False
        )

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return some lines of the screen, broken for its width: not all changes are a resize."""
        if self.scrollable_content_region.width not in {0, self._width}:
            self.on_resize()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen."""
        width = self.scrollable_content_region.width
        if not self._items:
            return self._empty_line(y, width)
        line = y + self.scroll_offset.y
        index = bisect_right(self._ends, line)
        if index >= len(self._items):
            return Strip.blank(width, self.rich_style)
        strip = self._strips[self._items[index].key][1][line - self._start(index)]
        return strip.adjust_cell_length(width, self.rich_style)

    def _empty_line(self, y: int, width: int) -> Strip:
        if y != self.size.height // 2 or not self._note:
            return Strip.blank(width, self.rich_style)
        note = Content.styled(self._note, "dim")
        strips = self._strips_of(note.center(width), width)
        return strips[0].adjust_cell_length(width, self.rich_style)

    def notify_style_update(self) -> None:
        """Draw the texts again: the theme may have changed."""
        super().notify_style_update()
        self._strips = {}
        if self.is_mounted:
            self.on_resize()

    def on_resize(self) -> None:
        """Break the lines again."""
        self._lay_out(self._items)
        self.refresh()  # all lines may have moved

    # The reader

    def _place(self) -> tuple[Hashable, int] | None:
        """Return the item at the top, and how many of its lines are above."""
        top = self.scroll_offset.y
        index = bisect_right(self._ends, top)
        if index >= len(self._items):
            return None
        return self._items[index].key, top - self._start(index)

    def _go_to(self, place: tuple[Hashable, int] | None) -> None:
        """Go to a place, if its item is still there; None is the end."""
        y = self.virtual_size.height
        if place is not None:
            keys = [item.key for item in self._items]
            if place[0] not in keys:
                return
            y = self._start(keys.index(place[0])) + place[1]
        self.scroll_to(y=y, animate=False, immediate=True, force=True)

    def _set_at_end(self, *, at_end: bool) -> None:
        if at_end != self._at_end:
            self._at_end = at_end
            self.post_message(self.Reading(at_end=at_end))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Note where the reader is."""
        super().watch_scroll_y(old_value, new_value)
        is_up = new_value < old_value
        self._set_at_end(at_end=new_value >= self.max_scroll_y or (self._at_end and not is_up))
        if is_up and new_value <= 0:
            self.post_message(self.AtTop())

    def on_click(self, event: events.Click) -> None:
        """Post the item that was clicked."""
        index = bisect_right(self._ends, event.y + self.scroll_offset.y)
        if index < len(self._items):
            self.post_message(self.Chosen(self._items[index].key))
