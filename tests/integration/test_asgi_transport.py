"""A client against an ASGI application, in one process and without sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sockstore import ConnectionEnded, Reconnect, WebSocketStore
from sockstore.testing import asgi_transport, assert_no_leaks
from waiting import turns

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("TK2")]

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def connected(transport, path: str = "/", **options) -> WebSocketStore:
    options = {"reconnect": EVERY_SECOND, **options}
    return WebSocketStore(f"ws://localhost{path}", transport=transport, **options)


def app_of(endpoint, **options) -> Starlette:
    return Starlette(routes=[WebSocketRoute("/{path:path}", endpoint)], **options)


async def next_of(stream, count: int) -> list[object]:
    async with asyncio.timeout(100):
        return [(await anext(stream)).data for _ in range(count)]


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def test_a_starlette_application_answers():
    async with asgi_transport(app_of(echo)) as transport, connected(transport) as connection:
        connection.send("hello")
        assert await next_of(connection.stream(), 1) == ["hello"]


async def test_the_application_sees_the_handshake():
    seen: list[object] = []

    async def look(websocket: WebSocket) -> None:
        seen.extend(
            [
                str(websocket.url),
                websocket.headers["authorization"],
                websocket.headers["host"],
                websocket.query_params["room"],
                websocket.scope["raw_path"],
                websocket.client.host,
                websocket.scope["subprotocols"],
                websocket.state.greeting,
            ]
        )
        await websocket.accept(subprotocol="b", headers=[(b"x-answer", b"yes")])
        await websocket.receive()

    @asynccontextmanager
    async def lifespan(app):
        yield {"greeting": "hello"}

    async with asgi_transport(app_of(look, lifespan=lifespan)) as transport:
        connection = WebSocketStore(
            "wss://example.com:444/a%20b?room=tea%20room",
            transport=transport,
            headers={"Authorization": "Bearer t"},
            subprotocols=["a", "b"],
        )
        async with connection:
            await connection.ready()
            assert connection.socket.value.subprotocol == "b"
            assert connection.socket.value.headers == (("x-answer", "yes"),)
    assert seen == [
        "wss://example.com:444/a b?room=tea%20room", "Bearer t", "example.com:444", "tea room",
        b"/a%20b", "127.0.0.1", ["a", "b"], "hello",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["denial response", "close"])
async def test_the_application_refuses(kind):
    async def refuse(websocket: WebSocket) -> None:
        if kind == "close":
            await websocket.close(4000)
        else:
            await websocket.send_denial_response(PlainTextResponse("not today", 418))

    async with (
        asgi_transport(app_of(refuse)) as transport,
        connected(transport, reconnect=False) as connection,
    ):
        words = "HTTP 403" if kind == "close" else "HTTP 418.*not today"
        with pytest.raises(ConnectionEnded, match=words):
            await connection.ready()


async def test_close_codes_reach_the_other_side():
    codes: list[tuple[int, str]] = []

    async def ends(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as left:
            codes.append((left.code, left.reason))
        else:
            await websocket.close(4001, "enough")

    async with asgi_transport(app_of(ends)) as transport:
        async with connected(transport) as connection:
            await connection.ready()
            connection.send("go")
            await connection.connected.wait_for(lambda connected: not connected)
            assert "4001" in str(connection.error.value)
            await connection.ready()
            connection.close(4002, "bye")
            await turns(20)
    assert codes == [(4002, "bye")]


@pytest.mark.parametrize("before", [True, False])
async def test_an_application_that_raises_is_told_about(before, reported):
    async def fail(websocket: WebSocket) -> None:
        if not before:
            await websocket.accept()
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        async with (
            asgi_transport(app_of(fail)) as transport,
            connected(transport, reconnect=False) as connection,
        ):
            with pytest.raises(ConnectionEnded, match="500" if before else "without a close frame"):
                await connection.ready()
                await connection.stream().__anext__()
    assert len(reported) == 1


async def test_an_application_that_does_not_catch_the_disconnect_has_not_failed():
    async def read(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.receive_text()

    async with asgi_transport(app_of(read)) as transport, connected(transport) as connection:
        await connection.ready()


async def test_an_application_that_returns_without_closing_breaks_the_connection():
    async def accept(websocket: WebSocket) -> None:
        await websocket.accept()

    async with (
        asgi_transport(app_of(accept)) as transport,
        connected(transport, reconnect=False) as connection,
    ):
        await connection.phase.wait_for(lambda phase: phase in {"closed", "failed"})
        assert "without a close frame" in str(connection.error.value)


async def test_an_application_does_not_outrun_its_client():
    sent: list[int] = []

    async def pour(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text("x" * 1000)
            sent.append(1)

    async with asgi_transport(app_of(pour)) as transport:
        async with connected(transport, history=0) as connection:
            while connection.messages.total < 1000:
                await asyncio.sleep(0)
            assert len(sent) - connection.messages.total < 100


async def test_a_client_does_not_outrun_the_application():
    received: list[str] = []

    async def slow(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            received.append(text)
            await asyncio.sleep(1)

    async with asgi_transport(app_of(slow)) as transport, connected(transport) as connection:
        await connection.ready()
        for _ in range(100):
            connection.send("x" * 4000)
        await asyncio.sleep(3.5)
        assert len(received) == 4
        assert connection.buffered_amount.value > 64 * 1024
        last = [connection.send("x") for _ in range(2)][-1]
        assert last.state == "queued"


async def test_an_application_that_goes_on_without_its_client_is_cancelled():
    ended: list[float] = []
    clock = asyncio.get_running_loop().time

    async def linger(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(clock())

    async with asgi_transport(app_of(linger)) as transport:
        async with connected(transport) as connection:
            await connection.ready()
            await asyncio.sleep(5)
        await asyncio.sleep(5)
        assert not ended
        await asyncio.sleep(6)
        assert ended == [15]


async def test_an_application_may_answer_the_handshake_late_or_never():
    async def late(websocket: WebSocket) -> None:
        await asyncio.sleep(5)
        await websocket.accept()
        await websocket.receive()

    async def never(websocket: WebSocket) -> None:
        await websocket.receive()
        assert (await websocket.receive())["type"] == "websocket.disconnect"

    clock = asyncio.get_running_loop().time
    async with asgi_transport(app_of(late)) as transport, connected(transport) as connection:
        await connection.ready()
        assert clock() == 5
    async with asgi_transport(app_of(never)) as transport:
        async with connected(transport, connect_timeout=3, reconnect=False) as connection:
            with pytest.raises(ConnectionEnded, match="3 s"):
                await connection.ready()


async def test_at_the_end_of_the_block_everything_ends_and_clients_are_told_1012():
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app):
        events.append("startup")
        yield
        events.append("shutdown")

    async def stay(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(WebSocketDisconnect) as left:
            await websocket.receive_text()
        events.append(str(left.value.code))

    async with assert_no_leaks():
        async with asgi_transport(app_of(stay, lifespan=lifespan)) as transport:
            connection = connected(transport, reconnect=False)
            connection.connect()
            await connection.ready()
            assert events == ["startup"]
        await turns(10)
        assert events == ["startup", "1012", "shutdown"]
        assert "1012" in str(connection.error.value)
        await connection.aclose()


@pytest.mark.parametrize("when", ["startup", "shutdown"])
async def test_a_lifespan_that_fails_is_told(when):
    @asynccontextmanager
    async def lifespan(app):
        if when == "startup":
            raise ValueError("no database")
        yield
        raise ValueError("no database")

    with pytest.raises(RuntimeError, match=f"(?s){when} failed.*no database"):
        async with asgi_transport(app_of(echo, lifespan=lifespan)):
            assert when == "shutdown"


async def test_an_application_without_a_lifespan_goes_without():
    async def app(scope, receive, send) -> None:
        assert scope["type"] == "websocket"
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"hello"})
        await receive()

    async with asgi_transport(app) as transport, connected(transport) as connection:
        assert await next_of(connection.stream(), 1) == [b"hello"]


@pytest.mark.parametrize("event", ["websocket.accept", "websocket.send", "http.response.start"])
async def test_events_out_of_order_are_refused(event, reported):
    is_second = event == "websocket.accept"

    async def app(scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if is_second:
            await send({"type": "websocket.accept"})
        await send({"type": event})

    with pytest.raises(RuntimeError, match="must not send"):
        async with asgi_transport(app) as transport:
            async with connected(transport, reconnect=False) as connection:
                await connection.phase.wait_for(lambda phase: phase in {"closed", "failed"})
    assert reported


async def test_what_the_application_says_first_comes_in_the_read_of_the_handshake():
    async def greet(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.receive()

    async with asgi_transport(app_of(greet)) as transport, connected(transport) as connection:
        stream = connection.stream()
        await connection.ready()
        assert await next_of(stream, 1) == ["hello"]
