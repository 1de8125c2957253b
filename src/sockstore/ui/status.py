"""Write the texts of a connection's status: the guide's sentence, and what happens next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Literal, TypeAlias

from sockstore.base.state import ConnectionState
from sockstore.connection.connection import Connection
from sockstore.ui.text import abridge

__all__ = ["StatusText", "action", "describe", "follow"]

Action: TypeAlias = Literal["Retry", "Connect"]

ERROR_SHOWN = 300
"""Characters of an error that are shown: a server may send a whole page with a refusal."""

ROUNDING = 1e-6
"""Seconds by which rounding may make a sum of times too great: 120 s must not be shown as 121."""


@dataclass(frozen=True, slots=True)
class StatusText:
    """The texts of a status.

    Args:
        status: The guide's status, which decides the colour.
        text: The guide's sentence.
        detail: The next step, in a few words; empty if nothing happens by itself.
        action: The label of the button that calls `reconnect`; None for no button.
    """

    status: Literal["connected", "disconnected", "error"]
    text: str
    detail: str = ""
    action: Action | None = None


async def follow(connection: Connection, show: Callable[[StatusText], object]) -> None:
    """Show the status, and again when it changes and while it counts down, until cancelled.

    Args:
        connection: The connection.
        show: Called with the texts.
    """
    with connection.state.stream(buffer=1) as states:
        while True:
            state = connection.state.value
            show(describe(state, asyncio.get_running_loop().time()))
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0 if state.phase == "waiting" else None):
                    await anext(states)


def describe(state: ConnectionState, now: float) -> StatusText:
    """Say what a connection is doing.

    Args:
        state: The connection's state.
        now: The time, in the clock of ``loop.time()``.

    Returns:
        The guide's sentence, and beyond it what happens next.

    Source:
        The guide's ``ConnectionStatus`` component.

    Example:
        >>> describe(ConnectionState("open"), now=0.0).text
        'Connected to chat server'
        >>> describe(ConnectionState("waiting", attempt=2, retry_at=5.0), now=0.5).detail
        'Retry 2 in 5 s'
    """
    return StatusText(state.status, _sentence(state), _next(state, now), action=action(state))


def _sentence(state: ConnectionState) -> str:
    match state.status:
        case "connected":
            return "Connected to chat server"
        case "error":
            return f"Connection error: {abridge(state.error or '', ERROR_SHOWN)}"
        case "disconnected":
            return "Disconnected from chat server"


def _next(state: ConnectionState, now: float) -> str:
    match state.phase:
        case "waiting" if state.retry_at is not None:
            seconds = max(1, ceil(state.retry_at - now - ROUNDING))
            return f"Retry {state.attempt} in {seconds} s"
        case "connecting":
            return f"Retry {state.attempt} …" if state.attempt else "Connecting …"
        case _:
            return ""


def action(state: ConnectionState) -> Action | None:
    """Return the label of the button to connect again; None while the connection tries itself."""
    match state.phase:
        case "failed":
            return "Retry"
        case "closed":
            return "Connect"
        case _:
            return None
