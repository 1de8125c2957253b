"""Send with each library and receive its answers, as its own documentation shows it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

__all__ = ["EXCHANGERS", "SENDERS", "Exchange"]

AT_ONCE = 100
"""Messages that are sent before the sender waits until they have left."""


class Exchange(Protocol):
    """Chooses the messages; see `benchmarks.roundtrip.client`."""

    count: int
    in_flight: int
    seconds: float
    data: Any

    def begin(self) -> None:
        """Note that the first messages are sent now."""

    def came(self, data: Any) -> bool:
        """Count an answer; return whether another message is to be sent."""

    @property
    def is_over(self) -> bool:
        """Whether the last answer has come."""


async def sockstore(url: str, exchange: Exchange) -> None:
    """A connection with its defaults; the answers come to `on_append`."""
    from sockstore import Message, WebSocketStore

    done = asyncio.Event()
    connection = WebSocketStore(url)

    def answered(message: Message) -> None:
        if exchange.came(message.data):
            connection.send(exchange.data)
        elif exchange.is_over:
            done.set()

    connection.messages.on_append(answered)
    async with connection:
        await connection.ready()
        exchange.begin()
        for _ in range(exchange.in_flight):
            connection.send(exchange.data)
        await done.wait()


async def sockstore_sends(url: str, exchange: Exchange) -> None:
    """Send as fast as the connection takes it."""
    from sockstore import WebSocketStore

    done = asyncio.Event()
    connection = WebSocketStore(url)
    connection.messages.on_append(lambda _: done.set())
    async with connection:
        await connection.ready()
        begun = time.process_time()
        for _ in range(exchange.count // AT_ONCE):
            for _ in range(AT_ONCE):
                connection.send(exchange.data)
            await connection.drain()
        for _ in range(exchange.count % AT_ONCE):
            connection.send(exchange.data)
        await done.wait()
        exchange.seconds = time.process_time() - begun


async def picows(url: str, exchange: Exchange) -> None:
    """A bare listener with the codec that sockstore uses."""
    import msgspec
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type is not WSMsgType.TEXT:
                return
            if exchange.came(decode(frame.get_payload_as_memoryview())):
                transport.send(WSMsgType.TEXT, encode(exchange.data))
            elif exchange.is_over:
                transport.disconnect()

    transport, _ = await ws_connect(Listener, url)
    exchange.begin()
    for _ in range(exchange.in_flight):
        transport.send(WSMsgType.TEXT, encode(exchange.data))
    await transport.wait_disconnected()


async def picows_sends(url: str, exchange: Exchange) -> None:
    """Send as fast as the transport takes it."""
    import msgspec
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    encode = msgspec.json.Encoder().encode
    may_send = asyncio.Event()
    may_send.set()

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type is WSMsgType.TEXT:
                transport.disconnect()

        def pause_writing(self) -> None:
            may_send.clear()

        def resume_writing(self) -> None:
            may_send.set()

    transport, _ = await ws_connect(Listener, url)
    begun = time.process_time()
    for _ in range(exchange.count // AT_ONCE):
        for _ in range(AT_ONCE):
            transport.send(WSMsgType.TEXT, encode(exchange.data))
        await may_send.wait()
    for _ in range(exchange.count % AT_ONCE):
        transport.send(WSMsgType.TEXT, encode(exchange.data))
    await transport.wait_disconnected()
    exchange.seconds = time.process_time() - begun


async def aiohttp(url: str, exchange: Exchange) -> None:
    """The client session's WebSocket, with the same codec."""
    import aiohttp
    import msgspec

    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        exchange.begin()
        for _ in range(exchange.in_flight):
            await socket.send_str(encode(exchange.data).decode())
        async for message in socket:
            if exchange.came(decode(message.data)):
                await socket.send_str(encode(exchange.data).decode())
            elif exchange.is_over:
                return


async def aiohttp_sends(url: str, exchange: Exchange) -> None:
    """Send as fast as `send_str` allows."""
    import aiohttp
    import msgspec

    encode = msgspec.json.Encoder().encode
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        begun = time.process_time()
        for _ in range(exchange.count):
            await socket.send_str(encode(exchange.data).decode())
        await socket.receive()
        exchange.seconds = time.process_time() - begun


async def websockets(url: str, exchange: Exchange) -> None:
    """One connection, the `json` module."""
    from websockets.asyncio.client import connect

    async with connect(url) as socket:
        exchange.begin()
        for _ in range(exchange.in_flight):
            await socket.send(json.dumps(exchange.data))
        async for message in socket:
            if exchange.came(json.loads(message)):
                await socket.send(json.dumps(exchange.data))
            elif exchange.is_over:
                return


async def websockets_sends(url: str, exchange: Exchange) -> None:
    """Send as fast as `send` allows."""
    from websockets.asyncio.client import connect

    async with connect(url) as socket:
        begun = time.process_time()
        for _ in range(exchange.count):
            await socket.send(json.dumps(exchange.data))
        await socket.recv()
        exchange.seconds = time.process_time() - begun


async def websocket_client(url: str, exchange: Exchange) -> None:
    """`WebSocketApp`, which blocks; the `json` module."""
    import websocket

    def on_open(app: Any) -> None:
        exchange.begin()
        for _ in range(exchange.in_flight):
            app.send(json.dumps(exchange.data))

    def on_message(app: Any, text: str) -> None:
        if exchange.came(json.loads(text)):
            app.send(json.dumps(exchange.data))
        elif exchange.is_over:
            app.close()

    websocket.WebSocketApp(url, on_open=on_open, on_message=on_message).run_forever()


EXCHANGERS: dict[str, Callable[[str, Exchange], Coroutine[Any, Any, None]]] = {
    "sockstore": sockstore,
    "picows": picows,
    "aiohttp": aiohttp,
    "websockets": websockets,
    "websocket-client": websocket_client,
}

SENDERS: dict[str, Callable[[str, Exchange], Coroutine[Any, Any, None]]] = {
    "sockstore": sockstore_sends,
    "picows": picows_sends,
    "aiohttp": aiohttp_sends,
    "websockets": websockets_sends,
}
"""Libraries that can tell when a sent message has left."""
