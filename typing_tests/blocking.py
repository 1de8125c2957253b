"""What type checkers see of the blocking facade; never executed, checked by `mypy --strict`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, assert_type

from sockstore import (
    Message,
    MessageView,
    Position,
    Readable,
    SocketInfo,
    SockstoreError,
    Stats,
    WebSocketStore,
    derived,
)
from sockstore.blocking import MessageStream, Receipt, Subscription, Unsubscriber, WebSocket
from sockstore.protocols import Ask, Centrifuge, JsonRpc, Member


def script() -> None:
    with WebSocket("ws://localhost", headers={"Authorization": "x"}, history=10) as ws:
        assert_type(ws, WebSocket)
        assert_type(ws.send({"a": 1}), Receipt)
        assert_type(ws.send("x").wait(1), Receipt)
        assert_type(ws.recv(timeout=1), Message)
        for message in ws:
            assert_type(message, Message)
        with ws.stream(limit=1, overflow="drop_oldest") as stream:
            assert_type(stream, MessageStream)
            assert_type(stream.recv().data, Any)
        ws.stream(overflow="never")  # type: ignore[arg-type]
        assert_type(ws.connection, WebSocketStore)
        assert_type(ws.connected, bool)
        assert_type(ws.status, Literal["connected", "disconnected", "error"])
        assert_type(ws.error, SockstoreError | None)
        assert_type(ws.socket, SocketInfo | None)
        assert_type(ws.messages, MessageView)
        assert_type(ws.stats(), Stats)
    WebSocket(1)  # type: ignore[arg-type]


async def secret(ask: Ask) -> str:
    return "secret"


def rooms() -> None:
    ws = WebSocket("ws://localhost", protocol=Centrifuge())
    lobby = ws.subscribe("lobby", token=secret, since=Position(0))
    assert_type(lobby, Subscription[Any])
    assert_type(lobby.send(1, ttl=1.0, key="k", urgent=True, id="a", wait=True), Receipt)
    assert_type(lobby.position, Position | None)
    assert_type(lobby.members, tuple[Member, ...])
    assert_type(lobby.history(10, before=3), list[Message])
    assert_type(lobby.on_change("members", lambda members: None), Unsubscriber)
    assert_type(lobby.on_change(lambda inner: derived(inner.messages, len), print), Unsubscriber)
    ws.subscribe("lobby", token=1)  # type: ignore[call-overload]
    ws.subscribe("lobby", since=3)  # type: ignore[call-overload]
    ws.position  # type: ignore[attr-defined]


def conversations() -> None:
    with WebSocket("ws://localhost", protocol=JsonRpc(), lazy=True, linger=1.0) as ws:
        with ws.subscribe("price", type=int) as prices:
            assert_type(prices, Subscription[int])
            assert_type(prices.latest, int | None)
            assert_type(prices.messages, MessageView)
            for message in prices:
                assert_type(message, Message)
            assert_type(prices.stream(limit=1), MessageStream)
            assert_type(prices.on_message(lambda message: None), Unsubscriber)
            assert_type(prices.on_change("latest", lambda price: price), Unsubscriber)
            prices.on_change("phase", print)  # type: ignore[call-overload]
            assert_type(prices.send(1), Receipt)
        assert_type(ws.subscribe("chat", {"room": 1}), Subscription[Any])
        assert_type(ws.handle("add", lambda a, b: a + b), Unsubscriber)
        assert_type(ws.send("x", wait=True), Receipt)
        assert_type(ws.reply(ws.recv(), {"ok": True}), Receipt)


def callbacks(frame: Callable[[Callable[[], object]], object]) -> None:
    def heard(message: Message) -> None: ...
    def told(status: Literal["connected", "disconnected", "error"]) -> None: ...
    def priced(price: int) -> None: ...

    ws = WebSocket("ws://localhost", callbacks="pump")
    assert_type(ws.on_message(heard, limit=10), Unsubscriber)
    assert_type(ws.on_change("status", told), Unsubscriber)
    ws.on_change("status", priced)  # type: ignore[call-overload]
    ws.on_change("nothing", told)  # type: ignore[call-overload]
    assert_type(ws.on_change(price, priced), Unsubscriber)
    assert_type(ws.pump(), int)
    with ThreadPoolExecutor() as pool:
        WebSocket("ws://localhost", callbacks=pool)
    WebSocket("ws://localhost", callbacks=frame)
    WebSocket("ws://localhost", callbacks="elsewhere")  # type: ignore[arg-type]
    ws.on_message(1)  # type: ignore[arg-type]


def price(connection: WebSocketStore) -> Readable[int]:
    return derived(connection.messages, len)
