"""Draw the chat with Textual: one screen for each room; only the one shown is connected."""

from __future__ import annotations

import asyncio
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
from sockstore.base.urls import redact_url
from sockstore.cli import signals
from sockstore.connection.options import ConnectionOptions
from sockstore.ui.chat.rooms import in_room
from sockstore.ui.textual import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionInspector,
    ConnectionStatus,
    WebSocketProvider,
)

__all__ = ["ChatApp"]

RECONNECT = Reconnect.exponential(max=10.0)
"""Seconds between two attempts: short, because a user is watching."""
PING_INTERVAL = 5.0
"""Seconds: short, so that the inspector's plot of the latency moves."""
LIGHT, DARK = "textual-light", "textual-dark"


class RoomScreen(Screen[None]):
    """A room: entering it connects, leaving it disconnects.

    Args:
        url: The room's url.
        room: Its name.
        rooms: The names of all rooms to switch between.
        options: Options of the connection.
    """

    CSS = """
    RoomScreen #rooms { width: 20; border-right: solid $primary-muted; }
    RoomScreen #rooms > Label { padding: 0 1; text-style: bold; color: $text-muted; }
    RoomScreen ListView { background: transparent; }
    RoomScreen ListItem { padding: 0 1; background: transparent; }
    RoomScreen ListItem.-current { text-style: bold; color: $text-accent; }
    RoomScreen #title { height: 1; padding: 0 1; }
    RoomScreen #title > #room { width: auto; text-style: bold; padding-right: 2; }
    RoomScreen #title > ChatMembers { width: 1fr; height: 1; padding: 0; }
    RoomScreen.-narrow #rooms { display: none; }
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012 - as Textual has it

    def __init__(self, url: str, room: str, rooms: list[str], options: ConnectionOptions) -> None:
        super().__init__()
        self._url = url
        self._room = room
        self._rooms = rooms
        self._options = options

    def compose(self) -> ComposeResult:
        """Place the list of rooms, and the room."""
        with Horizontal():
            with Vertical(id="rooms"):
                yield Label("Rooms")
                yield self._list_of_rooms()
            with WebSocketProvider(self._url, reconnect=RECONNECT, **self._options):
                with Horizontal(id="title"):
                    yield Static(Content(f"# {self._room}"), id="room", markup=False)
                    yield ChatMembers()
                yield ConnectionStatus()
                yield ChatMessages()
                yield ChatInput()
                yield ConnectionInspector()
        yield Footer()

    def _list_of_rooms(self) -> ListView:
        items = [
            ListItem(
                Label(Content(f"# {room}"), markup=False),
                name=room,
                classes="-current" if room == self._room else "",
            )
            for room in self._rooms
        ]
        return ListView(*items, initial_index=self._rooms.index(self._room))


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
        url: The url of the first room, with the person's name.
        rooms: The names of the rooms.
        options: Options of the connections.
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
        self._rooms = list(rooms)
        self._room = rooms[0]
        self._options: ConnectionOptions = {"ping_interval": PING_INTERVAL, **(options or {})}

    def on_mount(self) -> None:
        """Enter the first room; after a signal leave the chat, which restores the terminal."""
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            signals.on_signal(loop, lambda number: self.exit(return_code=128 + number))
        self.sub_title = redact_url(self._url)
        self.push_screen(self._screen_of(self._room))

    def _screen_of(self, room: str) -> RoomScreen:
        return RoomScreen(in_room(self._url, room), room, self._rooms, self._options)

    async def enter(self, room: str) -> None:
        """Leave the room that is shown, and enter this one.

        Args:
            room: Its name.
        """
        if room not in self._rooms:
            self._rooms.append(room)
        if room != self._room and isinstance(self.screen, RoomScreen):
            self._room = room
            await self.switch_screen(self._screen_of(room))

    @on(ListView.Selected)
    async def enter_selected(self, event: ListView.Selected) -> None:
        """Enter the room that was chosen from the list."""
        await self.enter(event.item.name or self._room)

    async def action_next_room(self) -> None:
        """Enter the next room of the list."""
        place = self._rooms.index(self._room) + 1
        await self.enter(self._rooms[place % len(self._rooms)])

    def action_join(self) -> None:
        """Ask for a room, and enter it."""

        async def joined(room: str | None) -> None:
            if room is not None:
                await self.enter(room)

        if isinstance(self.screen, RoomScreen):
            self.push_screen(JoinScreen(), joined)

    def action_inspector(self) -> None:
        """Show what the connection does, or hide it."""
        if isinstance(self.screen, RoomScreen):
            self.screen.query_one(ConnectionInspector).toggle()

    def action_reconnect(self) -> None:
        """Connect again now."""
        if isinstance(self.screen, RoomScreen):
            self.screen.query_one(WebSocketProvider).connection.reconnect()

    def action_theme(self) -> None:
        """Change between light and dark."""
        self.theme = DARK if self.theme == LIGHT else LIGHT
