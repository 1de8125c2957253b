"""Send with each library and receive its answers, as its own documentation shows it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from urllib.parse import urlsplit

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


async def sockstore_room(url: str, exchange: Exchange) -> None:
    """A room of `Centrifuge`, which tells what is published."""
    from sockstore import Message, WebSocketStore
    from sockstore.protocols import Centrifuge

    done = asyncio.Event()
    connection = WebSocketStore(room_of(url), protocol=Centrifuge())
    feed = connection.subscribe("feed")

    def answered(message: Message) -> None:
        if exchange.came(message.data):
            feed.send(exchange.data)
        elif exchange.is_over:
            done.set()

    feed.messages.on_append(answered)
    async with connection, feed:
        await feed.ready()
        exchange.begin()
        for _ in range(exchange.in_flight):
            feed.send(exchange.data)
        await done.wait()


async def sockstore_room_sends(url: str, exchange: Exchange) -> None:
    """Send to a room as fast as the connection takes it; each message is acknowledged."""
    from sockstore import WebSocketStore
    from sockstore.protocols import Centrifuge

    connection = WebSocketStore(f"{room_of(url)}?quiet=1", protocol=Centrifuge())
    async with connection, connection.subscribe("feed") as feed:
        await feed.ready()
        begun = time.process_time()
        for _ in range(exchange.count // AT_ONCE):
            for _ in range(AT_ONCE):
                feed.send(exchange.data)
            await connection.drain()
        for _ in range(exchange.count % AT_ONCE):
            feed.send(exchange.data)
        await connection.drain()
        exchange.seconds = time.process_time() - begun


async def centrifuge(url: str, exchange: Exchange) -> None:
    """A subscription of centrifuge-python; a publication waits for its acknowledgement."""
    from centrifuge import Client, PublicationContext, SubscriptionEventHandler

    done = asyncio.Event()
    publishing: set[asyncio.Task[Any]] = set()

    def publish() -> None:
        task = asyncio.create_task(subscription.publish(exchange.data))
        publishing.add(task)
        task.add_done_callback(publishing.discard)

    class Events(SubscriptionEventHandler):
        async def on_publication(self, ctx: PublicationContext) -> None:
            if exchange.came(ctx.pub.data):
                publish()
            elif exchange.is_over:
                done.set()

    client = Client(room_of(url))
    subscription = client.new_subscription("feed", Events())
    await client.connect()
    await subscription.subscribe()
    await subscription.ready()
    exchange.begin()
    for _ in range(exchange.in_flight):
        publish()
    await done.wait()
    await client.disconnect()


async def centrifuge_sends(url: str, exchange: Exchange) -> None:
    """Publish with centrifuge-python, so many at once; each message is acknowledged."""
    from centrifuge import Client

    client = Client(f"{room_of(url)}?quiet=1")
    subscription = client.new_subscription("feed")
    await client.connect()
    await subscription.subscribe()
    await subscription.ready()
    begun = time.process_time()
    left = exchange.count
    while left:
        some = min(AT_ONCE, left)
        await asyncio.gather(*(subscription.publish(exchange.data) for _ in range(some)))
        left -= some
    exchange.seconds = time.process_time() - begun
    await client.disconnect()


def room_of(url: str) -> str:
    """Return the url of the server's room, from that of its echo or its sink."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/room"


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
    "sockstore-room": sockstore_room,
    "centrifuge-python": centrifuge,
    "picows": picows,
    "aiohttp": aiohttp,
    "websockets": websockets,
    "websocket-client": websocket_client,
}

SENDERS: dict[str, Callable[[str, Exchange], Coroutine[Any, Any, None]]] = {
    "sockstore": sockstore_sends,
    "sockstore-room": sockstore_room_sends,
    "centrifuge-python": centrifuge_sends,
    "picows": picows_sends,
    "aiohttp": aiohttp_sends,
    "websockets": websockets_sends,
}
"""Libraries that can tell when a sent message has left."""
