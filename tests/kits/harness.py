"""What a kit has to offer to have cases played on it, and playing them."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any, Protocol

from kits.script import (
    Calls,
    Case,
    Clicks,
    FillsGap,
    Goes,
    Heard,
    Holds,
    Layout,
    Leaves,
    LoadsOlder,
    OpensAnother,
    OpensInspector,
    Presses,
    Returns,
    Scrolls,
    Sees,
    Server,
    Step,
    Types,
    View,
    Waits,
)
from sockstore.testing import FakeServer

SETTLING = 0.2
"""Seconds of the virtual clock: several times what any kit waits to make a burst one update."""


class Screen(Protocol):
    """A page or screen that is open."""

    provider: Any
    """The provider component that was placed last; None without one."""

    def look(self) -> View:
        """What the user sees."""

    async def type(self, text: str) -> None:
        """Write into the field, behind what stands there."""

    async def press(self, key: str) -> None:
        """Press a key in the field: "enter" or "shift+enter"."""

    async def click(self, button: str) -> None:
        """Press the button "send" or "reconnect"."""

    async def scroll(self, to: str) -> None:
        """Go to the "start" of the messages, or to their "end"."""

    async def load_older(self) -> None:
        """Ask for older messages."""

    async def fill_gap(self) -> None:
        """Ask for what is missing at the newest gap."""

    async def open_inspector(self) -> None:
        """Open the panel of the inspector."""

    async def leave(self) -> None:
        """Close the tab, or pop the screen; returns when it is gone."""


class Running(Protocol):
    """The program, running."""

    async def open(self, layout: Layout, server: FakeServer) -> Screen:
        """Open a page or screen with these components; what they raise is raised."""


class Kit(Protocol):
    """A user interface kit with our components."""

    kit: ModuleType

    def running(self) -> AbstractAsyncContextManager[Running]:
        """Run a program; afterwards nothing is left of it, and nothing went wrong unseen."""


async def play(case: Case, kit: Kit) -> None:
    """Play a case."""
    server = case.server()
    async with kit.running() as program:
        stage = _Stage(case, program, server)
        await stage.open(case.layout)
        for number, step in enumerate(case.steps):
            try:
                await stage.play(step)
            except AssertionError as error:
                error.add_note(f"in step {number}: {step}")
                raise
    assert not server.open_connections, "the end of the program left a connection open"


class _Stage:
    def __init__(self, case: Case, program: Running, server: FakeServer) -> None:
        self._case = case
        self._program = program
        self._server = server
        self._screens: list[Screen] = []

    async def open(self, layout: Layout) -> None:
        self._screens.append(await self._program.open(layout, self._server))

    async def play(self, step: Step) -> None:
        if not await self._act(step):
            await self._look(step)

    async def _act(self, step: Step) -> bool:
        """Do what a step does; return whether it was one that does something."""
        match step:
            case Server(method=method, arguments=arguments):
                getattr(self._server, method)(*arguments)
            case Returns(sender=sender):
                self._return(sender)
            case Leaves():
                await self._screens.pop().leave()
            case OpensAnother(layout=layout):
                await self.open(layout or self._case.layout)
            case Waits(seconds=seconds):
                await asyncio.sleep(seconds)
            case Calls(action=action):
                action(self._screens[-1].provider.connection)
            case Goes(url=url):
                self._screens[-1].provider.url = url
            case _:
                return bool(self._screens) and await _use(self._screens[-1], step)
        return True

    def _return(self, sender: str) -> None:
        said = json.loads(self._server.received[-1])
        number = len(self._server.received)
        passed_on = {"type": "message", "sender": sender, **said, "id": f"m{number}"}
        self._server.send(passed_on)

    async def _look(self, step: Step) -> None:
        await asyncio.sleep(SETTLING)
        difference = self._difference(step)
        assert not difference, difference

    def _difference(self, step: Step) -> str:
        match step:
            case Sees(page=page):
                return step.difference(self._screens[page].look())
            case Heard():
                return step.difference(self._server.received)
            case Holds(connections=connections):
                count = len(self._server.open_connections)
                return "" if count == connections else f"{count} instead of {connections} are open"
            case _:
                raise TypeError(f"no kit can play {step!r}")


async def _use(screen: Screen, step: Step) -> bool:
    """Do what the user does; return whether it was a step of the user."""
    match step:
        case Types(text=text):
            await screen.type(text)
        case Presses(key=key):
            await screen.press(key)
        case Clicks(button=button):
            await screen.click(button)
        case Scrolls(to=to):
            await screen.scroll(to)
        case LoadsOlder():
            await screen.load_older()
        case FillsGap():
            await screen.fill_gap()
        case OpensInspector():
            await screen.open_inspector()
        case _:
            return False
    return True
