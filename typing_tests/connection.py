"""What type checkers see of a connection; never executed, checked by `mypy --strict`."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Literal, assert_type

from sockstore import (
    Connection,
    Attempt,
    ConnectionState,
    Message,
    MessageStream,
    Opening,
    MessageView,
    Outcome,
    Position,
    Readable,
    Receipt,
    Reconnect,
    SocketInfo,
    SockstoreError,
    Subscription,
    WebSocketStore,
    derived,
)
from sockstore.protocols import Ask, Centrifuge, IdField, JsonRpc, Member, Plain, Publication


async def sign_in(opening: Opening) -> None:
    assert_type(await opening.receive(), Message)
    assert_type(opening.send("hello"), Receipt)
    assert_type(await opening.request({"op": "sign in"}), Any)
    assert_type(opening.connection, Connection)
    assert_type(opening.attempt.refresh, bool)
    assert_type(opening.is_reconnection, bool)
    raise opening.unauthorised("no")


async def token(attempt: Attempt) -> dict[str, str]:
    return {"Authorization": str(attempt.number)}


async def room_token(ask: Ask) -> str:
    return "" if ask.subscription is None else str(ask.subscription.key)


def url(attempt: Attempt) -> str:
    return f"ws://localhost/{attempt.number}"


def wait(attempt: int, outcome: Outcome) -> float:
    return attempt * (outcome.uptime or 1.0)


async def main() -> None:
    connection = WebSocketStore(url, headers=token, reconnect=Reconnect(schedule=wait))
    WebSocketStore("ws://localhost", headers={"Authorization": "x"}, subprotocols=["chat"])
    WebSocketStore(1)  # type: ignore[arg-type]
    WebSocketStore("ws://localhost", reconnect="yes")  # type: ignore[arg-type]

    assert_type(connection.state, Readable[ConnectionState])
    assert_type(connection.connected, Readable[bool])
    assert_type(connection.socket, Readable[SocketInfo | None])
    assert_type(connection.error, Readable[SockstoreError | None])
    assert_type(connection.status.value, Literal["connected", "disconnected", "error"])
    assert_type(connection.messages.value, MessageView)
    assert_type(connection.messages.value[0], Message)
    assert_type(connection.messages.value[1:], Sequence[Message])
    assert_type(connection.buffered_amount, Readable[int])

    assert_type(connection.send({"a": 1}), Receipt)
    assert_type(await connection.send("x"), Receipt)
    assert_type(connection.stream(), MessageStream)
    assert_type(connection.call_threadsafe(connection.send, "x"), Future[Receipt])
    connection.call_threadsafe(connection.send)  # type: ignore[call-arg]
    async for message in connection.stream(where=lambda message: message.kind == "json"):
        assert_type(message, Message)
        assert_type(message.data, Any)
        assert_type(message.number, int)
        assert_type(message.publication, Publication | None)

    assert_type(connection.stream(gaps=True), MessageStream)
    assert_type(await connection.request({"op": "time"}, timeout=5, idempotent=True), Any)
    await connection.request()  # type: ignore[call-arg]
    WebSocketStore("ws://localhost", protocol=Centrifuge(token="t", name="a program"))
    WebSocketStore("ws://localhost", protocol=Centrifuge(token=room_token))
    WebSocketStore("ws://localhost", protocol="centrifuge")  # type: ignore[arg-type]
    WebSocketStore("ws://localhost", protocol=JsonRpc())
    WebSocketStore("ws://localhost", protocol=Plain(requests=IdField("reqId")))
    WebSocketStore("ws://localhost", on_open=sign_in)
    WebSocketStore("ws://localhost", on_open=lambda opening: opening.send("hello"))
    WebSocketStore("ws://localhost", on_open=3)  # type: ignore[arg-type]

    assert_type(connection.select(len), Readable[int])
    both = derived(
        (connection.connected, connection.messages), lambda is_up, log: (is_up, len(log))
    )
    assert_type(both, Readable[tuple[bool, int]])
    async with connection as same:
        assert_type(same, WebSocketStore)
    connection.messages.on_append(lambda message: print(message.data))


async def rooms(connection: WebSocketStore) -> None:
    orders = connection.subscribe("orders", token=room_token, since=Position(3, "epoch"))
    assert_type(orders.send({"a": 1}, ttl=1.0, key="k", urgent=True, id="a"), Receipt)
    assert_type(await orders.asend({"a": 1}, ttl=1.0), Receipt)
    assert_type(orders.position, Position | None)
    assert_type(orders.members, Readable[tuple[Member, ...]])
    assert_type(await orders.history(10, before=3), list[Message])
    assert_type(orders.state.value.recovered, bool | None)
    connection.subscribe("orders", token=1)  # type: ignore[call-overload]
    connection.subscribe("orders", since=3)  # type: ignore[call-overload]


class Trade:
    symbol: str


async def subscribe(connection: WebSocketStore) -> None:
    trades = connection.subscribe("trades", type=Trade)
    assert_type(trades, Subscription[Trade])
    assert_type(trades.latest, Readable[Trade | None])
    assert_type(connection.subscribe("any", {"depth": 5}), Subscription[Any])
    assert_type(connection.subscribe("any", type=Trade | int), Subscription[Any])
    assert_type(trades.send("hello"), Receipt)
    assert_type(trades.stream(gaps=True), MessageStream)
    connection.subscribe("x", depth=5)  # type: ignore[call-overload]
    async with trades as entered:
        assert_type(entered, Subscription[Trade])
        async for message in trades:
            assert_type(message, Message)
