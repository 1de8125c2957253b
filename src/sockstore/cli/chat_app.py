"""Draw the chat with Textual: all rooms on one connection, of which one is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Input, Label, ListItem, ListView, Static

from sockstore import InvalidOption, Reconnect
from sockstore.base.names import check_room
from sockstore.base.records import Message
from sockstore.base.urls import redact_url
from sockstore.cli import signals
from sockstore.connection.options import ConnectionOptions
from sockstore.protocols import Centrifuge
from sockstore.ui.textual import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionInspector,
    ConnectionStatus,
    SubscriptionProvider,
    WebSocketProvider,
)

__all__ = ["ChatApp", "RoomPanel", "RoomsScreen"]

RECONNECT = Reconnect.exponential(max=10.0)
"""Seconds between two attempts: short, because a user is watching."""
PING_INTERVAL = 5.0
"""Seconds: short, so that the inspector's plot of the latency moves."""
LIGHT, DARK = "textual-light", "textual-dark"
WITH_MEMBERS = {"join_leave": True}
KEPT = 1000
"""Messages of each room that are kept."""


class RoomPanel(SubscriptionProvider):
    """A room: it is entered when this is mounted, and left with it.

    Args:
        room: Its name.
        heard: Called when a message came in it while it is not shown.

    Attributes:
        room: Its name.
        unread: Messages that came since it was shown last; `hear` counts, `show` clears.
    """

    DEFAULT_CSS = """
    RoomPanel > #title { height: 1; padding: 0 1; }
    RoomPanel > #title > #room { width: auto; text-style: bold; padding-right: 2; }
    RoomPanel > #title > ChatMembers { width: 1fr; height: 1; padding: 0; }
    """

    def __init__(self, room: str, heard: Callable[[], object]) -> None:
        super().__init__(room, WITH_MEMBERS, history=KEPT)
        self.room: str = room
        self.unread: int = 0
        self._heard = heard

    def compose(self) -> ComposeResult:
        """Place the room's name, members and messages, and the field to write in."""
        with Horizontal(id="title"):
            yield Static(Content(f"# {self.room}"), id="room", markup=False)
            yield ChatMembers()
        yield ChatMessages()
        yield ChatInput()

    async def follow(self) -> None:
        """Enter the room, and count what comes while it is not shown."""
        await super().follow()
        self.scope.on_destroy(self.subscription.messages.on_append(self.hear))

    def hear(self, _: Message) -> None:
        """Count a message that came while the room is not shown."""
        if not self.display:
            self.unread += 1
            self._heard()

    def show(self) -> None:
        """Show the room, and let the user write in it."""
        self.display = True
        self.unread = 0
        self.query_one(ChatInput).focus()


class RoomsScreen(Screen[None]):
    """All rooms, of which one is shown.

    Args:
        url: The url of the connection.
        rooms: The names of the rooms at first.
        options: Options of the connection.

    Attributes:
        rooms: The names of all rooms; `enter` adds to it.
        room: The room that is shown; `enter` changes it.
    """

    CSS = """
    RoomsScreen #rooms { width: 20; border-right: solid $primary-muted; }
    RoomsScreen #rooms > Label { padding: 0 1; text-style: bold; color: $text-muted; }
    RoomsScreen ListView { background: transparent; }
    RoomsScreen ListItem { padding: 0 1; background: transparent; }
    RoomsScreen ListItem.-current { text-style: bold; color: $text-accent; }
    RoomsScreen #panels { height: 1fr; }
    RoomsScreen.-narrow #rooms { display: none; }
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012 - as Textual has it

    def __init__(self, url: str, rooms: list[str], options: ConnectionOptions) -> None:
        super().__init__()
        self.rooms: list[str] = list(rooms)
        self.room: str = rooms[0]
        self._url = url
        self._options = options

    def compose(self) -> ComposeResult:
        """Place the list of rooms, and the rooms."""
        with Horizontal():
            with Vertical(id="rooms"):
                yield Label("Rooms")
                yield ListView(*map(self._item, self.rooms))
            with WebSocketProvider(self._url, reconnect=RECONNECT, **self._options):
                yield ConnectionStatus()
                with Vertical(id="panels"):
                    yield from map(self._panel, self.rooms)
                yield ConnectionInspector()
        yield Footer()

    def on_mount(self) -> None:
        """Show the first room."""
        self._show()

    @property
    def panel(self) -> RoomPanel:
        """The room that is shown."""
        return next(panel for panel in self.query(RoomPanel) if panel.room == self.room)

    async def enter(self, room: str) -> None:
        """Show a room, which is entered if it is a new one.

        Args:
            room: Its name.
        """
        if room not in self.rooms:
            self.rooms.append(room)
            await self.query_one("#panels").mount(self._panel(room))
            await self.query_one(ListView).append(self._item(room))
        self.room = room
        self._show()

    def _panel(self, room: str) -> RoomPanel:
        panel = RoomPanel(room, partial(self.call_later, self._mark_rooms))
        panel.display = room == self.room
        return panel

    def _item(self, room: str) -> ListItem:
        return ListItem(Label(Content(f"# {room}"), markup=False), name=room)

    def _show(self) -> None:
        """Show one room, and hide the others."""
        for panel in self.query(RoomPanel):
            if panel.room != self.room:
                panel.display = False
        self.panel.show()
        self.query_one(ListView).index = self.rooms.index(self.room)
        self._mark_rooms()

    def _mark_rooms(self) -> None:
        """Mark in the list which room is shown, and where something new was said."""
        unread = {panel.room: panel.unread for panel in self.query(RoomPanel)}
        for item in self.query(ListItem):
            room = item.name or ""
            item.set_class(room == self.room, "-current")
            count = unread.get(room, 0)
            item.query_one(Label).update(Content(f"# {room} ({count})" if count else f"# {room}"))


class JoinScreen(ModalScreen[str | None]):
    """Ask for the name of a room."""

    CSS = """
    JoinScreen { align: center middle; }
    JoinScreen > Vertical {
        width: 50; max-width: 90%; height: auto; padding: 1 2;
        background: $surface; border: round $primary;
    }
    JoinScreen #problem { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]
    AUTO_FOCUS = "Input"

    def compose(self) -> ComposeResult:
        """Place the field."""
        with Vertical():
            yield Label("Which room? (Escape: none)")
            yield Input(placeholder="lobby")
            yield Static(id="problem", markup=False)

    @on(Input.Submitted)
    def join(self, event: Input.Submitted) -> None:
        """Accept the name, or show what is wrong with it."""
        try:
            self.dismiss(check_room(event.value.strip()))
        except InvalidOption as error:
            self.query_one("#problem", Static).update(Content(error.why))


class ChatApp(App[None]):
    """A chat with rooms.

    Args:
        url: The url of the connection, with the person's name.
        rooms: The names of the rooms.
        options: Options of the connection.
    """

    TITLE = "sockstore chat"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "inspector", "Inspector"),
        Binding("f3", "next_room", "Next room"),
        Binding("f4", "join", "Join"),
        Binding("f5", "reconnect", "Reconnect"),
        Binding("f8", "theme", "Theme"),
        Binding("ctrl+q,ctrl+c", "quit", "Leave", priority=True, key_display="^q"),
    ]

    def __init__(
        self, url: str, rooms: list[str], options: ConnectionOptions | None = None
    ) -> None:
        super().__init__()
        self._url = url
        ours: ConnectionOptions = {"protocol": Centrifuge(), "ping_interval": PING_INTERVAL}
        self._rooms = RoomsScreen(url, rooms, {**ours, **(options or {})})

    def on_mount(self) -> None:
        """Enter the rooms; after a signal leave the chat, which restores the terminal."""
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            signals.on_signal(loop, lambda number: self.exit(return_code=128 + number))
        self.sub_title = redact_url(self._url)
        self.push_screen(self._rooms)

    @on(ListView.Selected)
    async def enter_selected(self, event: ListView.Selected) -> None:
        """Show the room that was chosen from the list."""
        await self._rooms.enter(event.item.name or self._rooms.room)

    async def action_next_room(self) -> None:
        """Show the next room of the list."""
        shown = self._rooms
        if self.screen is shown:
            place = shown.rooms.index(shown.room) + 1
            await shown.enter(shown.rooms[place % len(shown.rooms)])

    def action_join(self) -> None:
        """Ask for a room, and enter it."""

        async def joined(room: str | None) -> None:
            if room is not None:
                await self._rooms.enter(room)

        if self.screen is self._rooms:
            self.push_screen(JoinScreen(), joined)

    def action_inspector(self) -> None:
        """Show what the connection does, or hide it."""
        if self.screen is self._rooms:
            self._rooms.query_one(ConnectionInspector).toggle()

    def action_reconnect(self) -> None:
        """Connect again now."""
        if self.screen is self._rooms:
            self._rooms.query_one(WebSocketProvider).connection.reconnect()

    def action_theme(self) -> None:
        """Change between light and dark."""
        self.theme = DARK if self.theme == LIGHT else LIGHT
