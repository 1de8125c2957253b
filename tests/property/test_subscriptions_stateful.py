"""A whole connection with subscriptions: what the server is asked for, and what each reader gets.

Each step runs on one virtual clock until all that it caused has happened. The server asserts that
it is asked for nothing that it has, and told to take back nothing that it has not (`markets.py`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from integration.markets import Market, by_answers, by_ids
from sockstore import Reconnect, WebSocketStore
from sockstore.testing import VirtualClock
from waiting import turns

KEYS = ("a", "b", "c")
keys = st.sampled_from(KEYS)


class Reader:
    """One handle, and what its stream got."""

    def __init__(
        self, story: Story, key: str, *, loads: bool, linger: float, spawns: str | None
    ) -> None:
        self.story = story
        self.key = key
        self.spawns = spawns  # what its first message makes it subscribe to
        self.got: list[Any] = []
        self.loads = loads
        self.linger = linger
        self.is_released = False
        self.refused: str | None = None
        self.handle = story.connection.subscribe(
            key, snapshot=self.load if loads else None, linger=linger
        )
        self.stream = self.handle.stream(gaps=True, limit=10_000)
        self.handle.messages.on_append(self.called)

    async def load(self) -> str:
        if self.story.loads_fail:
            raise OSError("no snapshot")
        await asyncio.sleep(0.3)
        return "snapshot"

    def called(self, message: Any) -> None:
        assert not self.is_released
        spawns, self.spawns = self.spawns, None
        if spawns is not None:
            self.story.add(spawns)

    def release(self) -> None:
        self.is_released = True
        self.handle.unsubscribe()

    async def read(self) -> None:
        """Take what waits in the stream."""
        while self.stream.lag:
            message = await anext(self.stream)
            self.got.append(message.data["n"] if message.kind == "json" else message.kind)

    def check(self) -> None:
        """Each message once and in order; behind a gap comes a snapshot before messages."""
        numbers = [each for each in self.got if isinstance(each, int)]
        assert numbers == sorted(set(numbers))
        published = self.story.published[self.key]
        assert set(numbers) <= set(published)
        owes = self.loads
        for each in self.got:
            if each == "gap":
                owes = self.loads
            elif each == "snapshot":
                owes = False
            else:
                assert not owes
        if "gap" not in self.got and numbers:
            # Nothing is missing between the first and the last one.
            begin, end = numbers[0], numbers[-1]
            assert numbers == [n for n in published if begin <= n <= end]


class Story(RuleBasedStateMachine):
    protocol = by_answers

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner(loop_factory=VirtualClock().new_event_loop)
        self.readers: list[Reader] = []
        self.number = 0
        self.published: dict[str, list[int]] = {key: [] for key in KEYS}
        self.loads_fail = False
        self.reported: list[Any] = []
        self.runner.get_loop().set_exception_handler(
            lambda _, context: self.reported.append(context)
        )
        self.market = Market()
        self.connection = WebSocketStore(
            "ws://market",
            transport=self.market,
            protocol=self.protocol,
            reconnect=Reconnect.linear(1.0, attempts=None, jitter=0.0),
            ping_interval=None,
        )
        self.do(self.connection.connect)

    def do(self, *steps: Any) -> None:
        """Make some steps in one turn of the loop, then wait until all is quiet."""

        async def run() -> None:
            for step in steps:
                step()
            await turns(30)
            for reader in self.readers:
                await reader.read()

        self.runner.run(run())

    @property
    def live(self) -> list[Reader]:
        return [each for each in self.readers if not (each.is_released or each.refused)]

    def add(
        self, key: str, *, loads: bool = False, linger: float = 0.0, spawns: Any = None
    ) -> None:
        self.readers.append(Reader(self, key, loads=loads, linger=linger, spawns=spawns))

    # The program

    @rule(key=keys, loads=st.booleans(), linger=st.sampled_from([0.0, 0.0, 3.0]))
    def subscribe(self, key: str, loads: bool, linger: float) -> None:
        self.do(lambda: self.add(key, loads=loads, linger=linger))

    @rule(key=keys, spawns=keys)
    def subscribe_with_a_callback_that_subscribes(self, key: str, spawns: str) -> None:
        self.do(lambda: self.add(key, spawns=spawns))

    @rule(key=keys)
    def subscribe_and_release_in_a_turn(self, key: str) -> None:
        said = len(self.market.visit.said) if self.market.visits else 0
        is_there = any(each.key == key for each in self.readers)

        def both() -> None:
            for _ in range(3):
                self.add(key)
                self.readers[-1].release()

        self.do(both)
        if self.market.visits and not is_there:
            assert len(self.market.visit.said) == said

    @precondition(lambda self: self.live)
    @rule(data=st.data(), again=st.booleans())
    def release(self, data: Any, again: bool) -> None:
        reader = data.draw(st.sampled_from(self.live))
        if again:
            said = list(self.market.visit.said) if self.market.visits else []
            was_there = self.connection.connected.value and reader.key in self.market.visit.has
            self.do(reader.release, lambda: self.add(reader.key))
            if was_there:
                assert self.market.visit.said == said, "nothing is said, as it is wanted still"
        else:
            self.do(reader.release)

    @rule()
    def fail_to_load(self) -> None:
        self.loads_fail = not self.loads_fail

    @rule()
    def lose(self) -> None:
        self.do(lambda: self.connection.lose("the program says so"))

    @rule(seconds=st.sampled_from([0.2, 1.0, 4.0, 70.0]))
    def wait(self, seconds: float) -> None:
        async def run() -> None:
            await asyncio.sleep(seconds)
            await turns(30)
            for reader in self.readers:
                await reader.read()

        self.runner.run(run())

    # The server

    @rule(key=keys, count=st.integers(1, 3))
    def publish(self, key: str, count: int) -> None:
        if not self.connection.connected.value or key not in self.market.visit.has:
            return
        numbers = list(range(self.number + 1, self.number + 1 + count))
        self.number += count
        self.published[key] += numbers
        waiting = [each for each in self.live if each.key == key]
        self.do(lambda: self.market.publish(key, *numbers))
        for reader in waiting:
            if not reader.loads:
                assert reader.got[-count:] == numbers, "at once, and whole"

    @rule()
    def drop(self) -> None:
        self.do(self.market.drop)

    @rule()
    def go_down(self) -> None:
        self.do(self.market.go_down)

    @rule()
    def come_up(self) -> None:
        self.do(self.market.come_up)

    @rule(key=keys, words=st.sampled_from(["never", "later: busy"]))
    def refuse(self, key: str, words: str) -> None:
        """It refuses a key from now on, or not any more."""
        if self.market.refusals.pop(key, None) is None:
            self.market.refusals[key] = words

    @rule(key=keys)
    def end(self, key: str) -> None:
        if self.connection.connected.value and key in self.market.visit.has:
            self.do(lambda: self.market.end(key, "delisted"))

    # What holds

    @invariant()
    def each_reader_has_what_it_was_promised(self) -> None:
        for reader in getattr(self, "readers", ()):
            state = reader.handle.state.value
            if state.phase == "refused" or (state.phase == "ended" and state.error):
                reader.refused = state.error
            reader.check()

    @invariant()
    def what_is_shown_is_so(self) -> None:
        if not hasattr(self, "readers"):
            return
        is_open = self.connection.connected.value
        has = self.market.visit.has if is_open else set()
        for reader in self.live:
            phase = reader.handle.state.value.phase
            if phase == "subscribed":
                assert reader.key in has
            elif not is_open:
                assert phase == "waiting"
        # All has been said: it has no more than what is wanted, or lingers.
        lingering = {each.key for each in self.readers if each.linger}
        assert has <= {each.key for each in self.live} | lingering

    @rule()
    def all_is_well_again(self) -> None:
        self.market.come_up()
        self.market.refusals.clear()
        self.loads_fail = False
        self.wait(70.0)
        self.each_reader_has_what_it_was_promised()
        assert self.connection.connected.value
        assert self.market.visit.has == {each.key for each in self.live}
        for reader in self.live:
            assert reader.handle.state.value.phase == "subscribed"
            self.publish(reader.key, 1)
            assert reader.got[-1] == self.number, "a snapshot that was owed is loaded"
        assert len(self.connection.messages) == 0

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        for reader in self.live:
            reader.release()
        self.runner.run(self.connection.aclose())
        unexpected = [
            context for context in self.reported if "snapshot" not in str(context.get("message"))
        ]
        self.runner.close()
        assert not unexpected, unexpected


class StoryByIds(Story):
    """Answers carry the id of their question; one refusal says nothing about each."""

    protocol = by_ids

    @rule()
    def end(self) -> None:
        """The server of this protocol ends nothing."""

    @rule()
    def refuse(self) -> None:
        """All its refusals are final."""
        if self.market.refusals.pop("c", None) is None:
            self.market.refusals["c"] = "no such key"


@pytest.mark.contract("SU1", "SU2", "SU3", "SU4", "SU6", "SU7")
@pytest.mark.parametrize("story", [Story, StoryByIds])
def test_whatever_happens_the_server_is_asked_for_what_is_wanted_and_readers_are_told(story):
    run_state_machine_as_test(
        story, settings=settings(deadline=None, stateful_step_count=40, max_examples=30)
    )
