"""Scopes, providers and leases against a model: who finds which connection, whatever is left when.

Any number of tasks nest, enter and leave in any order, also each other's scopes; the model says
what each of them must find.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from inside import shared_connections, timers_of
from sockstore import (
    ProviderNotFound,
    Scope,
    ScopeClosed,
    WebSocketProvider,
    WebSocketStore,
    use_websocket,
)
from sockstore.testing import FakeServer, VirtualClock

NAMES = ("a", "b")
names = st.sampled_from(NAMES)


class Actor:
    """One task that does what it is told, in its own context."""

    def __init__(self) -> None:
        self.orders: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = (
            asyncio.Queue()
        )
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while True:
            order, answer = await self.orders.get()
            try:
                answer.set_result(await order())
            except Exception as error:
                answer.set_exception(error)

    async def do(self, order: Callable[[], Awaitable[Any]]) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self.orders.put_nowait((order, answer))
        return await answer


@dataclass(eq=False)
class Place:
    """The model of one scope: what is around it, what was entered into it, what it provides."""

    scope: Any
    around: Place | None
    name: str | None = None
    connection: WebSocketStore | None = None
    share: bool = False
    holds: bool = False
    entered: list[Place] = field(default_factory=list)
    is_left: bool = False

    def find(self, name: str) -> WebSocketStore | None:
        place: Place | None = self
        while place is not None:
            if not place.is_left:
                for provider in (*reversed(place.entered), place):
                    if provider.name == name and not provider.is_left:
                        return provider.connection
            place = place.around
        return None

    def leave(self) -> None:
        self.is_left, self.holds = True, False
        for provider in self.entered:
            provider.leave()


@dataclass(eq=False)
class Teller:
    """The model of one actor: where it is."""

    actor: Actor
    place: Place | None


class ScopesMachine(RuleBasedStateMachine):
    actors = Bundle("actors")
    places = Bundle("places")
    providers = Bundle("providers")

    @initialize(target=actors)
    def begin(self) -> Teller:
        self.runner = asyncio.Runner(loop_factory=VirtualClock().new_event_loop)
        self.server = FakeServer()
        self.known: list[Place] = []
        self.tellers: list[Teller] = []
        return self.run(self.hire(None))

    def run(self, story):
        return self.runner.run(story)

    async def hire(self, place: Place | None) -> Teller:
        teller = Teller(Actor(), place)
        self.tellers.append(teller)
        return teller

    def make(self, name: str, share: bool) -> WebSocketProvider:
        return WebSocketProvider(f"ws://{name}", name=name, share=share, transport=self.server)

    def now_in(self, teller: Teller) -> Place | None:
        place = teller.place
        while place is not None and place.is_left:
            place = place.around
        return place

    @rule(target=actors, parent=actors)
    def start_a_task(self, parent: Teller) -> Teller:
        async def story() -> Teller:
            return await parent.actor.do(lambda: self.hire(self.now_in(parent)))

        return self.run(story())

    @rule(target=places, teller=actors)
    def nest_a_scope(self, teller: Teller) -> Place:
        scope = Scope()
        self.run(teller.actor.do(scope.__aenter__))
        teller.place = Place(scope, self.now_in(teller))
        self.known.append(teller.place)
        return teller.place

    @rule(target=providers, teller=actors, name=names, share=st.booleans())
    def nest_a_provider(self, teller: Teller, name: str, share: bool) -> Place:
        provider = self.make(name, share)
        connection = self.run(teller.actor.do(provider.__aenter__))
        teller.place = Place(
            provider, self.now_in(teller), name, connection, share=share, holds=True
        )
        self.known.append(teller.place)
        return teller.place

    @rule(target=providers, teller=actors, place=places, name=names, share=st.booleans())
    def enter_a_provider(self, teller: Teller, place: Place, name: str, share: bool):
        provider = self.make(name, share)
        order = teller.actor.do(lambda: place.scope.enter(provider))
        if place.is_left:
            with pytest.raises(ScopeClosed):
                self.run(order)
            return multiple()
        connection = self.run(order)
        entered = Place(provider, place, name, connection, share=share, holds=True)
        place.entered.append(entered)
        self.known.append(entered)
        return entered

    @rule(place=st.one_of(places, providers), teller=actors)
    def leave(self, place: Place, teller: Teller) -> None:
        self.run(teller.actor.do(place.scope.aclose))
        place.leave()

    @rule(place=consumes(places), teller=actors)
    def leave_by_the_block(self, place: Place, teller: Teller) -> None:
        self.run(teller.actor.do(lambda: place.scope.__aexit__(None, None, None)))
        place.leave()

    @rule(place=providers)
    def disconnect(self, place: Place) -> None:
        async def story() -> None:
            place.connection.disconnect()

        self.run(story())
        place.holds = False

    @rule(place=providers)
    def connect(self, place: Place) -> None:
        async def story() -> None:
            place.connection.connect()

        if place.is_left:
            with pytest.raises(ScopeClosed):
                self.run(story())
        else:
            self.run(story())
            place.holds = True

    @rule(seconds=st.sampled_from([0.0, 1.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def everyone_finds_what_the_model_says(self) -> None:
        async def look(teller: Teller) -> None:
            async def ask() -> None:
                for name in NAMES:
                    expected = None if teller.place is None else teller.place.find(name)
                    try:
                        found = use_websocket(name)
                    except ProviderNotFound:
                        found = None
                    assert found is expected, (name, found, expected)

            await teller.actor.do(ask)

        async def story() -> None:
            for teller in self.tellers:
                await look(teller)

        if hasattr(self, "runner"):
            self.run(story())

    @invariant()
    def as_many_are_connected_as_are_held(self) -> None:
        async def story() -> None:
            await asyncio.sleep(0.1)
            held = [place for place in self.known if place.holds]
            single = [place for place in held if not place.share]
            shared = {place.name for place in held if place.share}
            assert len(self.server.open_connections) == len(single) + len(shared)
            for place in self.known:
                assert place.connection is None or place.connection.connected.value is place.holds

        if hasattr(self, "runner"):
            self.run(story())

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return

        async def story() -> None:
            for place in self.known:
                await place.scope.aclose()
            for teller in self.tellers:
                teller.actor.task.cancel()
            await asyncio.wait([teller.actor.task for teller in self.tellers])
            await asyncio.sleep(1)
            assert self.server.open_connections == []
            assert shared_connections() == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert timers_of(asyncio.get_running_loop()) == []

        self.run(story())
        self.runner.close()


@pytest.mark.contract("PV2", "PV3", "PV4", "PV5", "PV7", "LC1", "LC2", "LC3")
def test_lookups_and_leases_follow_the_model_in_whatever_order_scopes_are_left():
    run_state_machine_as_test(
        ScopesMachine,
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    gc.collect()
