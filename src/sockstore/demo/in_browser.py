"""Show the demo's two pages with Python that runs in the browser, without NiceGUI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qs, urlsplit

from sockstore import Navigator, Reconnect, Scope
from sockstore.demo.visitor import (
    BESIDE,
    ECHO_HINT,
    KEPT,
    PAGES,
    WITH_MEMBERS,
    Visitor,
    cookies_of,
    visitor,
)
from sockstore.protocols import Centrifuge
from sockstore.ui.browser import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionInspector,
    ConnectionStatus,
    Element,
    PageHistory,
    SubscriptionProvider,
    WebSocketDemo,
    WebSocketProvider,
    mount,
)
from sockstore.ui.browser.dom import document, window

__all__ = ["start"]

_running: list[PageHistory] = []
"""The history, which must live as long as the document; `start` adds it."""


async def start(server: str | None) -> None:
    """Show the page that the address names, and follow links, back and forward.

    Args:
        server: Where ``/echo`` and ``/connection/websocket`` are, for example ``ws://localhost:8765``;
            None if they are where the page is from.
    """
    address = window().location
    base = server or f"{address.protocol.replace('http', 'ws')}//{address.host}"
    history = PageHistory(Navigator(), partial(_place, base))
    _running.append(history)
    await history.start()


@dataclass(frozen=True)
class _Place:
    """A page of the demo, at its address.

    Args:
        server: As for `start`.
        path: One of `PAGES`.
        query: The part of the url after the question mark.
    """

    server: str
    path: str
    query: str

    async def __call__(self, scope: Scope) -> None:
        """Show the page, until the scope is left."""
        if self.path == "/chat":
            who = _visitor(self.query)
            document().title = who.title
            for cookie in who.cookies:
                document().cookie = cookie
            layout = partial(_chat, self.server, who)
        else:
            document().title = "Echo · sockstore"
            layout = partial(_echo, self.server)
        scope.on_destroy(mount(layout).unmount)


def _place(server: str, url: str) -> _Place | None:
    parts = urlsplit(url)
    is_ours = parts.path in dict(PAGES).values()
    return _Place(server, parts.path, parts.query) if is_ours else None


def _visitor(query: str) -> Visitor:
    asked = parse_qs(query)
    room, name, beside = (asked.get(each, [""])[0] for each in ("room", "name", "beside"))
    return visitor(room, name, cookies_of(str(document().cookie)), beside)


def _page(path: str) -> Element:
    """Show the header of a page; return the element for the contents of the page."""
    Element("a", text="Skip to the content", classes="demo-skip", href="#main")
    with Element("header", classes="demo-header"):
        Element("div", text="sockstore", classes="demo-brand")
        with Element("nav", aria_label="Pages"):
            for text, target in PAGES:
                _link(text, target, "demo-link", is_here=target == path)
    return Element("main", classes="demo-main", id="main", tabindex=-1)


def _link(text: str, target: str, classes: str, *, is_here: bool) -> None:
    current = "page" if is_here else None
    Element("a", text=text, classes=classes, href=target, aria_current=current)


def _echo(server: str) -> None:
    often = Reconnect.exponential(max=5)
    with (
        _page("/"),
        Element(classes="demo-column"),
        WebSocketProvider(f"{server}/echo", reconnect=often),
    ):
        with Element(classes="demo-head"):
            Element("h1", text="Echo")
            Element(text=ECHO_HINT, classes="demo-hint")
        ConnectionInspector()
        WebSocketDemo()


def _chat(server: str, who: Visitor) -> None:
    with _page("/chat"), WebSocketProvider(who.chat_url(server), protocol=Centrifuge()):
        _rooms(who)
        for room in who.shown:
            with Element(classes="demo-column"):
                _conversation(who, room)


def _conversation(who: Visitor, room: str) -> None:
    with SubscriptionProvider(room, WITH_MEMBERS, history=KEPT):
        with Element(classes="demo-head"):
            if room == who.room:
                _rooms_button()
                Element("h1", text=f"# {room}")
            else:
                Element("h2", text=f"# {room}")
                label = f"Close # {room}"
                Element(
                    "a",
                    text="Close",
                    classes="demo-close",
                    href=who.path(who.room),
                    aria_label=label,
                )
            ChatMembers()
        if room == who.room:
            ConnectionInspector()
            ConnectionStatus()
        ChatMessages()
        ChatInput()


def _rooms_button() -> None:
    """Show the button that opens the rooms on a narrow page."""
    classes = "demo-menu sockstore-quiet-button"
    Element("button", text="☰ Rooms", classes=classes, type_="button", popovertarget="rooms")


def _rooms(who: Visitor) -> None:
    """Show links to the rooms."""
    # On a narrow page it is a menu, which the browser opens, and closes on Escape.
    with Element("nav", classes="demo-rooms", id="rooms", popover="auto", aria_label="Rooms"):
        Element("h2", text="Rooms")
        with Element("ul"):
            for room in who.rooms:
                with Element("li"):
                    _link(f"# {room}", who.path(room), "demo-room", is_here=room == who.room)
                    if room not in who.shown:
                        _beside(who, room)
        _who_and_where(who)


def _beside(who: Visitor, room: str) -> None:
    """Show a link that shows a room beside the first one."""
    label = BESIDE.format(room=room, first=who.room)
    target = who.path(who.room, room)
    Element("a", text="+", classes="demo-beside", href=target, aria_label=label, title=label)


def _who_and_where(who: Visitor) -> None:
    """Let the visitor choose a name and a room, with a plain form: the browser loads the page."""
    with Element("form", classes="demo-form", action="/chat", method="get"):
        for label, field, value in (("Name", "name", who.name), ("Room", "room", who.room)):
            with Element("label"):
                Element(text=label)
                Element("input", name=field, maxlength=64, required=True, value=value)
        Element("button", text="Join", classes="sockstore-button", type_="submit")
