"""Textual as a kit: an application without a terminal, on the virtual clock.

Screens are pushed on one another and popped, as navigation in Textual goes. Text is pasted into the
field, keys are pressed by Textual's pilot. The screen is low, so that a chat has to be scrolled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from textual import events
from textual.app import App, ComposeResult
from textual.content import Content
from textual.pilot import Pilot
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Button, Static

import sockstore.ui.textual as kit
from kits.script import Layout, Row, View
from kits.virtual_textual import textual_on_the_virtual_clock
from sockstore.testing import FakeServer

SIZE = (60, 14)


class TextualKit:
    """Screens of Textual."""

    kit = kit

    @asynccontextmanager
    async def running(self) -> AsyncIterator[_Program]:
        """Run an application; what goes wrong in it is raised at its end."""
        app: App[None] = App()
        with textual_on_the_virtual_clock():
            async with app.run_test(size=SIZE) as pilot:
                yield _Program(pilot)
            # What takes longer to leave than an application waits ends by itself.
            await asyncio.sleep(6)


class _Program:
    def __init__(self, pilot: Pilot[None]) -> None:
        self._pilot = pilot

    async def open(self, layout: Layout, server: FakeServer) -> _Shown:
        screen = _Screen(layout, server)
        await self._pilot.app.push_screen(screen)
        problem = self._pilot.app._exception
        if problem is not None:
            raise problem
        return _Shown(self._pilot, screen)


class _Screen(Screen[None]):
    def __init__(self, layout: Layout, server: FakeServer) -> None:
        super().__init__()
        self._case_layout = layout
        self._case_server = server

    def compose(self) -> ComposeResult:
        yield from self._case_layout(kit, self._case_server)  # type: ignore[misc]


class _Shown:
    """A screen that is open."""

    def __init__(self, pilot: Pilot[None], screen: _Screen) -> None:
        self._pilot = pilot
        self._screen = screen
        self.provider = _last(screen, "WebSocketProvider")

    def look(self) -> View:
        seen: dict[str, Any] = {}
        for part in self._screen.walk_children():
            if reader := READERS.get(type(part).__name__):
                seen |= reader(part)
        return View(**seen)

    async def type(self, text: str) -> None:
        field = self._field
        if not field.disabled:
            field.focus()
            self._pilot.app.post_message(events.Paste(text))
            await self._pilot.pause()

    async def press(self, key: str) -> None:
        field = self._field
        if not field.disabled:
            field.focus()
            await self._pilot.press(key)

    async def click(self, button: str) -> None:
        if button == "send":
            self._field.parent.query_one(Button).press()
        else:
            pressed = _last(self._screen, "ReconnectButton")
            assert pressed.has_class("-offered"), "there is no button"
            pressed.press()
        await self._pilot.pause()

    async def scroll(self, to: str) -> None:
        messages = self._messages
        if to == "end":
            messages.action_scroll_end_now()
        elif messages.max_scroll_y > 1:
            messages.scroll_to(y=1, animate=False, immediate=True, force=True)
        else:  # all is in sight: nobody can scroll, as in a page
            messages._set_at_end(at_end=False)
        await self._pilot.pause()

    async def load_older(self) -> None:
        assert self.look().has_older, "none are offered"
        self._messages.scroll_to(y=1, animate=False, immediate=True, force=True)
        self._messages.scroll_to(y=0, animate=False, immediate=True, force=True)
        await self._pilot.pause()

    async def fill_gap(self) -> None:
        rows = _last(self._screen, "ChatMessages").rows
        gap = next(row for row in reversed(rows) if row.can_be_filled)
        self._messages.post_message(self._messages.Chosen(gap.line.key))
        await self._pilot.pause()

    async def open_inspector(self) -> None:
        _last(self._screen, "ConnectionInspector").toggle()
        await self._pilot.pause()

    async def leave(self) -> None:
        assert self._pilot.app.screen is self._screen, "another screen lies upon it"
        await self._pilot.app.pop_screen()
        await asyncio.sleep(0.5)  # what the screen does not wait for

    @property
    def _field(self) -> Any:
        field = _last(self._screen, "MessageField")
        assert field is not None, "there is no field"
        return field

    @property
    def _messages(self) -> Any:
        return _list(_last(self._screen, "ChatMessages"))


def _last(screen: Widget, kind: str) -> Any:
    """The last part of this kind; kinds are distinguished by name, as style sheets do."""
    parts = (part for part in reversed(screen.walk_children()) if type(part).__name__ == kind)
    return next(parts, None)


def _list(part: Widget) -> Any:
    return part.query_one("MessageList")


# Reading what is shown


def _text(part: Widget, what: str = "Static") -> str:
    return str(part.query_one(what, Static).content)


def _color(part: Widget) -> str:
    (color,) = {"connected", "disconnected", "error"}.intersection(part.classes)
    return color


def _button(part: Widget) -> str | None:
    button = part.query_one("ReconnectButton", Button)
    return str(button.label) if button.has_class("-offered") else None


def _read_status(part: kit.ConnectionStatus) -> dict[str, Any]:
    return {
        "status": _text(part, "#sentence"),
        "color": _color(part),
        "detail": _text(part, "#detail"),
        "button": _button(part),
    }


def _read_messages(part: kit.ChatMessages) -> dict[str, Any]:
    view, shown = part.view, _list(part).items
    assert [item.key for item in shown] == [row.line.key for row in view.rows]
    for row, item in zip(view.rows, shown, strict=True):
        assert row.line.content in item.content.plain, "it is not drawn"
    first = next((row.line.content for row in view.rows if row.is_first_unread), None)
    return {
        "lines": tuple(
            Row(line.content, line.sender, line.kind, line.mark, bool(line.mark))
            for line in (row.line for row in view.rows)
        ),
        "note": "" if view.rows else _drawn(_list(part)),
        "links": tuple(url for item in shown for url in _links(item.content)),
        "unread": view.unread,
        "marker": first,
        "has_older": view.has_older,
    }


def _drawn(messages: Any) -> str:
    lines = (messages.render_line(y).text.strip() for y in range(messages.size.height))
    return " ".join(line for line in lines if line)


def _links(content: Content) -> Iterator[str]:
    for span in content.spans:
        if isinstance(span.style, Style) and span.style.link:
            yield span.style.link


def _read_members(part: kit.ChatMembers) -> dict[str, Any]:
    return {"members": _text(part)}


def _read_field(part: Any) -> dict[str, Any]:
    return {"enabled": not part.disabled, "draft": part.text}


def _read_demo(part: kit.WebSocketDemo) -> dict[str, Any]:
    return {
        "status": _text(part, "#banner > Static"),
        "color": _color(part.query_one("#banner")),
        "button": _button(part),
        "records": tuple(item.content.plain for item in _list(part).items),
    }


def _read_inspector(part: kit.ConnectionInspector) -> dict[str, Any]:
    figures = _text(part, "#figures").split("   ")
    return {
        "explanation": _text(part, "#explanation").partition(" for ")[0],
        "figures": tuple(figure.partition(": ")[0] for figure in figures if figure),
        "events": tuple(item.key[1].kind for item in _list(part).items),
    }


READERS: dict[str, Any] = {
    "ConnectionStatus": _read_status,
    "ChatMessages": _read_messages,
    "ChatMembers": _read_members,
    "MessageField": _read_field,
    "WebSocketDemo": _read_demo,
    "ConnectionInspector": _read_inspector,
}
