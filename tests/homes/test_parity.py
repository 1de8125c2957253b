"""Every component behaves the same in every home: one table of cases, played on each."""

from __future__ import annotations

import asyncio
import gc
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
from homes.layouts import chat, inspected
from homes.nicegui_home import NiceguiHome
from homes.script import URL, Case, Layout
from homes.textual_home import TextualHome
from sockstore import InvalidOption, InvalidURI, ProviderNotFound, WebSocketProvider, WebSocketStore
from sockstore.testing import FakeServer, accept, assert_no_leaks, freeze, hang, refuse, repeat
from sockstore.ui.backlog import backlog_of
from sockstore.ui.posts import posts_of

HOMES = [NiceguiHome(), TextualHome()]
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


BAD_PROVIDERS = (
    ({"url": "http://example.com"}, InvalidURI),
    ({"url": "ws://"}, InvalidURI),
    ({"url": URL, "name": ""}, InvalidOption),
    ({"url": URL, "auto_connect": 1}, InvalidOption),
    ({"url": URL, "max_reconnect_attempts": -1}, InvalidOption),
    ({"url": URL, "reconnect_interval": 0}, InvalidOption),
    ({"url": URL, "linger": -1.0}, InvalidOption),
    ({"url": URL, "outbox": 5}, InvalidOption),
)


@pytest.mark.virtual_clock
@pytest.mark.contract("UI1", "PV1")
@every_home
@pytest.mark.parametrize(("options", "expected"), BAD_PROVIDERS)
async def test_a_provider_refuses_what_cannot_work_where_it_is_placed(home, options, expected):
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider(**options):
            yield kit.ConnectionStatus()

    with pytest.raises(expected) as in_core:
        WebSocketProvider(**options)
    async with assert_no_leaks():
        with pytest.raises(expected) as caught:
            async with home.running() as program:
                await program.open(layout, FakeServer())
    assert str(caught.value) == str(in_core.value)


def everything_of(connection: WebSocketStore) -> Layout:
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        for component in COMPONENTS:
            yield getattr(kit, component)(connection)

    return layout


@pytest.mark.virtual_clock
@pytest.mark.contract("UI6", "LC2", "LC5")
@every_home
@pytest.mark.parametrize("messages", [0, 1000])
async def test_a_page_leaves_a_connection_of_the_program_open_and_nothing_on_it(
    home, messages
) -> None:
    async def speak() -> None:
        for number in range(messages):
            server.send({"sender": "Ann", "content": f"hello {number}"})
            await asyncio.sleep(0.01)

    server = FakeServer()
    async with WebSocketStore(URL, transport=server) as connection:
        await connection.ready()
        stores = (
            connection.state,
            connection.connected,
            connection.error,
            connection.messages,
            connection.timeline,
            connection.latency,
            posts_of(connection).store,
            backlog_of(connection).has_older,
            backlog_of(connection).is_loading,
        )
        async with assert_no_leaks(*stores), home.running() as program:
            for _ in range(3):
                screen = await program.open(everything_of(connection), server)
                await screen.open_inspector()
                speaking = asyncio.ensure_future(speak())
                await asyncio.sleep(SETTLING)
                await screen.leave()
                speaking.cancel()
        assert not connection.messages._on_append
        assert connection.connected.value
        assert len(server.open_connections) == 1


@pytest.mark.virtual_clock
@pytest.mark.contract("UI6", "LC2", "LC3", "LC5")
@every_home
async def test_a_hundred_pages_leave_nothing_on_either_side(home) -> None:
    def stores() -> int:
        gc.collect()
        return sum(isinstance(one, WebSocketStore) for one in gc.get_objects())

    server = FakeServer(repeat(accept(), accept(), refuse(), hang(), accept(), freeze()))
    async with home.running() as program:
        await (await program.open(inspected, server)).leave()
        before = stores()
        async with assert_no_leaks():
            for number in range(100):
                screen = await program.open(chat(close_timeout=1.0), server)
                await asyncio.sleep(number % 3 * SETTLING)
                await screen.leave()
            del screen
            await asyncio.sleep(5)
        assert not server.open_connections
        assert stores() == before
