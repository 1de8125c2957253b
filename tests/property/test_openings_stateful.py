"""Openings against a model: what is said, taken, left, cut or late; each message comes once."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict

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

from greeting_server import GreetingServer
from sockstore import ConnectionEnded, HandshakeFailed, Opening, Reconnect, WebSocketStore
from sockstore.protocols import BaseProtocol
from sockstore.testing import VirtualClock

DEADLINE, WAIT = 8.0, 1.0
MOST_HELD = 4 * 2**20


class Greeting(GreetingServer):
    """Says its first words in the read of the handshake."""

    def __init__(self, story: OpeningStories) -> None:
        super().__init__()
        self.story = story

    def greet(self, peer: object) -> None:
        self.story.expected_error = ""
        self.story.say(self.story.greetings, 10)


class OpeningStories(RuleBasedStateMachine):
    """The server's messages are (connection, number); the model knows who must have got each."""

    @initialize(greetings=st.integers(0, 3), has_protocol=st.booleans(), queued=st.integers(0, 2))
    def start(self, greetings, has_protocol, queued):
        self.greetings = greetings
        self.clock = VirtualClock()
        self.loop = self.clock.new_event_loop()
        self.reported: list[object] = []  # what subscribers raise, assertions too
        self.loop.set_exception_handler(lambda _, context: self.reported.append(context))
        self.said: dict[int, list[int]] = defaultdict(list)  # by connection: what was said on it
        self.taken: dict[int, list[int]] = defaultdict(list)  # what its on_open received
        self.delivered: dict[int, list[int]] = defaultdict(list)  # what everybody got
        self.opened: set[int] = set()  # the connections that were open
        self.ended: set[int] = set()  # those that the server ended before they were open
        self.cut: set[int] = set()  # those that ended, perhaps with bytes that nobody read
        self.expected_error = ""
        self.openings: list[tuple[int, Opening]] = []
        self.server = Greeting(self)
        self.commands: asyncio.Queue[str] = asyncio.Queue()
        self.busy = False  # whether on_open carries out a command
        self.run(self.connect(has_protocol, queued))

    async def connect(self, has_protocol, queued):
        self.connection = WebSocketStore(
            "ws://fake",
            transport=self.server,
            on_open=self.on_open,
            protocol=BaseProtocol() if has_protocol else None,
            connect_timeout=DEADLINE,
            reconnect=Reconnect(schedule=lambda attempt, outcome: WAIT, min_uptime=0),
            history=0,
        )
        self.connection.messages.on_append(self.got)
        self.connection.state.subscribe(self.saw)
        self.queued = [self.connection.send(f"queued {n}") for n in range(queued)]
        self.connection.connect()
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        """Read with a small limit: what an opening left waits for readers, as all messages do."""
        async for _ in self.connection.stream(limit=4):
            pass

    def run(self, what=None):
        async def settle():
            if what is not None:
                await what
            await asyncio.sleep(0.01)

        self.loop.run_until_complete(settle())

    # What the connection does

    def got(self, message):
        data = json.loads(message.data) if isinstance(message.data, str) else message.data
        connection, number = data["at"]
        assert connection in self.opened, "a message of a connection that was not open yet"
        self.delivered[connection].append(number)

    def saw(self, state):
        if state.phase == "open":
            assert self.newest not in self.ended, "it was open after its end"
            self.opened.add(self.newest)
        if state.phase == "waiting" and self.newest not in self.opened:
            assert isinstance(state.exception, HandshakeFailed)
            assert self.expected_error in state.error

    async def on_open(self, opening):
        number = self.newest
        self.openings.append((number, opening))
        self.commands = asyncio.Queue()
        while True:
            self.busy = False
            command = await self.commands.get()
            self.busy = True
            match command:
                case "receive":
                    data = (await opening.receive()).data
                    data = json.loads(data) if isinstance(data, str) else data
                    self.taken[number].append(data["at"][1])
                    assert data["at"][0] == number
                case "send":
                    assert opening.send("from on_open").state == "sent"
                case "leave":
                    return
                case "raise":
                    raise OSError("not today")
                case "refresh":
                    raise opening.unauthorised("who are you?")

    async def begin_again(self):
        with pytest.raises(ConnectionEnded):
            await self.reader
        self.connection.connect()
        self.reader = asyncio.ensure_future(self.read())

    @property
    def newest(self) -> int:
        return len(self.server.connections)

    def say(self, count, size):
        if self.newest and self.server.connection.is_open:
            said = self.said[self.newest]
            frames = []
            for _ in range(count):
                said.append(len(said))
                data = {"at": [self.newest, said[-1]], "filling": "x" * size}
                frames.append(json.dumps(data))
            self.server.connection.send(*frames)

    @property
    def is_opening(self) -> bool:
        return self.connection.phase.value == "connecting" and bool(self.openings)

    # Rules

    @rule(count=st.integers(1, 5), size=st.sampled_from([10, 10, 900_000]))
    def the_server_speaks(self, count, size):
        self.say(count, size)
        self.run()

    @precondition(lambda self: self.is_opening)
    @rule(command=st.sampled_from(["receive"] * 5 + ["send", "leave", "leave", "raise", "refresh"]))
    def on_open_does(self, command):
        if command in {"raise", "refresh"} and not self.busy:
            self.expected_error = {"raise": "not today", "refresh": "who are you?"}[command]
        self.commands.put_nowait(command)
        self.run()
        if self.connection.phase.value == "failed":
            self.run(self.begin_again())

    @precondition(lambda self: self.newest and self.server.connection.is_open)
    @rule(how=st.sampled_from([1000, 1005, 1001, 1012, "drop"]))
    def the_server_ends_it(self, how):
        self.cut.add(self.newest)
        self.expected_error = ""
        before = self.connection.phase.value
        if before == "connecting" and not self.server.connection.transport.reading_paused:
            self.ended.add(self.newest)
        self.server.drop() if how == "drop" else self.server.close(how)
        self.run()
        assert self.connection.phase.value in {before, "waiting"}
        assert self.connection.phase.value != "closed"

    @rule(seconds=st.sampled_from([0.1, 0.1, WAIT + 0.1, WAIT + 0.1, DEADLINE + 0.1]))
    def time_passes(self, seconds):
        if self.is_opening and seconds > DEADLINE and self.server.connection.is_open:
            self.cut.add(self.newest)
            self.expected_error = ""
        self.run(asyncio.sleep(seconds))

    @rule(how=st.sampled_from(["reconnect", "close"]))
    def the_program_ends_it(self, how):
        self.cut.add(self.newest)
        self.run(self.end(how))

    async def end(self, how):
        if how == "close":
            await self.connection.aclose()
            assert self.connection.phase.value == "closed"
            await self.reader
            self.connection.connect()
            self.reader = asyncio.ensure_future(self.read())
        else:
            self.connection.reconnect()

    @rule(
        before=st.integers(0, 8),
        size=st.sampled_from([10, 900_000]),
        takes=st.integers(0, 4),
        after=st.integers(0, 4),
        end=st.sampled_from(["leave", "leave", "close, leave", "close, raise", "raise"]),
    )
    def a_whole_opening(self, before, size, takes, after, end):
        self.cut.add(self.newest)
        self.run(self.end("reconnect"))
        self.say(before, size)
        self.run()
        for _ in range(min(takes, len(self.said[self.newest]))):
            self.on_open_does("receive")
        self.say(after, size)
        self.run()
        if end.startswith("close"):
            self.the_server_ends_it(1000)
        if self.is_opening:
            self.on_open_does(end.split()[-1])

    # Laws

    @invariant()
    def no_subscriber_saw_what_must_not_be(self):
        assert self.reported == []

    @invariant()
    def each_message_comes_once_and_in_order(self):
        for number in range(1, self.newest + 1):
            said, taken = self.said[number], self.taken[number]
            assert taken == said[: len(taken)]
            delivered = self.delivered[number]
            assert delivered == said[len(taken) :][: len(delivered)]
            assert number in self.opened or not delivered
        if self.connection.phase.value == "open" and self.newest not in self.cut:
            number = self.newest
            assert self.taken[number] + self.delivered[number] == self.said[number]

    @invariant()
    def what_on_open_waits_for_is_given(self):
        if self.is_opening and self.newest not in self.cut:
            has_more = len(self.taken[self.newest]) < len(self.said[self.newest])
            assert self.commands.empty() or not has_more

    @invariant()
    def reading_is_paused_only_while_too_much_waits(self):
        if self.newest and self.connection.phase.value == "open":
            transport = self.server.connection.transport
            assert not transport.reading_paused

    @invariant()
    def an_opening_that_is_over_refuses(self):
        for number, opening in self.openings[-2:]:
            if number != self.newest or self.connection.phase.value != "connecting":
                with pytest.raises(RuntimeError, match="had ended"):
                    opening.send("late")

    @invariant()
    def the_outbox_leaves_behind_on_open(self):
        for peer in self.server.connections:
            at = [text == "from on_open" for text in peer.received]
            assert at == sorted(at, reverse=True)

    def teardown(self):
        if hasattr(self, "connection"):
            self.run(self.connection.aclose())
            assert self.reader.done()
            assert self.reader.exception() is None
            assert all(each.state in {"sent", "dropped", "unknown"} for each in self.queued)
            self.loop.close()


@pytest.mark.contract("OP1", "OP2", "OP3", "OP6")
def test_an_opening_keeps_its_laws_in_every_story():
    run_state_machine_as_test(
        OpeningStories, settings=settings(max_examples=30, stateful_step_count=20, deadline=None)
    )
