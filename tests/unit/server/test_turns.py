"""Requests begin one in each turn of the event loop, in their order."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from sockstore.server.middleware import Turns

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SV11")]


async def receive() -> dict[str, Any]:
    return {}


async def send(event: object) -> None:
    del event


async def test_one_request_begins_in_each_turn_and_the_others_wait_in_their_order():
    begun: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])

    turns = Turns(app)
    paths = [str(number) for number in range(20)]
    tasks = [
        asyncio.create_task(turns({"type": "http", "path": path}, receive, send)) for path in paths
    ]
    tasks[5].cancel()
    counts = []
    while not all(task.done() for task in tasks):
        counts.append(len(begun))
        await asyncio.sleep(0)
    assert begun == [path for path in paths if path != "5"]
    assert all(after - before <= 1 for before, after in itertools.pairwise(counts))


async def test_the_lifespan_waits_for_nothing():
    begun = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["type"])

    with pytest.raises(StopIteration):
        Turns(app)({"type": "lifespan"}, receive, send).send(None)
    assert begun == ["lifespan"]
