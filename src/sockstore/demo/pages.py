"""Serve the demo on NiceGUI: the guide's two pages and the chat server, on one port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from sockstore import Reconnect
from sockstore.demo.visitor import (
    BESIDE,
    ECHO_HINT,
    KEPT,
    NO_SERVER_HERE,
    PAGES,
    WITH_MEMBERS,
    Visitor,
    visitor,
)
from sockstore.protocols import Centrifuge
from sockstore.server import ChatServer
from sockstore.server.app import other_paths
from sockstore.server.middleware import HostGuard
from sockstore.ui.nicegui import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionInspector,
    ConnectionStatus,
    SubscriptionProvider,
    WebSocketDemo,
    WebSocketProvider,
)

__all__ = ["create_demo"]

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
SECONDS_TO_COME_BACK = 3.0
"""Seconds that a page and its connections live while the visitor's browser is disconnected."""
PING_INTERVAL = 2.0
"""Seconds: short, so that the inspector's plot of the latency moves."""


def create_demo(address: str, server: str | None = None, host_names: Iterable[str] = ()) -> FastAPI:
    """Return the demo; NiceGUI's pages are global, so make it once in a process.

    Args:
        address: Where the demo itself is served, for example ``localhost:8080``.
        server: Another server for the pages to talk to, for example ``ws://localhost:8765``;
            None adds one, whose rooms last as long as the demo.
        host_names: As in `ChatServer`, for the pages, too.
    """
    names = frozenset(host_names)
    chat_server = ChatServer(host_names=names)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await chat_server.aclose()

    app = FastAPI(title="sockstore demo", lifespan=lifespan, docs_url=None, redoc_url=None)
    if server is None:
        app.router.routes.extend(chat_server.routes)
        rest = other_paths()
    else:
        rest = other_paths(NO_SERVER_HERE.format(server=server))
    _add_pages(server or f"ws://{address}")
    ui.run_with(
        app,
        title="sockstore",
        dark=None,
        reconnect_timeout=SECONDS_TO_COME_BACK,
        tailwind=False,
        show_welcome_message=False,
    )
    nicegui_app.router.routes.append(rest)  # behind NiceGUI's own WebSocket
    app.add_middleware(HostGuard, host_names=names)
    return app


def _add_pages(server: str) -> None:
    """Add the demo's pages to NiceGUI.

    Args:
        server: Where ``/echo`` and ``/connection/websocket`` are, for example ``ws://localhost:8765``.
    """

    @ui.page("/", title="Echo · sockstore")
    def echo() -> None:
        with _page("/"), ui.element("div").classes("demo-column"):
            _echo(server)

    @ui.page("/chat", title="Chat · sockstore")
    def chat(room: str = "", name: str = "", beside: str = "") -> None:
        request = ui.context.client.request
        who = visitor(room, name, request.cookies if request else {}, beside)
        ui.page_title(who.title)
        with _page("/chat"), _connection(server, who):
            _rooms(who)
            for shown in who.shown:
                with ui.element("div").classes("demo-column"):
                    _conversation(who, shown)
        for cookie in who.cookies:
            ui.run_javascript(f"document.cookie = {json.dumps(cookie)}")


def _page(path: str) -> ui.element:
    ui.add_css(STYLE)
    TextElement(tag="a", text="Skip to the content").props("href=#main").classes("demo-skip")
    with ui.element("header").classes("demo-header"):
        ui.label("sockstore").classes("demo-brand")
        with ui.element("nav").props('aria-label="Pages"'):
            for text, target in PAGES:
                _link(text, target, "demo-link", is_here=target == path)
    # NiceGUI's page has the element `main` around it already.
    return ui.element("div").classes("demo-main").props("id=main tabindex=-1")


def _link(text: str, target: str, classes: str, *, is_here: bool) -> None:
    link = ui.link(text, target).classes(classes)
    if is_here:
        link.props("aria-current=page")


def _echo(server: str) -> None:
    often = Reconnect.exponential(max=5)
    with WebSocketProvider(f"{server}/echo", reconnect=often, ping_interval=PING_INTERVAL):
        with ui.element("div").classes("demo-head"):
            TextElement(tag="h1", text="Echo")
            ui.label(ECHO_HINT).classes("demo-hint")
        ConnectionInspector()
        WebSocketDemo()


def _rooms(who: Visitor) -> None:
    """Show links to the rooms."""
    # On a narrow page it is a menu, which the browser opens, and closes on Escape.
    with ui.element("nav").classes("demo-rooms").props('id=rooms popover=auto aria-label="Rooms"'):
        TextElement(tag="h2", text="Rooms")
        with ui.element("ul"):
            for room in who.rooms:
                with ui.element("li"):
                    _link(f"# {room}", who.path(room), "demo-room", is_here=room == who.room)
                    if room not in who.shown:
                        _beside(who, room)
        _who_and_where(who)


def _who_and_where(who: Visitor) -> None:
    """Let the visitor choose a name and a room, with a plain form: the browser loads the page."""
    with ui.element("form").classes("demo-form").props("action=/chat method=get"):
        for label, field, value in (("Name", "name", who.name), ("Room", "room", who.room)):
            with ui.element("label"):
                ui.label(label)
                box = ui.element("input").props(f"name={field} maxlength=64 required")
                box.props["value"] = value
        with ui.element("button").classes("sockstore-button").props("type=submit"):
            ui.label("Join")


def _beside(who: Visitor, room: str) -> None:
    """Show a link that shows a room beside the first one."""
    link = ui.link("+", who.path(who.room, room)).classes("demo-beside")
    label = BESIDE.format(room=room, first=who.room)
    link.props["aria-label"] = link.props["title"] = label


def _connection(server: str, who: Visitor) -> WebSocketProvider:
    """Provide the connection of all rooms of the page."""
    url = who.chat_url(server)
    return WebSocketProvider(url, protocol=Centrifuge(), ping_interval=PING_INTERVAL)


def _conversation(who: Visitor, room: str) -> None:
    with SubscriptionProvider(room, WITH_MEMBERS, history=KEPT):
        with ui.element("div").classes("demo-head"):
            if room == who.room:
                menu = ui.element("button").classes("demo-menu sockstore-quiet-button")
                with menu.props("type=button popovertarget=rooms"):
                    ui.label("☰ Rooms")
                TextElement(tag="h1", text=f"# {room}")
            else:
                TextElement(tag="h2", text=f"# {room}")
                close = ui.link("Close", who.path(who.room)).classes("demo-close")
                close.props["aria-label"] = f"Close # {room}"
            ChatMembers()
        if room == who.room:
            ConnectionInspector()
            ConnectionStatus()
        ChatMessages()
        ChatInput()
