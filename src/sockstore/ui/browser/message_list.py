"""A list that follows its end and keeps its reader's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sockstore.scope.scope import Scope
from sockstore.ui.browser.dom import (
    Node,
    give,
    imported,
    listen,
    make,
    put_text,
    stand,
    telling,
)
from sockstore.ui.browser.element import Element

__all__ = ["MessageList"]

QUIET = "sockstore-quiet-button"


class ListRow(Protocol):
    """One row of a list."""

    @property
    def node(self) -> Node:
        """The node that stands in the list."""


class MessageList(Element):
    """A list that follows its end, unless its reader has scrolled away from there.

    Args:
        label: Its name for screen readers.
        note: The text that it shows while it is empty.
        columns: The names of its columns.
    """

    def __init__(self, label: str, note: str, columns: Sequence[str] = ()) -> None:
        super().__init__(classes="sockstore-messages-frame")
        self._list = make("div", "sockstore-messages", role="log", tabindex="0", aria_label=label)
        self._empty = make("div", "sockstore-empty", note)
        self._older = make("div", "sockstore-older")
        self._load = make("button", QUIET, type="button")
        self._full = make("span", text="Older messages are not shown")
        self._newer = make("button", "sockstore-newer", type="button")
        self._newer_text = make("span", text="Latest messages")
        self._newer.append(self._newer_text, make("span", text=" ↓", aria_hidden="true"))
        self.node.append(self._list, self._empty)
        if columns:
            head = make("div", "sockstore-cells sockstore-columns")
            head.append(*(make("strong", text=column) for column in columns))
            self._list.append(head)
        self._rows: list[ListRow] = []
        self._follower: Node = None

    def follow(
        self,
        scope: Scope,
        tell: Callable[[str, bool], object] = lambda *_: None,
        choose: Callable[[Node], object] = lambda _: None,
    ) -> None:
        """Begin to follow the end.

        Args:
            scope: The scope that ends it.
            tell: Called with "reading" and whether the reader looks at the end, or with "older"
                when older rows are wanted.
            choose: Called with the node that was clicked in the list.
        """

        # The event comes at once, so the last row that it names is not needed.
        def receive(what: str, value: bool, _: Node = None) -> None:  # noqa: FBT001 - as JavaScript
            if what == "follows":
                stand(self._newer, self.node, there=not value)
            else:
                tell(what, value)

        self._follower = imported("scroll_follower").new(self._list, telling(scope, receive))
        scope.on_destroy(self._stop)
        listen(scope, self.node, "click", lambda event: self._clicked(event.target, choose))

    def _stop(self) -> None:
        self._follower.destroy()
        self._follower = None

    def _clicked(self, target: Node, choose: Callable[[Node], object]) -> None:
        if self._load.contains(target):
            self._follower.askForOlder()
        elif self._newer.contains(target):
            self._follower.leap()
        else:
            choose(target)

    def show(self, rows: Sequence[ListRow]) -> None:
        """Show these rows, in this order; those that stand where they belong are not touched."""
        shown = set(map(id, rows))
        for row in self._rows:
            if id(row) not in shown:
                row.node.remove()
        self._rows = [row for row in self._rows if id(row) in shown]
        for index, row in enumerate(rows):
            self._put(row, index)
        stand(self._empty, self.node, there=not rows)

    def _put(self, row: ListRow, index: int) -> None:
        if index == len(self._rows):
            self._list.append(row.node)
            self._rows.append(row)
        elif self._rows[index] is not row:
            self._list.insertBefore(row.node, self._rows[index].node)
            self._rows = [other for other in self._rows if other is not row]
            self._rows.insert(index, row)

    def offer(self, *, has_older: bool, is_full: bool, is_loading: bool) -> None:
        """Offer older rows, or show that they exist, or that they are being loaded."""
        stand(self._load, self._older, there=not is_full)
        stand(self._full, self._older, there=is_full)
        put_text(self._load, "Loading older messages …" if is_loading else "Load older messages")
        give(self._load, aria_disabled="true" if is_loading else "false")
        is_there = has_older or is_full or is_loading
        stand(self._older, self._list, there=is_there, first=True)
        if self._follower is not None:
            self._follower.offer(has_older, is_loading)

    def tell_unread(self, count: int) -> None:
        """Show how many rows came that the reader has not seen."""
        plural = "" if count == 1 else "s"
        text = f"{count} new message{plural}" if count else "Latest messages"
        put_text(self._newer_text, text)
        self._newer.classList.toggle("news", bool(count))

    def go_to_end(self) -> None:
        """Bring the reader to the end."""
        if self._follower is not None:
            self._follower.toEnd()
