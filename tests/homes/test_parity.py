"""Every component behaves the same in every home: one table of cases, played on each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homes import (
    cases_of_demo,
    cases_of_history,
    cases_of_input,
    cases_of_messages,
    cases_of_providers,
    cases_of_status,
)
from homes.harness import Home, play
from homes.nicegui_home import NiceguiHome
from homes.script import Case
from sockstore.testing import assert_no_leaks

HOMES = [NiceguiHome()]
TABLE = (
    *cases_of_status.CASES,
    *cases_of_providers.CASES,
    *cases_of_messages.CASES,
    *cases_of_history.CASES,
    *cases_of_input.CASES,
    *cases_of_demo.CASES,
)


def _row(case: Case) -> Any:
    return pytest.param(case, id=case.name, marks=pytest.mark.contract(*case.contract))


@pytest.mark.virtual_clock
@pytest.mark.parametrize("home", HOMES, ids=lambda home: type(home).__name__)
@pytest.mark.parametrize("case", map(_row, TABLE))
async def test_every_home(case: Case, home: Home) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with assert_no_leaks():
        await play(case, home)
    assert not reported
