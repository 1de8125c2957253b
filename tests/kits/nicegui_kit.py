"""NiceGUI as a kit: pages are built and their visitors simulated, without a browser.

A visitor is simulated as `nicegui.testing.User` does it: the page is built, then the handshake of
its browser comes; what a browser would be sent is read from the elements. So it shows what our
Python code says, not what Vue makes of it: `tests/browser` does that, in Chromium.

What our own Vue component does in the browser is translated, see `_Field`: the text stands in the
browser only, and of Enter, Shift+Enter and the button comes no more than the event "send". Nothing
is laid out, so where its reader is a list only knows from the event "reading", which we emit.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from nicegui import Client, core
from nicegui.element import Element
from nicegui.page import page
from starlette.requests import Request

import sockstore.ui.nicegui as kit
from kits.script import Layout, Row, View
from sockstore.testing import FakeServer

RECONNECT_TIMEOUT = 3.0
"""Seconds that NiceGUI waits for a browser that has gone; it is its default."""
SECRET = "what the visitor's browser keeps"
CALL = re.compile(r"return runMethod\((\d+), (\"\w+\"), (.*)\)", re.DOTALL)


problems: list[Exception] = []
"""What NiceGUI's application has caught since a program began."""
core.app.on_exception(problems.append)


class NiceguiKit:
    """Pages of NiceGUI."""

    kit = kit

    @asynccontextmanager
    async def running(self) -> AsyncIterator[_Program]:
        """Run what NiceGUI's server would, without its port."""
        problems.clear()
        before, core.loop = core.loop, asyncio.get_running_loop()
        _configure()
        program = _Program()
        try:
            try:
                yield program
            finally:
                await program.close()
        finally:
            core.loop = before
        assert not problems, problems


def _configure() -> None:
    core.app.config.add_run_config(
        reload=False,
        title="",
        viewport="",
        favicon=None,
        dark=False,
        language=None,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_TIMEOUT,
        message_history_length=1000,
        tailwind=False,
        unocss=None,
        prod_js=True,
        show_welcome_message=False,
        markdown=False,
    )


class _Program:
    def __init__(self) -> None:
        self._pages: list[_Page] = []

    async def open(self, layout: Layout, server: FakeServer) -> _Page:
        client = Client(page("/"), request=_request())
        try:
            with client:
                placed = list(layout(kit, server))
        except BaseException:
            client.delete()
            raise
        opened = _Page(client, placed, self._pages.remove)
        self._pages.append(opened)
        await opened.connect()
        return opened

    async def close(self) -> None:
        for opened in list(self._pages):
            await opened.leave()


def _request() -> Request:
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    return Request(scope | {"server": ("test", 80), "scheme": "http", "root_path": ""})


class _Page:
    """A page that a visitor looks at."""

    _numbers = count()

    def __init__(
        self, client: Client, placed: list[object], forget: Callable[[_Page], None]
    ) -> None:
        self.placed = placed
        self.client = client
        self.provider = _last(client.layout, "WebSocketProvider")
        self._forget = forget
        self._socket = f"test-{next(self._numbers)}"
        self._fields: dict[int, _Field] = {}
        self._listen_to_what_the_browser_is_sent()

    async def connect(self) -> None:
        """The visitor's browser connects to the page."""
        assert self.client.accept_handshake(self._socket, self._socket, None)
        await self.client.handle_handshake(self._socket, self._socket, None, self._socket, None)
        for part in _all_in(self.client.layout):
            if type(part).__name__ in {"MessageList", "MessageField"}:
                _emit(part, "author", SECRET)

    async def leave(self) -> None:
        self._forget(self)
        self.client.handle_disconnect(self._socket)
        await asyncio.sleep(RECONNECT_TIMEOUT + 0.1)
        assert self.client.is_deleted

    def look(self) -> View:
        seen: dict[str, Any] = {}
        for part in _all_in(self.client.layout):
            if reader := READERS.get(type(part).__name__):
                seen |= reader(part)
            elif type(part).__name__ == "MessageField":
                field = self._field(part)
                seen |= {"enabled": field.is_enabled, "draft": field.text}
        return View(**seen)

    async def type(self, text: str) -> None:
        self._only_field.type(text)

    async def press(self, key: str) -> None:
        self._only_field.press(key)

    async def click(self, button: str) -> None:
        if button == "send":
            self._only_field.send()
            return
        element = _last(self.client.layout, "ReconnectButton")
        assert element is not None
        assert element.visible, "there is no button"
        _emit(element, "click")

    async def scroll(self, to: str) -> None:
        _tell_where_its_reader_is(self._messages, at_end=to == "end")

    async def load_older(self) -> None:
        assert self._messages.props["hasOlder"], "none are offered"
        _emit(self._messages, "older")

    async def fill_gap(self) -> None:
        lines = [one for one in _all_in(self.client.layout) if type(one).__name__ == "ChatLine"]
        _emit(next(one for one in reversed(lines) if one.props["canBeFilled"]), "fill")

    async def open_inspector(self) -> None:
        _emit(_last(self.client.layout, "ConnectionInspector"), "opened", 0)

    @property
    def _messages(self) -> Element:
        return _last(self.client.layout, "MessageList")

    @property
    def _only_field(self) -> _Field:
        part = _last(self.client.layout, "MessageField")
        assert part is not None, "there is no field"
        return self._field(part)

    def _field(self, part: Element) -> _Field:
        return self._fields.setdefault(part.id, _Field(part))

    def _listen_to_what_the_browser_is_sent(self) -> None:
        async def emit(message: tuple[str, str, Any]) -> None:
            _, kind, data = message
            if kind == "run_javascript" and (called := CALL.fullmatch(data["code"])):
                self._call(int(called[1]), json.loads(called[2]), json.loads(called[3]))

        self.client.outbox._emit = emit

    def _call(self, number: int, method: str, arguments: list[Any]) -> None:
        if method == "giveBack":
            self._field(self.client.elements[number]).give_back(*arguments)
        elif method == "toEnd":
            _tell_where_its_reader_is(self.client.elements[number], at_end=True)


class _Field:
    """What ``message_field.js`` does in the browser: the text, Enter, and sending."""

    def __init__(self, part: Element) -> None:
        self._part = part
        self.text = ""

    @property
    def is_enabled(self) -> bool:
        return not self._part.props["disabled"]

    def type(self, text: str) -> None:
        if self.is_enabled:
            self.text += text

    def press(self, key: str) -> None:
        if not self.is_enabled:
            return
        if key == "shift+enter":
            self.text += "\n"
        else:
            self.send()

    def send(self) -> None:
        if self.is_enabled and self.text.strip():
            text, self.text = self.text, ""
            _emit(
                self._part,
                "send",
                text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
            )

    def give_back(self, text: str) -> None:
        self.text = f"{text}\n{self.text}" if self.text else text


def _tell_where_its_reader_is(messages: Element, *, at_end: bool) -> None:
    rows = messages.default_slot.children
    _emit(messages, "reading", at_end, rows[-1].html_id if rows else None)


def _emit(part: Element, event: str, *arguments: object) -> None:
    """Do what NiceGUI does when the browser tells of an event."""
    for listener in list(part._event_listeners.values()):
        if listener.type == event:
            values = [json.dumps(argument) for argument in arguments]
            message = {"id": part.id, "listener_id": listener.id, "args": values}
            part.client.handle_event(message)


# Reading what is shown


def _all_in(part: Element) -> Iterator[Element]:
    if not part.visible:
        return
    yield part
    for slot in part.slots.values():
        for child in slot.children:
            yield from _all_in(child)


def _last(part: Element, name: str) -> Any:
    return next((one for one in reversed(list(_all_in(part))) if type(one).__name__ == name), None)


def _texts(part: Element) -> list[str]:
    return [one.text for one in _all_in(part) if isinstance(getattr(one, "text", None), str)]


def _color(part: Element) -> str:
    (color,) = {"connected", "disconnected", "error"}.intersection(part.classes)
    return color


def _button(part: Element) -> str | None:
    button = next((one for one in _all_in(part) if type(one).__name__ == "ReconnectButton"), None)
    return None if button is None else "".join(_texts(button))


def _read_status(part: Element) -> dict[str, Any]:
    sentence, *rest = _texts(part)
    button = _button(part)
    details = rest[: -1 if button else None]
    return {
        "status": sentence,
        "color": _color(part),
        "detail": " ".join(details),
        "button": button,
    }


def _read_messages(part: Element) -> dict[str, Any]:
    lines = [one for one in _all_in(part) if type(one).__name__ == "ChatLine"]
    frame = _last(part, "MessageList")
    return {
        "lines": tuple(map(_row, lines)),
        "note": frame.props["note"],
        "links": tuple(url for one in lines for _, url in one.props["pieces"] if url),
        "unread": frame.props.get("unread", 0),
        "marker": next((_content(one) for one in lines if one.props["isFirstUnread"]), None),
        "has_older": frame.props.get("hasOlder", False),
    }


def _row(line: Element) -> Row:
    mark = line.props["mark"]
    return Row(_content(line), line.props["sender"], line.props["kind"], mark, bool(mark))


def _content(line: Element) -> str:
    return "".join(text for text, _ in line.props["pieces"])


def _read_inspector(part: Element) -> dict[str, Any]:
    explanation, *figures = _texts(part)
    return {
        "explanation": explanation.partition(" for ")[0],
        "figures": tuple(figures[::2]),
        "events": tuple(kind for _, kind, _ in _last(part, "_Timeline").props.get("events", [])),
    }


def _read_members(part: Element) -> dict[str, Any]:
    return {"members": "".join(_texts(part))}


def _read_demo(part: Element) -> dict[str, Any]:
    banner = next(one for one in _all_in(part) if "sockstore-banner" in one.classes)
    records = [one.text for one in _all_in(part) if "sockstore-record" in one.classes]
    return {
        "status": _texts(banner)[0],
        "color": _color(banner),
        "button": _button(banner),
        "records": tuple(records),
    }


READERS = {
    "ConnectionStatus": _read_status,
    "ChatMessages": _read_messages,
    "ChatMembers": _read_members,
    "WebSocketDemo": _read_demo,
    "ConnectionInspector": _read_inspector,
}
