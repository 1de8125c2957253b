"""Textual on the virtual clock: its timers and its pilot read clocks of the system otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from textual import _time, _wait
from textual.widgets import TextArea


@contextmanager
def textual_on_the_virtual_clock() -> Iterator[None]:
    """Let Textual live by the time of the event loop.

    Its pilot waits until the process has nothing to do; on the virtual clock time passes only
    then, so that one wait of 20 ms of virtual time is always enough.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_time, "get_time", _now)
        patch.setattr(_wait, "monotonic", _now)
        patch.setattr(_wait, "process_time", lambda: 0.0)
        # In an hour that passes at once, it would be drawn 7,200 times.
        patch.setattr(TextArea.cursor_blink, "_default", False)
        yield


def _now() -> float:
    return asyncio.get_running_loop().time()
