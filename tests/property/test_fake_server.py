"""What a fake server and its clients say arrives once and in order, however it is cut."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import Reconnect, WebSocketStore
from sockstore.testing import FakeServer, VirtualClock, slow
from sockstore.transports.base import Target, TransportOptions
from sockstore.transports.memory import MemoryNetwork

pytestmark = pytest.mark.contract("TK2")

SIZES = st.sampled_from([0, 1, 100, 5_000, 16_382, 16_383, 40_000])
MESSAGES = st.builds(
    lambda size, binary: b"x" * size if binary else "y" * size, SIZES, st.booleans()
)
WRITES = st.lists(st.lists(MESSAGES, min_size=1, max_size=8), max_size=8)

READ_BYTES = 16 * 2**10


class Reader:
    """A listener that takes as many messages of each run as it was told, and may end the slice."""

    def __init__(self, habits: list[tuple[int, bool]]) -> None:
        self.habits = itertools.cycle(habits)
        self.messages: list[str | bytes] = []
        self.slices: list[int] = []  # bytes of the messages of each
        self.events: list[str] = []

    def opened(self, socket) -> None:
        self.events.append("opened")

    def begin_slice(self):
        self.slices.append(0)
        return self

    def texts(self, messages) -> bool:
        takes, is_over = next(self.habits)
        for message in itertools.islice(messages, takes):
            self.messages.append(message)
            self.slices[-1] += len(message)
        return is_over

    binaries = texts

    def end_slice(self) -> None:
        pass

    def pong_received(self, payload) -> None:
        pass

    def closed(self, close, why, cause=None) -> None:
        self.events.append("closed")

    def released(self) -> None:
        self.events.append("released")


@given(
    writes=WRITES,
    habits=st.lists(st.tuples(st.integers(1, 100), st.booleans()), min_size=1, max_size=4),
    latency=st.sampled_from([0.0, 0.3]),
)
def test_messages_arrive_once_and_in_order_in_any_slices(writes, habits, latency):
    reader = Reader(habits)

    async def story() -> None:
        def accept(peer) -> None:
            peer.accept()
            for write in writes:
                peer.send(*write)
            peer.close()

        transport = MemoryNetwork(accept, latency)(reader, TransportOptions())
        await transport.open(Target(url="ws://fake"))
        await asyncio.sleep(10)

    VirtualClock().run(story())
    assert reader.messages == [message for write in writes for message in write]
    assert reader.events == ["opened", "closed", "released"]
    largest = max([len(message) for message in reader.messages], default=0)
    assert max(reader.slices, default=0) <= READ_BYTES + largest


CLIENT = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 40)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.1, 3.0])),
    st.tuples(st.sampled_from(["drop", "close", "reconnect"]), st.none()),
)


@given(
    acts=st.lists(CLIENT, max_size=12),
    pace=st.sampled_from([0.0, 0.01, 0.5]),
    latency=st.sampled_from([0.0, 0.05]),
)
def test_a_handler_reads_each_client_in_order_and_ends_with_it(acts, pace, latency):
    heard: list[list[int]] = []
    ended: list[int] = []

    async def listen(client) -> None:
        mine: list[int] = []
        heard.append(mine)
        try:
            async for message in client:
                mine.append(json.loads(message))
                if pace:
                    await asyncio.sleep(pace)
                await client.send({"heard": mine[-1]})
        finally:
            ended.append(len(ended))

    async def story() -> None:
        numbers = itertools.count()
        server = FakeServer(slow(latency), listen)
        async with WebSocketStore(
            "ws://fake",
            transport=server,
            outbox=None,
            reconnect=Reconnect(schedule=lambda attempt, outcome: 0.5),
        ) as connection:
            for act, value in acts:
                match act:
                    case "send":
                        for _ in range(value):
                            connection.send(next(numbers))
                    case "wait":
                        await asyncio.sleep(value)
                    case "drop":
                        server.drop()
                    case "close":
                        server.close(1012)
                    case "reconnect":
                        connection.reconnect()
        await asyncio.sleep(1)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert not tasks, "each handler ends with its client"
        for client, mine in zip(server.connections, heard, strict=True):
            arrived = [json.loads(frame) for frame in client.received]
            assert arrived[: len(mine)] == mine, "in order, and nothing twice"
            assert arrived == sorted(arrived)

    VirtualClock().run(story())
    assert len(ended) == len(heard)
