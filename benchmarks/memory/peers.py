"""Open connections with each client as its own documentation shows it, with its defaults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

__all__ = ["PEERS", "Peer"]


class Peer(NamedTuple):
    """The functions that use one library.

    Args:
        connect: Opens one connection to a url, and returns when it is open.
        echo: Sends a text over a connection, and returns the answer of the server.
    """

    connect: Callable[[str], Awaitable[Any]]
    echo: Callable[[Any, str], Awaitable[object]]


async def sockstore_peer(stack: AsyncExitStack) -> Peer:
    """Our own connection: reconnecting, with stores, an outbox and pings."""
    del stack
    from sockstore import WebSocketStore

    async def connect(url: str) -> WebSocketStore:
        connection = WebSocketStore(url)
        connection.connect()
        await connection.ready()
        return connection

    async def echo(connection: WebSocketStore, text: str) -> object:
        answers = connection.stream()
        connection.send(text)
        return (await anext(answers)).data

    return Peer(connect, echo)


async def sockstore_room_peer(stack: AsyncExitStack) -> Peer:
    """Our own connection with one room of `Centrifuge`."""
    del stack
    from sockstore import Subscription, WebSocketStore
    from sockstore.protocols import Centrifuge

    async def connect(url: str) -> Subscription[Any]:
        connection = WebSocketStore(url.replace("/echo", "/room"), protocol=Centrifuge())
        connection.connect()
        room = connection.subscribe("feed")
        await room.ready()
        return room

    async def echo(room: Subscription[Any], text: str) -> object:
        answers = room.stream()
        room.send(text)
        return (await anext(answers)).data

    return Peer(connect, echo)


async def websockets_peer(stack: AsyncExitStack) -> Peer:
    """Bare `websockets`: no compression, which alone would take 32 KiB; pings as by default."""
    del stack
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.client import connect as open_connection

    async def connect(url: str) -> ClientConnection:
        return await open_connection(url, compression=None)

    async def echo(connection: ClientConnection, text: str) -> object:
        await connection.send(text)
        return await connection.recv()

    return Peer(connect, echo)


async def picows_peer(stack: AsyncExitStack) -> Peer:
    """The core of picows: callbacks on frames; no pings by default."""
    del stack
    import asyncio

    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    class Listener(WSListener):
        __slots__ = ("answer", "transport")
        answer: asyncio.Future[str]
        transport: WSTransport

        def on_ws_connected(self, transport: WSTransport) -> None:
            self.transport = transport

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            del transport
            self.answer.set_result(frame.get_payload_as_utf8_text())

    async def connect(url: str) -> WSListener:
        _, listener = await ws_connect(Listener, url)
        return listener

    async def echo(listener: Listener, text: str) -> object:
        listener.answer = asyncio.get_running_loop().create_future()
        listener.transport.send(WSMsgType.TEXT, text.encode())
        return await listener.answer

    return Peer(connect, echo)


async def aiohttp_peer(stack: AsyncExitStack) -> Peer:
    """aiohttp: one session for all connections; no pings and no compression by default."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def connect(url: str) -> aiohttp.ClientWebSocketResponse[Any]:
        return await session.ws_connect(url)

    async def echo(connection: aiohttp.ClientWebSocketResponse[Any], text: str) -> object:
        await connection.send_str(text)
        return await connection.receive_str()

    return Peer(connect, echo)


PEERS: dict[str, Callable[[AsyncExitStack], Awaitable[Peer]]] = {
    "sockstore": sockstore_peer,
    "sockstore-room": sockstore_room_peer,
    "websockets": websockets_peer,
    "picows": picows_peer,
    "aiohttp": aiohttp_peer,
}
"""The function that starts each library; the stack is left when the program ends."""
