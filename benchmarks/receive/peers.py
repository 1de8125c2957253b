"""Receive with each library as its own documentation shows it, each with one callback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sockstore import Message, WebSocketStore

__all__ = ["ASYNCHRONOUS", "RECEIVERS", "STREAM_RECEIVERS", "Meter"]

STREAMS = 10


class Meter(Protocol):
    """Measures the time; see `benchmarks.receive.client`."""

    def begin(self) -> None:
        """Note that the flood is requested now."""

    def took(self, data: Any) -> bool:
        """Count a decoded message; return whether it was the last."""


async def sockstore(url: str, meter: Meter) -> None:
    """A reconnecting connection with its defaults: decoded, logged, delivered to `on_append`."""
    from sockstore import WebSocketStore

    await _receive(WebSocketStore(url), meter)


async def sockstore_room(url: str, meter: Meter) -> None:
    """A room: each publication's offset is checked."""
    await _receive_in_room(f"{url}&dialect=centrifuge", meter)


async def sockstore_room_16(url: str, meter: Meter) -> None:
    """A room, with 16 publications in a frame."""
    await _receive_in_room(f"{url}&dialect=crowded", meter)


async def _receive_in_room(url: str, meter: Meter) -> None:
    from sockstore import WebSocketStore
    from sockstore.protocols import Centrifuge

    done = asyncio.Event()

    def received(message: Message) -> None:
        if meter.took(message.data):
            done.set()

    connection = WebSocketStore(url, protocol=Centrifuge())
    async with connection, connection.subscribe("feed") as feed:
        feed.messages.on_append(received)
        await feed.ready()
        meter.begin()
        feed.send("go")
        await done.wait()


async def _receive(connection: WebSocketStore, meter: Meter) -> None:
    done = asyncio.Event()

    def received(message: Message) -> None:
        if meter.took(message.data):
            done.set()

    connection.messages.on_append(received)
    async with connection:
        await connection.ready()
        meter.begin()
        connection.send("go")
        await done.wait()


async def sockstore_streams(url: str, meter: Meter) -> None:
    """Ten independent readers, each with `async for`; the first one counts."""
    from sockstore import WebSocketStore

    async def read_all(stream: Any) -> None:
        async for _ in stream:
            pass

    connection = WebSocketStore(url)
    async with connection:
        await connection.ready()
        others = [asyncio.create_task(read_all(connection.stream())) for _ in range(STREAMS - 1)]
        stream = connection.stream()
        meter.begin()
        connection.send("go")
        async for message in stream:
            if meter.took(message.data):
                break
    await asyncio.gather(*others)


async def picows(url: str, meter: Meter) -> None:
    """A bare listener that decodes with the codec that sockstore uses."""
    import msgspec
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    decode = msgspec.json.Decoder().decode

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type is WSMsgType.TEXT and meter.took(
                decode(frame.get_payload_as_memoryview())
            ):
                transport.disconnect()

    transport, _ = await ws_connect(Listener, url)
    meter.begin()
    transport.send(WSMsgType.TEXT, b"go")
    await transport.wait_disconnected()


async def aiohttp(url: str, meter: Meter) -> None:
    """The client session's WebSocket, with the same codec."""
    import aiohttp
    import msgspec

    decode = msgspec.json.Decoder().decode
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        meter.begin()
        await socket.send_str("go")
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and meter.took(decode(message.data)):
                return


async def websockets(url: str, meter: Meter) -> None:
    """One connection, `json.loads`."""
    from websockets.asyncio.client import connect

    async with connect(url) as socket:
        meter.begin()
        await socket.send("go")
        async for message in socket:
            if meter.took(json.loads(message)):
                return


async def websockets_reconnecting(url: str, meter: Meter) -> None:
    """The reconnecting iterator, `json.loads`."""
    from websockets.asyncio.client import connect

    async for socket in connect(url):
        meter.begin()
        await socket.send("go")
        async for message in socket:
            if meter.took(json.loads(message)):
                await socket.close()
                return


async def websocket_client(url: str, meter: Meter) -> None:
    """`WebSocketApp`, which blocks; `json.loads`."""
    import websocket

    def on_open(app: Any) -> None:
        meter.begin()
        app.send("go")

    def on_message(app: Any, text: str) -> None:
        if meter.took(json.loads(text)):
            app.close()

    websocket.WebSocketApp(url, on_open=on_open, on_message=on_message).run_forever()


async def socketio(url: str, meter: Meter) -> None:
    """An event of Socket.IO, which decodes it by itself."""
    import socketio

    client = socketio.AsyncClient(reconnection=True)
    done = asyncio.Event()

    @client.on("message")
    async def on_message(data: Any) -> None:
        if meter.took(data):
            done.set()

    await client.connect(f"{url}&dialect=socketio", transports=["websocket"])
    meter.begin()
    await client.emit("go")
    await done.wait()
    await client.disconnect()


async def centrifuge(url: str, meter: Meter) -> None:
    """A subscription of centrifuge-python, which decodes by itself."""
    await _centrifuge(f"{url}&dialect=centrifuge", meter)


async def centrifuge_16(url: str, meter: Meter) -> None:
    """The same, with 16 publications in a frame."""
    await _centrifuge(f"{url}&dialect=crowded", meter)


async def _centrifuge(url: str, meter: Meter) -> None:
    from centrifuge import Client, PublicationContext, SubscriptionEventHandler

    done = asyncio.Event()

    class Events(SubscriptionEventHandler):
        async def on_publication(self, ctx: PublicationContext) -> None:
            if meter.took(ctx.pub.data):
                done.set()

    client = Client(url)
    subscription = client.new_subscription("feed", Events())
    await client.connect()
    await subscription.subscribe()
    await subscription.ready()
    meter.begin()
    publishing = asyncio.create_task(client.publish("feed", "go"))  # it is never answered
    await done.wait()
    publishing.cancel()
    await client.disconnect()


RECEIVERS: dict[str, Callable[[str, Meter], Coroutine[Any, Any, None]]] = {
    "sockstore": sockstore,
    "sockstore-room": sockstore_room,
    "sockstore-room-16": sockstore_room_16,
    "picows": picows,
    "aiohttp": aiohttp,
    "websockets": websockets,
    "websockets-reconnecting": websockets_reconnecting,
    "websocket-client": websocket_client,
    "python-socketio": socketio,
    "centrifuge-python": centrifuge,
    "centrifuge-python-16": centrifuge_16,
}

STREAM_RECEIVERS: dict[str, Callable[[str, Meter], Coroutine[Any, Any, None]]] = {
    "sockstore": sockstore_streams
}
"""Libraries that offer independent readers of one connection."""

ASYNCHRONOUS = frozenset(RECEIVERS) - {"websocket-client"}
"""Libraries on an event loop, which could be blocked."""
