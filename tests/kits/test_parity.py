"""Every component behaves the same in every kit: one table of cases, played on each.

The third kit, a page in a browser, plays them in tests/browser/test_parity_in_chromium.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from kits.harness import Kit, play
from kits.nicegui_kit import NiceguiKit
from kits.other_promises import PROMISES, Promise
from kits.script import Case
from kits.table import TABLE
from kits.textual_kit import TextualKit
from sockstore.testing import assert_no_leaks

KITS = [NiceguiKit(), TextualKit()]

every_kit = pytest.mark.parametrize("kit", KITS, ids=lambda kit: type(kit).__name__)


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
@every_kit
@pytest.mark.parametrize("case", map(_row, TABLE))
async def test_a_case(case: Case, kit: Kit) -> None:
    async with assert_no_leaks():
        await play(case, kit)


@pytest.mark.virtual_clock
@every_kit
@pytest.mark.parametrize("promise", map(_row, PROMISES))
async def test_a_promise(promise: Promise, kit: Kit) -> None:
    await promise.check(kit)
