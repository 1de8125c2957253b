"""A hundred changes of screens, on a real server: nothing is left on either side."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App, ComposeResult
from textual.screen import Screen

from kits.house import house
from loopback.processes import SECONDS
from sockstore import WebSocketStore
from sockstore.testing import assert_no_leaks
from sockstore.ui.textual import ChatMessages, ConnectionStatus, WebSocketProvider

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]


class Room(Screen[None]):
    """A provider's connection, and the program's own beside it."""

    def __init__(self, url: str, own: WebSocketStore) -> None:
        super().__init__()
        self._url = url
        self._own = own

    def compose(self) -> ComposeResult:
        with WebSocketProvider(self._url):
            yield ConnectionStatus()
            yield ConnectionStatus(self._own)
            yield ChatMessages(self._own)


@pytest.mark.contract("UI6", "LC2", "LC5")
async def test_a_hundred_changes_of_screens_leave_nothing_on_either_side():
    with house() as place:
        server, url = place.server, f"{place.address}/chat/lobby"
        async with WebSocketStore(url, ping_interval=None) as own:
            await own.ready(timeout=SECONDS)
            async with assert_no_leaks(own.state, own.messages, own.connected):
                app: App[None] = App()
                async with app.run_test(size=(20, 6)) as pilot:
                    await app.push_screen(Room(url, own))
                    for number in range(67):  # switching is one change, pushing and popping two
                        if number % 20 == 0:
                            provider = app.screen.query_one(WebSocketProvider)
                            await provider.connection.ready(timeout=SECONDS)
                        if number % 2:
                            await app.switch_screen(Room(url, own))
                        else:
                            await app.push_screen(Room(url, own))
                            await app.pop_screen()
                    await pilot.pause()
                async with asyncio.timeout(SECONDS):
                    while server.clients != 1:
                        await asyncio.sleep(0.01)
            assert own.connected.value
