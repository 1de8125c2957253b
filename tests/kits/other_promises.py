"""What every kit promises beside the table: it refuses what cannot work, and leaves nothing.

A promise is a value, too: a name, and a coroutine function that is given a kit. Nothing here
imports a kit or pytest, for one of the kits is a browser's page.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from integration.rooms_server import RoomsServer
from kits.harness import SETTLING, Kit
from kits.layouts import WITH_MEMBERS, chat, inspected
from kits.script import URL, Layout, posted_on
from sockstore import (
    InvalidOption,
    InvalidURI,
    ProviderNotFound,
    Subscription,
    WebSocketProvider,
    WebSocketStore,
)
from sockstore.protocols import Centrifuge, Topics
from sockstore.testing import FakeServer, accept, assert_no_leaks, freeze, hang, refuse, repeat
from sockstore.ui.chat.backlog import backlog_of


@dataclass(frozen=True)
class Promise:
    """Something that every kit keeps.

    Args:
        name: What is true in every kit.
        contract: The ids of docs/contract.md that it proves.
        check: Raises an AssertionError if it is not so.
    """

    name: str
    contract: tuple[str, ...]
    check: Callable[[Kit], Awaitable[None]]


COMPONENTS = (
    "ConnectionStatus",
    "ChatMessages",
    "ChatMembers",
    "ChatInput",
    "WebSocketDemo",
    "ConnectionInspector",
)


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


async def refusal_of(kit: Kit, layout: Layout, expected: type[Exception]) -> str:
    """What a kit says to a layout that cannot work; nothing of it is left."""
    server = FakeServer()
    caught: Exception | None = None
    async with assert_no_leaks():
        try:
            async with kit.running() as program:
                await program.open(layout, server)
        except expected as error:
            caught = error.with_traceback(None)
    assert caught is not None, "nothing was raised"
    assert not server.open_connections
    return str(caught)


REMEDY = "place it inside `with WebSocketProvider(...)` of that name, or give it one"


async def says_that_there_is_no_provider(kit: Kit, *, layout: Layout, told: str) -> None:
    said = await refusal_of(kit, layout, ProviderNotFound)
    assert said == f"no WebSocketProvider {told}; {REMEDY}", said


def lost_components() -> Iterator[Promise]:
    for component in COMPONENTS:
        for layout, told in (
            (without_a_provider, "named 'default' surrounds this code (in scope: none)"),
            (with_others, "named 'other' surrounds this code (in scope: 'inner', 'outer')"),
        ):
            check = partial(says_that_there_is_no_provider, layout=layout(component), told=told)
            yield Promise(f"{component} says {told}", ("UI1", "PV4"), check)


async def the_programs_providers_surround_its_pages(kit: Kit) -> None:
    server = FakeServer()
    async with assert_no_leaks(), WebSocketProvider(URL, transport=server) as connection:
        await connection.ready()
        async with kit.running() as program:
            screen = await program.open(without_a_provider("ConnectionStatus"), server)
            await asyncio.sleep(SETTLING)
            assert screen.look().status == "Connected to chat server"
        assert connection.connected.value


BAD_PROVIDERS: tuple[tuple[dict[str, Any], type[Exception]], ...] = (
    ({"url": "http://example.com"}, InvalidURI),
    ({"url": "ws://"}, InvalidURI),
    ({"url": URL, "name": ""}, InvalidOption),
    ({"url": URL, "auto_connect": 1}, InvalidOption),
    ({"url": URL, "max_reconnect_attempts": -1}, InvalidOption),
    ({"url": URL, "reconnect_interval": 0}, InvalidOption),
    ({"url": URL, "linger": -1.0}, InvalidOption),
    ({"url": URL, "outbox": 5}, InvalidOption),
)


async def refuses_what_the_core_refuses(
    kit: Kit, *, options: dict[str, Any], expected: type[Exception]
) -> None:
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider(**options):
            yield kit.ConnectionStatus()

    said = await refusal_of(kit, layout, expected)
    in_core = ""
    try:
        WebSocketProvider(**options)
    except expected as error:
        in_core = str(error)
    assert said == in_core


def refused_providers() -> Iterator[Promise]:
    for options, expected in BAD_PROVIDERS:
        check = partial(refuses_what_the_core_refuses, options=options, expected=expected)
        yield Promise(f"a provider refuses {options}", ("UI1", "PV1"), check)


def everything_of(connection: WebSocketStore) -> Layout:
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        for component in COMPONENTS:
            yield getattr(kit, component)(connection)

    return layout


async def leaves_the_programs_connection_alone(kit: Kit, *, messages: int) -> None:
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
            posted_on(connection).store,
            backlog_of(connection).has_older,
            backlog_of(connection).is_loading,
        )
        async with assert_no_leaks(*stores), kit.running() as program:
            for _ in range(3):
                screen = await program.open(everything_of(connection), server)
                await screen.open_inspector()
                speaking = asyncio.ensure_future(speak())
                await asyncio.sleep(SETTLING)
                await screen.leave()
                speaking.cancel()
        assert not connection.messages._writer._on_append
        assert connection.connected.value
        assert len(server.open_connections) == 1


def by_type() -> Topics:
    return Topics(
        key=lambda data: data.get("type"),
        subscribe=lambda keys: {"subscribe": list(keys)},
        unsubscribe=lambda keys: {"unsubscribe": list(keys)},
        requests=None,
    )


async def releases_what_was_subscribed_for_a_component(kit: Kit) -> None:
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        shown = kit.ConnectionStatus(connection)
        for key in ("price", "news"):
            shown.scope.on_destroy(connection.subscribe(key).unsubscribe)
        yield shown

    server = FakeServer()
    async with WebSocketStore(URL, transport=server, protocol=by_type()) as connection:
        await connection.ready()
        async with connection.subscribe("price") as of_the_program:
            await of_the_program.ready()
            async with assert_no_leaks(), kit.running() as program:
                screen = await program.open(layout, server)
                await asyncio.sleep(SETTLING)
                await screen.leave()
                await asyncio.sleep(SETTLING)
            assert of_the_program.state.value.phase == "subscribed"
            said = [json.loads(str(frame)) for frame in server.received]
            assert said == [
                {"subscribe": ["price"]},
                {"subscribe": ["news"]},
                {"unsubscribe": ["news"]},
            ], said


async def a_provider_of_a_page_carries_a_protocol_and_releases_what_was_subscribed(
    kit: Kit,
) -> None:
    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider(URL, transport=server, protocol=by_type()) as provider:
            yield kit.ConnectionStatus()
        handles.append(provider.connection.subscribe("price"))

    handles: list[Subscription[Any]] = []
    server = FakeServer()
    async with assert_no_leaks(), kit.running() as program:
        screen = await program.open(layout, server)
        await asyncio.sleep(SETTLING)
        assert [handle.state.value.phase for handle in handles] == ["subscribed"]
        await screen.leave()
        await asyncio.sleep(SETTLING)
        assert [handle.state.value.phase for handle in handles] == ["ended"]


async def leaves_its_rooms_with_a_page(kit: Kit) -> None:
    server = RoomsServer()
    async with (
        assert_no_leaks(),
        WebSocketProvider(URL, transport=server, protocol=Centrifuge()) as connection,
        kit.running() as program,
    ):
        await connection.ready()
        screen = await program.open(rooms_around, server)
        await asyncio.sleep(SETTLING)
        assert screen.look().members == "1 here: Ann"
        await screen.leave()
        await asyncio.sleep(SETTLING)
        left = [each["channel"] for each in server.commands("unsubscribe")]
        assert sorted(left) == ["lobby", "tides"], left
        assert connection.connected.value


def rooms_around(kit: ModuleType, server: FakeServer) -> Iterator[object]:
    """Rooms of the connection that the program provides around its pages."""
    for room in ("lobby", "tides"):
        with kit.SubscriptionProvider(room, WITH_MEMBERS):
            yield kit.ChatMembers()
            yield kit.ChatMessages()
            yield kit.ChatInput()
            yield kit.LiveList(lambda data: data["content"])


async def a_hundred_pages_leave_nothing_on_either_side(kit: Kit) -> None:
    def stores() -> int:
        gc.collect()
        return sum(isinstance(one, WebSocketStore) for one in gc.get_objects())

    server = FakeServer(repeat(accept(), accept(), refuse(), hang(), accept(), freeze()))
    async with kit.running() as program:
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


PROMISES = (
    *lost_components(),
    Promise(
        "the providers of the program surround its pages",
        ("UI1", "PV2"),
        the_programs_providers_surround_its_pages,
    ),
    *refused_providers(),
    *(
        Promise(
            f"a page leaves a connection of the program as it was, with {messages} messages",
            ("UI6", "LC2", "LC5"),
            partial(leaves_the_programs_connection_alone, messages=messages),
        )
        for messages in (0, 1000)
    ),
    Promise(
        "what was subscribed for a component is released with its page",
        ("UI6", "SU1", "LC1"),
        releases_what_was_subscribed_for_a_component,
    ),
    Promise(
        "a page's provider carries a protocol, and releases what was subscribed in it",
        ("UI6", "SU1", "PV1", "PV5"),
        a_provider_of_a_page_carries_a_protocol_and_releases_what_was_subscribed,
    ),
    Promise(
        "a page's rooms are left with it, and the program's connection stays",
        ("SU9", "UI6", "PV2"),
        leaves_its_rooms_with_a_page,
    ),
    Promise(
        "a hundred pages leave nothing on either side",
        ("UI6", "LC2", "LC3", "LC5"),
        a_hundred_pages_leave_nothing_on_either_side,
    ),
)
