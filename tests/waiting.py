"""Waiting in real time, for what no event reports."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

PATIENCE = 20.0
"""Seconds until a test fails; far above what it needs."""


async def until(is_so: Callable[[], object]) -> None:
    """Ask again and again, until the answer is true; `is_so` may return an awaitable."""
    async with asyncio.timeout(PATIENCE):
        while not await _answer(is_so()):
            await asyncio.sleep(0.002)


async def _answer(answer: object) -> object:
    return await answer if inspect.isawaitable(answer) else answer


async def turns(count: int = 5) -> None:
    """Let the event loop turn a few times: what is due happens."""
    for _ in range(count):
        await asyncio.sleep(0)
