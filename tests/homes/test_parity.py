"""Every component behaves the same in every home: one table of cases, played on each.

The third home, a page in a browser, plays them in tests/browser/test_parity_in_chromium.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from homes.harness import Home, play
from homes.nicegui_home import NiceguiHome
from homes.other_promises import PROMISES, Promise
from homes.script import Case
from homes.table import TABLE
from homes.textual_home import TextualHome
from sockstore.testing import assert_no_leaks

HOMES = [NiceguiHome(), TextualHome()]

every_home = pytest.mark.parametrize("home", HOMES, ids=lambda home: type(home).__name__)


def _row(what: Case | Promise) -> Any:
    return pytest.param(what, id=what.name, marks=pytest.mark.contract(*what.contract))


@pytest.fixture(autouse=True)
def _nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing reaches the event loop's exception handler."""
    reported: list[dict[str, Any]] = []
    handle = asyncio.BaseEventLoop.call_exception_handler
    monkeypatch.setattr(
        asyncio.BaseEventLoop,
        "call_exception_handler",
        lambda loop, context: (reported.append(context), handle(loop, context)),
    )
    yield
    assert not reported


@pytest.mark.virtual_clock
@every_home
@pytest.mark.parametrize("case", map(_row, TABLE))
async def test_a_case(case: Case, home: Home) -> None:
    async with assert_no_leaks():
        await play(case, home)


@pytest.mark.virtual_clock
@every_home
@pytest.mark.parametrize("promise", map(_row, PROMISES))
async def test_a_promise(promise: Promise, home: Home) -> None:
    await promise.check(home)
