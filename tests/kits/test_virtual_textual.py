"""Textual's own timers, keys and screens on the virtual clock, which the cases rely on."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App
from textual.screen import Screen
from textual.widgets import Label, TextArea

from kits.virtual_textual import textual_on_the_virtual_clock
from sockstore.testing import assert_no_leaks

pytestmark = pytest.mark.virtual_clock


class Counting(Screen):
    def compose(self):
        yield Label("0")
        yield TextArea()

    def on_mount(self) -> None:
        self.seconds = 0
        self.set_interval(1.0, self.count)

    def count(self) -> None:
        self.seconds += 1
        self.query_one(Label).update(str(self.seconds))


async def test_a_minute_of_timers_passes_at_once_and_screens_leave_nothing():
    async with assert_no_leaks():
        app = App()
        with textual_on_the_virtual_clock():
            async with app.run_test() as pilot:
                screen = Counting()
                await app.push_screen(screen)
                await asyncio.sleep(60.5)
                assert screen.seconds == 60
                assert str(screen.query_one(Label).render()) == "60"
                screen.query_one(TextArea).focus()
                before = asyncio.get_running_loop().time()
                await pilot.press("a", "b", "enter", "c")
                assert screen.query_one(TextArea).text == "ab\nc"
                assert asyncio.get_running_loop().time() - before < 0.5
                await app.pop_screen()
