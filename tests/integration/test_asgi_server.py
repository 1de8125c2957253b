"""Our own server in the process of the test, in real time: its history has a thread of its own."""

from __future__ import annotations

import asyncio

import pytest

from sockstore import ConnectionEnded, WebSocketStore
from sockstore.server import create_app
from sockstore.testing import asgi_transport
from waiting import PATIENCE

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("TK2")]


def connected(transport, path: str, **options) -> WebSocketStore:
    return WebSocketStore(f"ws://localhost{path}", transport=transport, **options)


async def test_our_own_server_answers_and_two_clients_share_a_room():
    async with (
        asgi_transport(create_app()) as transport,
        connected(transport, "/chat/tea") as ann,
        connected(transport, "/chat/tea") as bob,
    ):
        stream = bob.stream()
        await ann.ready()
        await bob.ready()
        ann.send({"content": "hello", "timestamp": "2026-05-01T10:00:00.000Z"})
        async with asyncio.timeout(PATIENCE):
            async for message in stream:
                if message.data.get("content") == "hello":
                    break


async def test_our_own_server_refuses_with_its_words():
    async with (
        asgi_transport(create_app()) as transport,
        connected(transport, "/nowhere", reconnect=False) as connection,
    ):
        with pytest.raises(ConnectionEnded, match="HTTP 404 Not Found: There is nothing at"):
            await connection.ready()


async def test_all_who_are_in_a_room_are_told_when_one_leaves():
    async with (
        asgi_transport(create_app()) as transport,
        connected(transport, "/chat/tea") as bob,
    ):
        await bob.ready(PATIENCE)
        stream = bob.stream()
        async with connected(transport, "/chat/tea?name=Ann") as ann:
            await ann.ready(PATIENCE)
        async with asyncio.timeout(PATIENCE):
            async for message in stream:
                if (message.data["type"], message.data.get("sender")) == ("leave", "Ann"):
                    break
