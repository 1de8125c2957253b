"""A page of a browser as a kit, in Python that runs in the page: it reads what the document shows.

What the user does is done from outside, with true keys and a true mouse: `hand` is a function of
the page that waits until it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import sockstore.ui.browser as kit
from kits.clock_in_page import VirtualWebLoop
from kits.script import Layout, Row, View
from sockstore.testing import FakeServer
from sockstore.transports.browser import window

_numbers = count(1)

SCREEN = "position: fixed; inset: 0; display: flex; flex-direction: column; background: white;"
"""A screen covers those that were opened before."""


class BrowserKit:
    """Pages in the document."""

    kit = kit

    @asynccontextmanager
    async def running(self) -> AsyncIterator[_Program]:
        """Begin with a browser that remembers nothing."""
        window.localStorage.clear()
        window.sessionStorage.clear()
        program = _Program()
        try:
            yield program
        finally:
            await program.close()
        assert not window.document.querySelector(".sockstore-root"), "a page was left"


class _Program:
    def __init__(self) -> None:
        self._pages: list[_Shown] = []

    async def open(self, layout: Layout, server: FakeServer) -> _Shown:
        place = window.document.createElement("div")
        place.id = f"screen-{next(_numbers)}"
        place.style = SCREEN
        window.document.body.append(place)
        try:
            page = kit.mount(partial(layout, kit, server), place)
        except BaseException:
            place.remove()
            raise
        shown = _Shown(place, page, self._pages.remove)
        self._pages.append(shown)
        return shown

    async def close(self) -> None:
        for page in list(self._pages):
            await page.leave()


class _Shown:
    """A page that is shown."""

    def __init__(self, place: Any, page: kit.MountedPage, left: Callable[[_Shown], object]) -> None:
        self._place = place
        self._page = page
        self._left = left
        providers = (one for one in page.root.walk() if isinstance(one, kit.WebSocketProvider))
        self.provider = ([None, *providers])[-1]

    def look(self) -> View:
        seen: dict[str, Any] = {}
        for selector, read in READERS.items():
            for part in _all(self._place, selector)[-1:]:
                seen |= read(part)
        return View(**seen)

    async def type(self, text: str) -> None:
        await self._use("type", "textarea", text)

    async def press(self, key: str) -> None:
        await self._use("press", "textarea", key)

    async def click(self, button: str) -> None:
        selector = ".sockstore-send" if button == "send" else ".sockstore-button:not([type=submit])"
        await self._use("click", selector)

    async def scroll(self, to: str) -> None:
        await self._use("scroll", ".sockstore-messages", to)

    async def load_older(self) -> None:
        assert self.look().has_older, "none are offered"
        await self._use("scroll", ".sockstore-messages", "top")

    async def fill_gap(self) -> None:
        await self._use("click", ".sockstore-line.gap button")

    async def open_inspector(self) -> None:
        await self._let_it_be_drawn()
        if not self._place.querySelector(".sockstore-inspector.open"):  # or it was remembered
            await self._use("click", ".sockstore-inspector-toggle")

    async def leave(self) -> None:
        self._left(self)
        await self._page.unmount()
        self._place.remove()

    async def _let_it_be_drawn(self) -> None:
        with _loop().held():
            await window.frames()

    async def _use(self, action: str, selector: str, argument: str = "") -> None:
        """Let the hand do something; meanwhile, and until it is drawn, the time stands still."""
        with _loop().held():
            failed = await window.hand(action, f"#{self._place.id} {selector}", argument)
            await window.frames()
        assert not failed, failed


def _loop() -> VirtualWebLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualWebLoop)
    return loop


# Reading what is shown


def _all(part: Any, selector: str) -> list[Any]:
    return list(part.querySelectorAll(selector))


def _text(part: Any, selector: str) -> str | None:
    return next((str(one.textContent) for one in _all(part, selector)), None)


def _color(part: Any) -> str:
    (color,) = {"connected", "disconnected", "error"}.intersection(part.className.split())
    return color


def _read_status(part: Any) -> dict[str, Any]:
    return {
        "status": _text(part, "[role=status]"),
        "color": _color(part),
        "detail": _text(part, ".sockstore-status-detail"),
        "button": _text(part, "button"),
    }


def _read_messages(part: Any) -> dict[str, Any]:
    rows = _all(part, ".sockstore-row")
    news = _text(part, ".sockstore-newer span") or ""
    marked = (row for row in rows if _all(row, ".sockstore-unread"))
    return {
        "lines": tuple(map(_row, rows)),
        "note": _text(part, ".sockstore-empty") or "",
        "links": tuple(link.getAttribute("href") for link in _all(part, ".sockstore-content a")),
        "unread": int(news.split()[0]) if news[:1].isdigit() else 0,
        "marker": next((_text(row, ".sockstore-content") for row in marked), None),
        "has_older": bool(_all(part, ".sockstore-older button")),
    }


def _row(row: Any) -> Row:
    line = row.querySelector(".sockstore-line")
    kinds = {"message", "notice", "error", "gap"}
    (kind,) = kinds.intersection(line.className.split())
    content = _text(line, ".sockstore-content")
    sender = _text(line, ".sockstore-sender")
    mark = line.getAttribute("data-mark") or None
    return Row(content, sender, kind, mark, bool(line.classList.contains("own")))


def _read_inspector(part: Any) -> dict[str, Any]:
    explanation = _text(part, ".sockstore-explanation")
    return {
        "explanation": explanation and explanation.partition(" for ")[0],
        "figures": tuple(str(one.textContent) for one in _all(part, "dt")),
        "events": tuple(str(one.dataset.kind) for one in _all(part, ".sockstore-event")),
    }


def _read_field(part: Any) -> dict[str, Any]:
    field, button = part.querySelector("textarea"), part.querySelector("button")
    assert bool(field.disabled) == bool(button.disabled)
    return {"enabled": not field.disabled, "draft": str(field.value)}


def _read_demo(part: Any) -> dict[str, Any]:
    banner = part.querySelector(".sockstore-banner")
    read = _read_status(banner)
    del read["detail"]
    return {**read, "records": tuple(_texts(part, ".sockstore-record"))}


def _texts(part: Any, selector: str) -> Iterator[str]:
    return (str(one.textContent) for one in _all(part, selector))


READERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    ".sockstore-status": _read_status,
    ".sockstore-chat": _read_messages,
    ".sockstore-members": lambda part: {"members": str(part.textContent)},
    ".sockstore-field": _read_field,
    ".sockstore-demo": _read_demo,
    ".sockstore-inspector": _read_inspector,
}
