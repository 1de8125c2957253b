"""Every component behaves the same in every home: one table of cases, played on each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType
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
from homes.harness import SETTLING, Home, play
from homes.nicegui_home import NiceguiHome
from homes.script import URL, Case, Layout
from sockstore import ProviderNotFound, WebSocketProvider
from sockstore.testing import FakeServer, assert_no_leaks

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


COMPONENTS = (
    "ConnectionStatus",
    "ChatMessages",
    "ChatMembers",
    "ChatInput",
    "WebSocketDemo",
    "ConnectionInspector",
)

every_home = pytest.mark.parametrize("home", HOMES, ids=lambda home: type(home).__name__)


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


def without_a_provider(component: str) -> Layout:
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        yield getattr(kit, component)()

    return layout


def with_others(component: str) -> Layout:
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider(URL, transport=server, name="outer"):
            with kit.WebSocketProvider(URL, transport=server, name="inner"):
                yield getattr(kit, component)(name="other")

    return layout


REMEDY = "place it inside `with WebSocketProvider(...)` of that name, or give it one"


@pytest.mark.virtual_clock
@pytest.mark.contract("UI1", "PV4")
@every_home
@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize(
    ("layout", "told"),
    [
        (without_a_provider, "named 'default' surrounds this code (in scope: none)"),
        (with_others, "named 'other' surrounds this code (in scope: 'inner', 'outer')"),
    ],
)
async def test_a_component_without_its_provider_says_so(home, component, layout, told) -> None:
    server = FakeServer()
    async with assert_no_leaks():
        with pytest.raises(ProviderNotFound) as caught:
            async with home.running() as program:
                await program.open(layout(component), server)
    assert str(caught.value) == f"no WebSocketProvider {told}; {REMEDY}"
    assert not server.open_connections


@pytest.mark.virtual_clock
@pytest.mark.contract("UI1", "PV2")
@every_home
async def test_the_providers_of_the_program_surround_its_pages(home) -> None:
    server = FakeServer()
    async with assert_no_leaks(), WebSocketProvider(URL, transport=server) as connection:
        await connection.ready()
        async with home.running() as program:
            screen = await program.open(without_a_provider("ConnectionStatus"), server)
            await asyncio.sleep(SETTLING)
            assert screen.look().status == "Connected to chat server"
        assert connection.connected.value
