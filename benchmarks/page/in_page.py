"""Receive a flood inside the page: with sockstore, or by a callback for each message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

__all__ = ["callback", "sockstore"]


async def sockstore(url: str, count: int) -> None:
    """Receive as users of sockstore do: decoded, kept, delivered to `on_append`."""
    from sockstore import Message, WebSocketStore

    done = asyncio.Event()
    took = _counter(count, done.set)

    def received(message: Message) -> None:
        took(message.data)

    connection = WebSocketStore(url)
    connection.messages.on_append(received)
    async with connection:
        await connection.ready()
        connection.send("go")
        await done.wait()


async def callback(url: str, count: int) -> None:
    """Receive without a library: the browser calls Python for each message."""
    from sockstore.transports.browser import Listening, window

    done = asyncio.Event()
    took = _counter(count, done.set)
    socket = window.WebSocket.new(url)
    listening = (
        Listening(socket, "open", lambda _: socket.send("go")),
        Listening(socket, "message", lambda event: took(json.loads(event.data))),
    )
    await done.wait()
    for each in listening:
        each.stop()
    socket.close()


def _counter(count: int, done: Callable[[], object]) -> Callable[[Any], None]:
    left = count

    def took(data: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            if data["id"] != count:
                raise AssertionError(f"the last message is number {data['id']}, not {count}")
            done()

    return took
