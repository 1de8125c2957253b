"""Run a client against an ASGI application in one process, without sockets."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from sockstore.base.close import Close
from sockstore.base.tasks import start_task
from sockstore.base.version import __version__
from sockstore.testing.fake_client import Conversations, FakeClient
from sockstore.transports.base import TransportFactory
from sockstore.transports.memory import MemoryNetwork
from sockstore.transports.pipes import ClientGone

__all__ = ["ASGIApplication", "asgi_transport"]

SECONDS_TO_LEAVE = 10.0
"""How long an application may go on when its client has gone."""

Event: TypeAlias = MutableMapping[str, Any]

ASGIApplication: TypeAlias = Callable[
    [Any, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]
]
"""An application of ASGI 3, as of Starlette, FastAPI, Django Channels or Litestar."""


@asynccontextmanager
async def asgi_transport(
    app: ASGIApplication, *, client: tuple[str, int] = ("127.0.0.1", 50_000)
) -> AsyncIterator[TransportFactory]:
    """Run an ASGI application, and yield what a connection needs to reach it as ``transport=``.

    The application sees the url's host, path and query, the headers and subprotocols. It may refuse
    the handshake with a status (the extension ``websocket.http.response``). It is held back while
    its client does not read, and its client while it does not receive. When the client goes,
    ``receive`` says so and ``send`` raises `OSError`; an application that goes on for 10 seconds
    more is cancelled.

    An application that returns or raises without closing breaks its connection (1006), or refuses
    the handshake with 500, as uvicorn does. What it raised goes to the event loop's exception
    handler, and is raised again at the end of the block.

    The lifespan begins and ends with the block, if the application has one. At the end all
    connections are closed with 1012, and no task is left.

    Args:
        app: The application.
        client: The address and port of the client, as the application sees them.

    Yields:
        A `TransportFactory` for any number of connections.

    Raises:
        RuntimeError: If the application's startup or shutdown fails.

    Example:
        >>> from sockstore import WebSocketStore
        >>> from sockstore.server import create_app
        >>> from sockstore.testing import VirtualClock, asgi_transport
        >>> async def story() -> None:
        ...     async with (
        ...         asgi_transport(create_app()) as transport,
        ...         WebSocketStore("ws://localhost/echo", transport=transport) as connection,
        ...     ):
        ...         connection.send("hello")
        ...         print((await anext(connection.stream())).data)
        >>> VirtualClock().run(story())
        hello
    """
    conversations = Conversations(SECONDS_TO_LEAVE, "an ASGI application")
    clients: set[FakeClient] = set()
    lifespan = _Lifespan(app)

    async def serve(peer: FakeClient) -> None:
        try:
            await _Conversation(app, peer, client, lifespan.state).run()
        finally:
            clients.discard(peer)

    def handshake_received(peer: FakeClient) -> None:
        clients.add(peer)
        conversations.begin(peer, serve, lambda: clients.discard(peer))

    try:
        await lifespan.startup()
        try:
            yield MemoryNetwork(handshake_received, make_peer=FakeClient)
        finally:
            for peer in list(clients):
                if peer.is_decided:
                    peer.close(1012)
                else:
                    peer.refuse(503, body="the server is shutting down")
            await conversations.finish()
    finally:
        await lifespan.end()
    conversations.raise_failures()


class _Conversation:
    """The application's side of one WebSocket."""

    def __init__(
        self,
        app: ASGIApplication,
        peer: FakeClient,
        client: tuple[str, int],
        state: dict[str, Any],
    ) -> None:
        self._app = app
        self._peer = peer
        self._client = client
        self._state = state
        self._has_begun = False  # whether "websocket.connect" was received; set by `_receive`
        # The status and headers of a refusal, and its body so far; set by `_send`.
        self._refusal: tuple[int, tuple[tuple[str, str], ...]] | None = None
        self._body = b""

    async def run(self) -> None:
        """Run the application to its end."""
        try:
            await self._app(self._scope(), self._receive, self._send)
        except Exception as error:
            if not isinstance(error, _departures()):
                raise
        finally:
            if not self._peer.is_decided:
                self._refuse(500)
            elif self._peer.is_open:
                self._peer.drop()

    def _scope(self) -> dict[str, Any]:
        target = self._peer.target
        url = urlsplit(target.url)
        is_secure = url.scheme == "wss"
        port = url.port or (443 if is_secure else 80)
        given = [(name.lower(), value) for name, value in target.headers]
        names = {name for name, _ in given}
        usual = {
            "host": url.netloc.rpartition("@")[2],
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            "sec-websocket-version": "13",
            "user-agent": f"sockstore/{__version__}",
        }
        if target.subprotocols:
            usual["sec-websocket-protocol"] = ", ".join(target.subprotocols)
        headers = [pair for pair in usual.items() if pair[0] not in names] + given
        path = url.path or "/"
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": url.scheme,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": url.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": self._client,
            "server": (url.hostname, port),
            "subprotocols": list(target.subprotocols),
            "state": self._state.copy(),
            "extensions": {
                "websocket.http.response": {},
                "sockstore.abort": {"abort": self._peer.drop},
            },
        }

    async def _receive(self) -> Event:
        if not self._has_begun:
            self._has_begun = True
            return {"type": "websocket.connect"}
        try:
            message = await self._peer.take()
        except ClientGone:
            close = self._peer.close_sent or self._peer.closed or Close(1006)
            return {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        key = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", key: message}

    async def _send(self, event: Event) -> None:
        peer, kind = self._peer, event["type"]
        if self._peer.is_decided:
            await self._send_open(event)
        elif kind == "websocket.accept":
            peer.accept(event.get("subprotocol"), _text(event.get("headers", ())))
        elif kind == "websocket.close":
            self._refuse(403)
        elif kind == "websocket.http.response.start" and self._refusal is None:
            self._refusal = (event["status"], _text(event.get("headers", ())))
        elif kind == "websocket.http.response.body" and self._refusal is not None:
            self._body += event.get("body", b"")
            if not event.get("more_body", False):
                status, headers = self._refusal
                self._refuse(status, headers)
        else:
            raise RuntimeError(f"an ASGI application must not send {kind!r} now")

    def _refuse(self, status: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        self._peer.refuse(status, reason=phrase, headers=headers, body=self._body)

    async def _send_open(self, event: Event) -> None:
        if event["type"] == "websocket.send":
            text = event.get("text")
            await self._peer.transport.backlog.room()
            self._peer.send(event["bytes"] if text is None else text)
        elif event["type"] == "websocket.close":
            self._peer.close(event.get("code", 1000), event.get("reason") or "")
        else:
            raise RuntimeError(f"an ASGI application must not send {event['type']!r} now")


def _text(headers: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def _departures() -> tuple[type[Exception], ...]:
    """Return the errors by which an application says that its client has gone."""
    starlette = sys.modules.get("starlette.websockets")
    return (ClientGone,) if starlette is None else (ClientGone, starlette.WebSocketDisconnect)


class _Lifespan:
    """The lifespan of an application, in a task of its own; one that knows none goes without.

    Attributes:
        state: What the application keeps for its requests; changed by the application.
    """

    def __init__(self, app: ASGIApplication) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        # What the application is told, and what it has answered.
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._answers: asyncio.Queue[Event] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None  # set by `startup`
        self._has_begun = False  # whether the startup is complete; set by `startup`

    async def startup(self) -> None:
        """Begin it.

        Raises:
            RuntimeError: If the application says that its startup failed.
        """
        self._task = start_task(self._run(), name="lifespan of an ASGI application")
        self._has_begun = await self._tell("startup", self._task)

    async def end(self) -> None:
        """End it.

        Raises:
            RuntimeError: If the application says that its shutdown failed, or if it raised.
        """
        if self._task is None:
            return
        try:
            if self._has_begun and not await self._tell("shutdown", self._task):
                raise RuntimeError("the application's lifespan ended early") from (
                    None if self._task.cancelled() else self._task.exception()
                )
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # one that knows no lifespan has raised

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._events.get, self._answers.put)

    async def _tell(self, what: str, task: asyncio.Task[None]) -> bool:
        """Tell the application; return whether it has answered before it ended."""
        self._events.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._answers.get())
        try:
            await asyncio.wait([answer, task], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                return False
            event = answer.result()
        finally:
            answer.cancel()
        if event["type"] == f"lifespan.{what}.failed":
            raise RuntimeError(f"the application's {what} failed: {event.get('message', '')}")
        return True
