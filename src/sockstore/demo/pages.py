"""The guide's two pages: the echo demo on the store pattern, the chat inside a provider."""

from __future__ import annotations

import json
from pathlib import Path

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from sockstore import Reconnect
from sockstore.demo.places import ECHO_HINT, PLACES, chat_title, chat_url
from sockstore.demo.visitor import Visitor, visitor
from sockstore.ui.nicegui import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionInspector,
    ConnectionStatus,
    WebSocketDemo,
    WebSocketProvider,
)

__all__ = ["add_pages"]

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
PING_INTERVAL = 2.0
"""Seconds: often, so that the inspector's plot of the latency lives."""


def add_pages(server: str) -> None:
    """Add the demo's pages to NiceGUI.

    Args:
        server: Where ``/echo`` and ``/chat/{room}`` are, for example ``ws://localhost:8765``.
    """

    @ui.page("/", title="Echo · sockstore")
    def echo() -> None:
        with _page("/"), ui.element("div").classes("demo-column"):
            _echo(server)

    @ui.page("/chat", title="Chat · sockstore")
    def chat(room: str = "", name: str = "") -> None:
        request = ui.context.client.request
        who = visitor(room, name, request.cookies if request else {})
        ui.page_title(chat_title(who))
        with _page("/chat"):
            _rooms(who)
            with ui.element("div").classes("demo-column"):
                _conversation(server, who)
        for cookie in who.cookies:
            ui.run_javascript(f"document.cookie = {json.dumps(cookie)}")


def _page(path: str) -> ui.element:
    ui.add_css(STYLE)
    TextElement(tag="a", text="Skip to the content").props("href=#main").classes("demo-skip")
    with ui.element("header").classes("demo-header"):
        ui.label("sockstore").classes("demo-brand")
        with ui.element("nav").props('aria-label="Pages"'):
            for text, target in PLACES:
                link = ui.link(text, target).classes("demo-link")
                if target == path:
                    link.props("aria-current=page")
    # Quasar has made the `main` around it.
    return ui.element("div").classes("demo-main").props("id=main tabindex=-1")


def _echo(server: str) -> None:
    often = Reconnect.exponential(max=5)
    with WebSocketProvider(f"{server}/echo", reconnect=often, ping_interval=PING_INTERVAL):
        with ui.element("div").classes("demo-head"):
            TextElement(tag="h1", text="Echo")
            ui.label(ECHO_HINT).classes("demo-hint")
        ConnectionInspector()
        WebSocketDemo()


def _rooms(who: Visitor) -> None:
    """Show the rooms; to join one is a navigation."""
    # On a narrow page it is a menu: the browser opens it, closes it on Escape, and says which.
    with ui.element("nav").classes("demo-rooms").props('id=rooms popover=auto aria-label="Rooms"'):
        TextElement(tag="h2", text="Rooms")
        with ui.element("ul"):
            for room in who.rooms:
                with ui.element("li"):
                    link = ui.link(f"# {room}", who.path(room)).classes("demo-room")
                    if room == who.room:
                        link.props("aria-current=page")
        _who_and_where(who)


def _who_and_where(who: Visitor) -> None:
    """Let the visitor choose a name and a room, with a plain form: it is a navigation."""
    with ui.element("form").classes("demo-form").props("action=/chat method=get"):
        for label, field, value in (("Name", "name", who.name), ("Room", "room", who.room)):
            with ui.element("label"):
                ui.label(label)
                box = ui.element("input").props(f"name={field} maxlength=64 required")
                box.props["value"] = value
        with ui.element("button").classes("sockstore-button").props("type=submit"):
            ui.label("Join")


def _conversation(server: str, who: Visitor) -> None:
    with WebSocketProvider(chat_url(server, who), ping_interval=PING_INTERVAL):
        with ui.element("div").classes("demo-head"):
            menu = ui.element("button").classes("demo-menu sockstore-quiet-button")
            with menu.props("type=button popovertarget=rooms"):
                ui.label("☰ Rooms")
            TextElement(tag="h1", text=f"# {who.room}")
            ChatMembers()
        ConnectionInspector()
        ConnectionStatus()
        ChatMessages()
        ChatInput()
