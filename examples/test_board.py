"""Test the protocol of `board.py` against a fake server: `pytest examples/test_board.py`."""

import asyncio
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from board import Boards

from sockstore import DeliveryError, Subscription, SubscriptionRefused, WebSocketStore
from sockstore.protocols import Frame
from sockstore.testing import FakeClient, FakeServer, assert_no_leaks, check_protocol

URL = "ws://boards"


async def serve(client: FakeClient) -> None:
    """Play the server: a board that is at version 7, and one that nobody may see."""
    async for frame in client:
        match json.loads(frame):
            case {"join": "secret" as key}:
                await client.send({"board": key, "refused": "no access"})
            case {"join": "summary" as key, "of": board}:
                for part in ("Two cards", f"on {board}"):
                    await client.send({"board": key, "part": part})
                await client.send({"board": key, "ended": None})
            case {"join": key, "after": after}:
                recovered = None if after is None else after == 9
                await client.send({"board": key, "joined": 7, "recovered": recovered})
            case {"say": {"card": "locked"}, "n": n}:
                await client.send({"rejected": n, "why": "the list is locked"})
            case {"say": _, "n": n}:
                await client.send({"acknowledged": n})
            case {"ask": "who is here?", "n": n, "board": board}:
                await client.send({"answer": ["Ann", board], "n": n})
            case _:
                pass


async def numbers_of(board: Subscription[Any], wanted: int) -> list[Any]:
    await board.messages.wait_for(lambda messages: len(messages) >= wanted)
    return [message.data for message in board.messages.value]


@pytest.mark.virtual_clock
async def test_a_message_is_acknowledged_or_refused_by_the_server() -> None:
    async with (
        assert_no_leaks(),
        FakeServer(serve) as server,
        WebSocketStore(URL, transport=server, protocol=Boards()) as connection,
        connection.subscribe("todo") as board,
    ):
        await board.ready()
        moved, refused = board.send({"card": "milk"}), board.send({"card": "locked"})
        assert (await moved).state == "acknowledged"
        with pytest.raises(DeliveryError, match="the list is locked"):
            await refused
        assert await board.request("who is here?") == ["Ann", "todo"]


@pytest.mark.virtual_clock
async def test_a_version_that_is_left_out_is_a_gap_and_the_snapshot_is_loaded_again() -> None:
    loaded = iter(["snapshot 7", "snapshot 9"])
    async with (
        FakeServer(serve) as server,
        WebSocketStore(URL, transport=server, protocol=Boards()) as connection,
        connection.subscribe("todo", snapshot=lambda: next(loaded)) as board,
    ):
        await board.latest.wait_for(lambda newest: newest == "snapshot 7")
        server.send({"board": "todo", "version": 8, "change": "milk"})
        server.send({"board": "todo", "version": 10, "change": "bread"})
        assert await numbers_of(board, 4) == ["snapshot 7", "milk", "snapshot 9", "bread"]


@pytest.mark.virtual_clock
async def test_an_answer_in_parts_is_a_subscription_that_ends() -> None:
    async with (
        FakeServer(serve) as server,
        WebSocketStore(URL, transport=server, protocol=Boards()) as connection,
        connection.subscribe("summary", {"of": "todo"}) as answer,
    ):
        assert [part.data["part"] async for part in answer] == ["Two cards", "on todo"]
        assert answer.state.value.phase == "ended"
        with pytest.raises(SubscriptionRefused, match="no access"):
            await connection.subscribe("secret").ready()


@pytest.mark.virtual_clock
async def test_the_server_asks_on_a_board_and_the_program_answers() -> None:
    async with (
        FakeServer(serve) as server,
        WebSocketStore(URL, transport=server, protocol=Boards()) as connection,
        connection.subscribe("todo") as board,
    ):
        await board.ready()
        board.handle("may I?", lambda card: card == "milk")
        server.send({"call": 1, "name": "may I?", "data": ["milk"], "board": "todo"})
        await asyncio.sleep(1)
        assert json.loads(server.received[-1]) == {"call": 1, "result": True}


class Model:
    """The server's side of one connection, for `check_protocol`."""

    def __init__(self) -> None:
        self.subscribed: dict[Hashable, int] = {}

    def greet(self) -> Iterable[Frame]:
        return []

    def hear(self, frame: Frame) -> Iterable[Frame]:
        match json.loads(frame):
            case {"join": "secret" as key}:
                return [json.dumps({"board": key, "refused": "no access"})]
            case {"join": key}:
                self.subscribed[key] = 1
                return [json.dumps({"board": key, "joined": 1, "recovered": None})]
            case {"leave": key}:
                del self.subscribed[key]
                return []
            case {"ask": question, "n": n}:
                return [json.dumps({"answer": question, "n": n})]
            case _:
                return []

    def publish(self, key: Hashable, data: Any) -> Iterable[Frame]:
        self.subscribed[key] += 1
        return [json.dumps({"board": key, "version": self.subscribed[key], "change": data})]


class Harness:
    protocol = Boards()
    given: ClassVar[Mapping[str, Any]] = {}
    keys: Sequence[Hashable] = ("todo", "done", "later")
    refused_key = "secret"
    server = Model


def test_the_protocol_keeps_the_contract_of_protocols() -> None:
    check_protocol(Harness())
