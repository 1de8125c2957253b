"""The guide's two pages: the echo demo on the store pattern, the chat inside a provider."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import quote, urlencode

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from sockstore import Reconnect
from sockstore.ui.nicegui import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionStatus,
    WebSocketDemo,
    WebSocketProvider,
)

__all__ = ["add_pages"]

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
ROOM = "lobby"


def add_pages(server: str) -> None:
    """Add the demo's pages to NiceGUI.

    Args:
        server: Where ``/echo`` and ``/chat/{room}`` are, for example ``ws://localhost:8765``.
    """

    @ui.page("/", title="Echo · sockstore")
    def echo() -> None:
        with _page("Echo", "/"):
            ui.label("What you send comes back, from a server at the other end of a WebSocket.")
            with WebSocketProvider(f"{server}/echo", reconnect=Reconnect.exponential(max=5)):
                WebSocketDemo()

    @ui.page("/chat", title="Chat · sockstore")
    def chat(room: str = ROOM, name: str = "") -> None:
        name = name.strip() or f"Guest {secrets.randbelow(900) + 100}"
        with _page("Chat", "/chat"):
            _who_and_where(room, name)
            query = urlencode({"name": name})
            with WebSocketProvider(f"{server}/chat/{quote(room, safe='')}?{query}"):
                ConnectionStatus()
                ChatMembers()
                ChatMessages()
                ChatInput()


def _page(title: str, path: str) -> ui.element:
    ui.add_css(STYLE)
    with ui.element("header").classes("demo-header"):
        ui.label("sockstore").classes("demo-brand")
        with ui.element("nav").props('aria-label="Pages"'):
            for text, target in (("Echo", "/"), ("Chat", "/chat")):
                link = ui.link(text, target).classes("demo-link")
                if target == path:
                    link.props("aria-current=page")
    main = ui.element("div").classes("demo-main")  # Quasar has made the `main` around it
    with main:
        TextElement(tag="h1", text=title)
    return main


def _who_and_where(room: str, name: str) -> None:
    """Let the visitor choose a name and a room, with a plain form: it is a navigation."""
    with ui.element("form").classes("demo-form").props("action=/chat method=get"):
        for label, field, value in (("Name", "name", name), ("Room", "room", room)):
            with ui.element("label"):
                ui.label(label)
                box = ui.element("input").props(f"name={field} maxlength=64 required")
                box.props["value"] = value
        with ui.element("button").classes("sockstore-button").props("type=submit"):
            ui.label("Join")
