"""Plays cases and promises in a page, one after the other, on the virtual clock."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from kits.clock_in_page import VirtualWebLoop
from kits.harness import play
from kits.kit_in_page import BrowserKit
from kits.other_promises import PROMISES
from kits.table import TABLE
from sockstore.testing import assert_no_leaks


class Stage:
    """Where they are played.

    Args:
        soon: As for the loop.
    """

    def __init__(self, soon: Callable[[Any], object]) -> None:
        self.loop = VirtualWebLoop(soon)
        self._kit = BrowserKit()
        gc.collect()
        gc.freeze()

    def play_case(self, number: int) -> Any:
        """Play a row of the table; awaited, it says what is wrong, or nothing."""

        async def played() -> None:
            async with assert_no_leaks():
                await play(TABLE[number], self._kit)

        return self.loop.create_task(self._told(played))

    def keep_promise(self, number: int) -> Any:
        """Keep a promise; awaited, it says what is wrong, or nothing."""
        return self.loop.create_task(self._told(lambda: PROMISES[number].check(self._kit)))

    async def _told(self, played: Callable[[], Awaitable[None]]) -> str:
        self.loop.problems.clear()
        try:
            await played()
        except BaseException as error:
            return "".join(traceback.format_exception(error))
        return "\n".join(self.loop.problems)
