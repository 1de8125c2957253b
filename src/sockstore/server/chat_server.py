"""Chat server: admits clients, and serves them the echo, a room or a session."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sockstore.base.errors import InvalidOption
from sockstore.base.urls import redact_url
from sockstore.server import addresses, admission
from sockstore.server.admission import Denied, Handshake, Token
from sockstore.server.asgi import Peer, PeerLeft
from sockstore.server.client import Client
from sockstore.server.connections import Connections, Crowded, Visit
from sockstore.server.history.base import History
from sockstore.server.history.sqlite import SqliteHistory
from sockstore.server.limits import SECONDS_TO_COME_BACK, Limits
from sockstore.server.plain import visitor as plain
from sockstore.server.redis.history import RedisHistory
from sockstore.server.redis.presence import RedisPresence
from sockstore.server.rooms.presence import LocalPresence, Presence
from sockstore.server.rooms.room import Rooms
from sockstore.server.session import visitor as session

__all__ = ["IN_MEMORY", "ChatServer", "ExactRoute", "open_history", "presence_for"]

SECONDS_FOR_TOKEN_CHECK = 10.0
COME_BACK = (("retry-after", str(SECONDS_TO_COME_BACK)),)
RESTARTING = (1012, "the server is restarting")
WRONG_TOKEN = (3500, "the token is wrong or missing")
NOT_CHECKED = (3004, "the server could not check the token")
SUBPROTOCOL = "centrifuge-json"

IN_MEMORY = "sqlite:///:memory:"
SCHEME = "sqlite:///"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

logger: Final = logging.getLogger("sockstore.server")


class ChatServer:
    """The echo and the rooms, as routes for an ASGI application of your own.

    Its `routes` are a list of Starlette's ``WebSocketRoute``. With a uvicorn of your own, give it
    ``ws="sockstore.server.uvicorn_protocol:BoundedWebSocketProtocol"``: uvicorn itself keeps the
    TCP connection of a client that never reads, after the server has dropped it. With this protocol
    and without compression, messages are written at once; middleware that wraps ``send`` does not
    see them.

    Args:
        history: Keeps the messages: ``"sqlite:///PATH"``, ``"sqlite:///:memory:"``,
            ``"redis://HOST:PORT/DB"`` for several servers that share the rooms, or a `History`.
            It is opened at its first use and closed with the server.
        allowed_origins: Web origins such as ``"https://example.com"`` whose pages may connect
            besides those of the same host and port; ``"*"`` allows all.
        host_names: Names such as ``"chat.example.com"`` that a proxy may send as ``Host`` to a
            server on a loopback address, besides loopback names and the hosts of
            `allowed_origins`; on other addresses every name is allowed.
        token: A secret that clients send as ``Authorization: Bearer ...`` or ``?token=...``, or a
            sync or async callable ``(token: str | None) -> bool``; a sync one must be quick.
        limits: The limits on what one client may do and cost.
        trusted_proxies: Addresses or networks of your own proxies, such as ``"10.0.0.0/8"``: their
            ``Forwarded`` or ``X-Forwarded-For`` gives the address of a client.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        ::

            server = ChatServer(history="sqlite:///chat.db")
            app.router.routes.extend(server.routes)
            ...
            await server.aclose()
    """

    def __init__(
        self,
        *,
        history: History | str = IN_MEMORY,
        allowed_origins: Iterable[str] = (),
        host_names: Iterable[str] = (),
        token: Token | None = None,
        limits: Limits | None = None,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        self._limits = limits or Limits()
        self._trusted = addresses.trusted_networks(trusted_proxies)
        self._connections = Connections(
            self._limits.connections_per_address, self._limits.handshakes_per_address
        )
        self._origins = admission.check_origins(allowed_origins)
        self._allowed_hosts = admission.allowed_hosts(
            admission.check_host_names(host_names), self._origins
        )
        self._token = admission.check_token(token)
        self._history = open_history(history)
        self._presence = presence_for(self._history)
        self._rooms = Rooms(self._history, self._presence, self._limits)
        # The connected clients; `_serve` adds and removes each of them.
        self._clients: set[Client] = set()
        # Clients whose handshake is not answered yet; `_serve` counts them.
        self._admitting = 0
        # From `aclose` to the next `open`.
        self._is_closing = False
        # Set when the last client leaves; `aclose` waits for it.
        self._all_left = asyncio.Event()
        self.routes: Final = [
            ExactRoute("/echo", _Endpoint(self._serve, lambda *_: _Plan(None, _echo)), name="echo"),
            ExactRoute("/chat/{room:path}", _Endpoint(self._serve, self._plan_room), name="chat"),
            ExactRoute(
                "/connection/websocket", _Endpoint(self._serve, self._plan_any_room), name="session"
            ),
        ]

    @property
    def clients(self) -> int:
        """The number of connected clients."""
        return len(self._clients)

    @property
    def rooms(self) -> dict[str, list[str | None]]:
        """The names of the members of each room, in order of arrival; None for one without."""
        return self._rooms.members

    async def open(self) -> None:
        """Open the history now, so that an error shows before the first client comes.

        Raises:
            HistoryUnavailable: If it cannot be used.
        """
        self._is_closing = False
        await self._history.open()
        await self._presence.open()

    async def aclose(self) -> None:
        """Refuse new clients, close all others with 1012, then write and close the history."""
        self._is_closing = True
        for client in self._clients:
            client.end(*RESTARTING)
        while self._clients:
            self._all_left.clear()
            await self._all_left.wait()
        await self._presence.aclose()
        await self._history.aclose()

    def _plan_room(self, handshake: Handshake, scope: Scope) -> _Plan:
        room = admission.check_room(scope["path_params"]["room"])
        name = admission.check_name(handshake.query.get("name"))
        if SUBPROTOCOL in scope.get("subprotocols", ()):
            return self._plan_session(handshake, name, room, SUBPROTOCOL)
        return _Plan(name, lambda client: plain.PlainVisitor(self._rooms, room, client).run())

    def _plan_any_room(self, handshake: Handshake, scope: Scope) -> _Plan:
        name = admission.check_name(handshake.query.get("name"))
        offered = scope.get("subprotocols", ())
        return self._plan_session(
            handshake, name, None, SUBPROTOCOL if SUBPROTOCOL in offered else None
        )

    def _plan_session(
        self, handshake: Handshake, name: str | None, room: str | None, subprotocol: str | None
    ) -> _Plan:
        """Return the plan for a session, whose client may send its token in its first command."""
        is_checked = self._token is None or handshake.token is not None

        async def check_token(token: str | None) -> tuple[int, str] | None:
            try:
                await self._check_token(token)
            except Denied as refused:
                return WRONG_TOKEN if refused.status == 401 else NOT_CHECKED
            return None

        def serve(client: Client) -> Awaitable[None]:
            visitor = session.SessionVisitor(
                self._rooms, room, check_token, client, is_admitted=is_checked
            )
            return visitor.run()

        return _Plan(name, serve, subprotocol, checks_token=is_checked)

    async def _serve(self, scope: Scope, peer: Peer, make_plan: MakePlan) -> None:
        """Admit a client and serve it until its connection has ended.

        Args:
            scope: The client's request.
            peer: The client's connection.
            make_plan: That of the route.

        Raises:
            Denied: If the request is not valid, its token is wrong, or the server is full.
        """
        admission.check_host(scope, self._allowed_hosts)
        handshake = Handshake.read(scope["headers"], scope["query_string"])
        admission.check_origin(handshake, self._origins)
        plan = make_plan(handshake, scope)
        if self._is_closing or len(self._clients) + self._admitting >= self._limits.clients:
            raise _unavailable()
        counted = self._count(peer.host, handshake)
        try:
            self._admitting += 1
            try:
                if plan.checks_token:
                    await self._check_token(handshake.token)
                if self._is_closing:
                    raise _unavailable()
                await peer.accept(plan.subprotocol)
            finally:
                self._admitting -= 1
            counted.arrive()
            if self._is_closing:  # `aclose` was called during the handshake
                await peer.close(*RESTARTING)
                return
            client = Client(peer, self._limits, plan.name)
            self._clients.add(client)
            try:
                await plan.serve(client)
            finally:
                self._clients.remove(client)
                if not self._clients:
                    self._all_left.set()
        finally:
            counted.leave()

    def _count(self, host: str | None, handshake: Handshake) -> Visit:
        """Count a client for its address.

        Raises:
            Denied: 429, if that address has too many; 400, if its proxies name two addresses.
        """
        try:
            address = addresses.client_address(host, handshake.headers, self._trusted)
        except ValueError as error:
            raise Denied(400, f"{error}: your proxy must remove the one it does not set.") from None
        counted = self._connections.enter(address)
        if isinstance(counted, Crowded):
            raise Denied(429, f"Try again later: {counted.value}.", COME_BACK)
        return counted

    async def _check_token(self, token: str | None) -> None:
        if self._token is None:
            return
        try:
            async with asyncio.timeout(SECONDS_FOR_TOKEN_CHECK):
                is_admitted = await admission.is_admitted(self._token, token)
        except Exception:
            logger.exception("the token check failed, so a client was refused")
            raise Denied(500, "The server could not check the token.") from None
        if not is_admitted:
            raise Denied(
                401,
                "Send the right token, as 'Authorization: Bearer TOKEN' or '?token=TOKEN'.",
                (("www-authenticate", "Bearer"),),
            )


def open_history(history: History | str) -> History:
    """Return the history that an address names; does no I/O.

    Args:
        history: ``"sqlite:///PATH"``, ``"sqlite:///:memory:"`` (kept only while the server
            runs), ``"redis://HOST:PORT/DB"`` (shared by all servers that use it), or a history,
            which is returned as it is.

    Raises:
        InvalidOption: If it is none of these.
    """
    if not isinstance(history, str):
        return history
    if history.startswith(REDIS_SCHEMES):
        return RedisHistory(history)
    path = history.removeprefix(SCHEME)
    if not history.startswith(SCHEME) or not path or "\0" in path:
        raise InvalidOption(
            "history",
            redact_url(history),
            "give 'sqlite:///PATH', 'sqlite:///:memory:' or 'redis://HOST/DB'",
        )
    try:
        return SqliteHistory(None if path == ":memory:" else Path(path).expanduser())
    except RuntimeError as error:  # "~user" has no home
        raise InvalidOption("history", history, str(error).rstrip(".").lower()) from None


def presence_for(history: History) -> Presence:
    """Return the presence for a history, which several servers may share; does no I/O."""
    return RedisPresence(history) if isinstance(history, RedisHistory) else LocalPresence()


class ExactRoute(WebSocketRoute):
    """A route that matches the whole path.

    Starlette's patterns stop at a line break: ``/chat/lobby%0A`` would be the room lobby, and
    ``/chat/a%0Ab`` would match no route, which is answered 403.

    Args:
        path: The path, in Starlette's syntax.
        endpoint: The ASGI application that answers.
        name: The route's name.
    """

    def __init__(self, path: str, endpoint: ASGIApp, *, name: str) -> None:
        super().__init__(path, endpoint, name=name)
        pattern = self.path_regex.pattern.removesuffix("$")
        self.path_regex = re.compile(rf"{pattern}\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a route serves a client.

    Args:
        name: The client's name.
        serve: Awaited with the client.
        subprotocol: The subprotocol to agree on.
        checks_token: Whether to check the token of the handshake.
    """

    name: str | None
    serve: Callable[[Client], Awaitable[None]]
    subprotocol: str | None = None
    checks_token: bool = True


MakePlan: TypeAlias = Callable[[Handshake, Scope], _Plan]
"""Returns the plan for a request of a route, or raises `Denied`."""


class _Endpoint:
    """The ASGI application of one route, which answers the handshake and catches all errors."""

    def __init__(
        self, serve: Callable[[Scope, Peer, MakePlan], Awaitable[None]], make_plan: MakePlan
    ) -> None:
        self._serve = serve
        self._make_plan = make_plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = Peer(scope, receive, send)
        await receive()  # "websocket.connect"
        try:
            try:
                await self._serve(scope, peer, self._make_plan)
            except Denied as refused:
                await peer.refuse(refused)
        except PeerLeft:
            return  # the client left before it was answered
        except Exception:
            logger.exception("a client was dropped because of an error in the server")
            with suppress(PeerLeft):
                await peer.close(1011, "internal error")


def _unavailable() -> Denied:
    return Denied(503, "The server takes no more clients now; try again later.", COME_BACK)


def _echo(client: Client) -> Awaitable[None]:
    async def send_back(message: str | bytes) -> None:
        client.offer(message)

    return client.run(send_back)
