"""Chat server: admits clients, and serves them the echo, a room or a session."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sockstore.server import addresses, admission
from sockstore.server.admission import Handshake, Refused, Token
from sockstore.server.asgi import Peer, PeerLeft
from sockstore.server.client import Client
from sockstore.server.connections import Connections, Crowded, Visit
from sockstore.server.history.base import History
from sockstore.server.limits import SECONDS_TO_COME_BACK, Limits
from sockstore.server.middleware import listening_address
from sockstore.server.plain import visitor as plain
from sockstore.server.rooms.room import Rooms
from sockstore.server.session import visitor
from sockstore.server.storage import IN_MEMORY, open_history, presence_for

__all__ = ["ChatServer", "ExactRoute"]

SECONDS_FOR_TOKEN_CHECK = 10.0
COME_BACK = (("retry-after", str(SECONDS_TO_COME_BACK)),)
RESTARTING = (1012, "the server is restarting")
WRONG_TOKEN = (3500, "the token is wrong or missing")
NOT_CHECKED = (3004, "the server could not check the token")
SUBPROTOCOL = "centrifuge-json"

logger = logging.getLogger("sockstore.server")


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
        self._host_names = admission.check_host_names(host_names)
        self._token = admission.check_token(token)
        self._history = open_history(history)
        self._presence = presence_for(self._history)
        self._rooms = Rooms(self._history, self._presence, self._limits)
        # The connected clients; `_be_client` adds and removes each of them.
        self._clients: set[Client] = set()
        # Clients whose handshake is not answered yet; `_serve` counts them.
        self._admitting = 0
        # From `aclose` to the next `open`.
        self._is_closing = False
        # Set when the last client leaves; `aclose` waits for it.
        self._all_left = asyncio.Event()
        self.routes = [
            ExactRoute("/echo", _Endpoint(self._admit_to_echo), name="echo"),
            ExactRoute("/chat/{room:path}", _Endpoint(self._admit_to_room), name="chat"),
            ExactRoute("/connection/websocket", _Endpoint(self._admit_to_session), name="session"),
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

    async def _admit_to_echo(self, scope: Scope, peer: Peer) -> None:
        handshake = self._check(scope)
        await self._serve(handshake, peer, None, _echo)

    async def _admit_to_room(self, scope: Scope, peer: Peer) -> None:
        handshake = self._check(scope)
        room = admission.check_room(scope["path_params"]["room"])
        name = admission.check_name(handshake.query.get("name"))
        if SUBPROTOCOL in scope.get("subprotocols", ()):
            await self._serve_session(handshake, peer, name, room)
        else:
            await self._serve(handshake, peer, name, partial(plain.visit, self._rooms, room))

    async def _admit_to_session(self, scope: Scope, peer: Peer) -> None:
        handshake = self._check(scope)
        name = admission.check_name(handshake.query.get("name"))
        offered = scope.get("subprotocols", ())
        await self._serve_session(
            handshake, peer, name, None, SUBPROTOCOL if SUBPROTOCOL in offered else None
        )

    def _check(self, scope: Scope) -> Handshake:
        handshake = Handshake.read(scope["headers"], scope["query_string"])
        admission.check_host(handshake, listening_address(scope), self._host_names, self._origins)
        admission.check_origin(handshake, self._origins)
        return handshake

    async def _serve_session(
        self,
        handshake: Handshake,
        peer: Peer,
        name: str | None,
        room: str | None,
        subprotocol: str | None = SUBPROTOCOL,
    ) -> None:
        """Admit a client of the session, which may send its token in its first command."""
        is_checked = self._token is None or handshake.token is not None

        async def admit(token: str | None) -> tuple[int, str] | None:
            return None if is_checked else await self._check_late_token(token)

        visit = partial(visitor.visit, self._rooms, room, admit)
        await self._serve(
            handshake, peer, name, visit, is_checked=is_checked, subprotocol=subprotocol
        )

    async def _serve(
        self,
        handshake: Handshake,
        peer: Peer,
        name: str | None,
        visit: Callable[[Client], Awaitable[None]],
        *,
        is_checked: bool = True,
        subprotocol: str | None = None,
    ) -> None:
        """Admit a client and serve it, if its token is right and the server is not full.

        Args:
            handshake: The client's request.
            peer: The client's connection.
            name: The client's name.
            visit: Awaited with the client.
            is_checked: Whether to check the token of the handshake.
            subprotocol: The subprotocol to agree on.
        """
        self._check_capacity()
        counted = self._count(peer.host, handshake)
        try:
            self._admitting += 1
            try:
                if is_checked:
                    await self._check_token(handshake.token)
                self._check_open()
                await peer.accept(subprotocol)
            finally:
                self._admitting -= 1
            counted.arrive()
            if self._is_closing:  # `aclose` was called during the handshake
                await peer.close(*RESTARTING)
                return
            await self._be_client(Client(peer, self._limits, name), visit)
        finally:
            counted.leave()

    async def _be_client(self, client: Client, visit: Callable[[Client], Awaitable[None]]) -> None:
        self._clients.add(client)
        try:
            await visit(client)
        finally:
            self._clients.remove(client)
            if not self._clients:
                self._all_left.set()

    def _count(self, host: str | None, handshake: Handshake) -> Visit:
        """Count a client for its address.

        Raises:
            Refused: 429, if that address has too many; 400, if its proxies name two addresses.
        """
        try:
            address = addresses.client_address(host, handshake.headers, self._trusted)
        except ValueError as error:
            raise Refused(
                400, f"{error}: your proxy must remove the one it does not set."
            ) from None
        counted = self._connections.enter(address)
        if isinstance(counted, Crowded):
            raise Refused(429, f"Try again later: {counted.value}.", COME_BACK)
        return counted

    def _check_open(self) -> None:
        if self._is_closing:
            raise _unavailable()

    def _check_capacity(self) -> None:
        self._check_open()
        if len(self._clients) + self._admitting >= self._limits.clients:
            raise _unavailable()

    async def _check_late_token(self, token: str | None) -> tuple[int, str] | None:
        """Check the token of a first command; return a close code and reason if it is wrong."""
        try:
            await self._check_token(token)
        except Refused as refused:
            return WRONG_TOKEN if refused.status == 401 else NOT_CHECKED
        return None

    async def _check_token(self, token: str | None) -> None:
        try:
            async with asyncio.timeout(SECONDS_FOR_TOKEN_CHECK):
                is_admitted = await admission.is_admitted(self._token, token)
        except Exception:
            logger.exception("the token check failed, so a client was refused")
            raise Refused(500, "The server could not check the token.") from None
        if not is_admitted:
            raise Refused(
                401,
                "Send the right token, as 'Authorization: Bearer TOKEN' or '?token=TOKEN'.",
                (("www-authenticate", "Bearer"),),
            )


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


class _Endpoint:
    """The ASGI application of one route, which answers the handshake and catches all errors."""

    def __init__(self, admit: Callable[[Scope, Peer], Awaitable[None]]) -> None:
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = Peer(scope, receive, send)
        await receive()  # "websocket.connect"
        try:
            await self._answer(scope, peer)
        except PeerLeft:
            return  # the client left before it was answered
        except Exception:
            logger.exception("a client was dropped because of an error in the server")
            with suppress(PeerLeft):
                await peer.close(1011, "internal error")

    async def _answer(self, scope: Scope, peer: Peer) -> None:
        try:
            await self._admit(scope, peer)
        except Refused as refused:
            await peer.refuse(refused)


def _unavailable() -> Refused:
    return Refused(
        503,
        "The server takes no more clients now; try again later.",
        COME_BACK,
    )


async def _echo(client: Client) -> None:
    async def send_back(message: str | bytes) -> None:
        client.offer(message)

    await client.run(send_back)
