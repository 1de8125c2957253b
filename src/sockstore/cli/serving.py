"""Run an ASGI application from a command, from listening to a clean end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL
from typing import TYPE_CHECKING, Any

from sockstore.cli.common import CommandError, UsageError, option, shown
from sockstore.cli.descriptors import (
    MOST_RESERVED,
    allowed_connections,
    on_accept_error,
    open_descriptors,
    raise_limit,
)
from sockstore.cli.output import LOG_TO_STANDARD_ERROR
from sockstore.cli.signals import ENDING

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sockstore.server.limits import Limits
    from sockstore.server.uvicorn_http import Doors

__all__ = [
    "add_listening_arguments",
    "address_of",
    "listening_socket",
    "serve_until_stopped",
    "served",
]

SECONDS_OF_SILENCE = 20.0
"""Seconds between two pings, and the longest from a ping to its pong."""
SECONDS_TO_END = 15
"""The most that closing connections and writing histories may take."""
MOST_ACCEPTED_AT_ONCE = 2
LONGEST_QUEUE = 2048
"""Connections that the kernel queues until they are accepted."""
UVICORNS_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
HIGHEST_PORT = 65535
NOT_OUR_ADDRESS = {EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL}


def add_listening_arguments(parser: argparse.ArgumentParser, default_port: int) -> None:
    """Declare the arguments of a command that listens."""
    text = "the address to listen on; 0.0.0.0 is for other machines, too (default: 127.0.0.1)"
    option(parser, "--host", "HOST", text, host, default="127.0.0.1")
    text = f"the port to listen on; 0 takes a free one (default: {default_port})"
    option(parser, "--port", "PORT", text, port, default=default_port)
    text = (
        "accept requests for this host name, such as chat.example.com, when a proxy passes them to "
        "a loopback address; may be repeated (default: only names such as localhost)"
    )
    option(parser, "--host-name", "NAME", text, host_name, repeats=True)


def host(text: str) -> str:
    """Check the address to listen on for argparse."""
    if not text.strip():
        raise argparse.ArgumentTypeError("give an address, such as 127.0.0.1, or 0.0.0.0 for all")
    return text.strip()


def port(text: str) -> int:
    """Check a port for argparse."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a port; give a number from 0 to {HIGHEST_PORT}"
        )
    return int(text)


def host_name(text: str) -> str:
    """Check a host name for argparse."""
    if not text or not all(c.isascii() and (c.isalnum() or c in "._~-") for c in text):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a host name; give one such as chat.example.com, without a port"
        )
    return text


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: The address, IPv4 or IPv6, or a host name.
        port: The port; 0 takes any free one.

    Raises:
        UsageError: If the host is not an address of this machine.
        CommandError: If it is impossible now, for example because the port is in use.
    """
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        return socket.create_server((host, port), family=family)
    except (socket.gaierror, UnicodeError) as error:
        raise _not_our_address(host, error) from None
    except OSError as error:
        if error.errno in NOT_OUR_ADDRESS:
            raise _not_our_address(host, error) from None
        choose = "; choose another --port" if error.errno in {EADDRINUSE, EACCES} else ""
        raise CommandError(f"cannot listen on {host} port {port}: {_why(error)}{choose}") from None


def _not_our_address(host: str, error: OSError | UnicodeError) -> UsageError:
    return UsageError(
        f"argument --host: {shown(host)} is not an address of this machine: {_why(error)}"
    )


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "it is not a valid domain name"
    # Without the address, which Python adds and the sentence has already.
    return (error.strerror or str(error)).partition(" (while attempting")[0]


def address_of(listening: socket.socket) -> str:
    """Return the address of a listening socket as in a url: ``127.0.0.1:8765``."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve_until_stopped(
    app: ASGIApp,
    listening: socket.socket,
    *,
    on_started: Callable[[], None] | None = None,
    on_bounded: Callable[[int, int], None] | None = None,
    limits: Limits | None = None,
    trusted_proxies: Iterable[str] = (),
) -> None:
    """Serve an application until Ctrl-C or SIGTERM, then close every WebSocket with 1012.

    Returns when everything is closed. Needs the extra ``server``, and the main thread.

    Args:
        app: The ASGI application.
        listening: From `listening_socket`; it is closed at the end.
        on_started: Called once connections are accepted.
        on_bounded: Called then with two numbers, if open files are limited: the connections that
            the limit allows, and the limit.
        limits: How many connections there may be, and how large a message; if None, the defaults
            of `Limits`, and uvicorn's largest message.
        trusted_proxies: Addresses or networks whose connections are not counted by address.

    Raises:
        CommandError: If the application's lifespan raises at the start.

    Example:
        ::

            listening = listening_socket("127.0.0.1", 0)
            serve_until_stopped(app, listening, on_started=lambda: print(address_of(listening)))
    """
    import uvicorn  # noqa: PLC0415 - an extra

    from sockstore.server.addresses import trusted_networks  # noqa: PLC0415 - needs the extra
    from sockstore.server.connections import Connections  # noqa: PLC0415 - the same
    from sockstore.server.limits import Limits  # noqa: PLC0415 - the same
    from sockstore.server.uvicorn_http import Doors  # noqa: PLC0415 - the same

    chosen = limits or Limits()
    connections = Connections(chosen.connections_per_address, chosen.handshakes_per_address)
    descriptors = raise_limit(chosen.clients + 2 * MOST_RESERVED)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.listen(LONGEST_QUEUE)  # `backlog` below sets two things at once
            on_accept_error(asyncio.get_running_loop())
            connections.most = allowed_connections(descriptors, open_descriptors())
            if on_started is not None:
                on_started()
            if on_bounded is not None and connections.most is not None and descriptors is not None:
                on_bounded(connections.most, descriptors)

    bound = _Bound(app, listening.getsockname())
    config = _config(
        bound,
        max_message_bytes=limits.max_message_bytes if limits else UVICORNS_MAX_MESSAGE_BYTES,
        log=LOG_TO_STANDARD_ERROR,
        doors=Doors(connections, trusted_networks(trusted_proxies)),
    )
    server = Server(config)
    try:
        with _ended_by_signals(server):
            server.run(sockets=[listening])
    except SystemExit:
        raise CommandError(f"the server could not start{bound.why_not_started}") from None
    finally:
        listening.close()


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Shut the server down at a signal that ends a command, also if it does not run yet.

    uvicorn handles Ctrl-C and SIGTERM while it runs, and raises them again at its end, which has no
    effect here. Signals that were ignored at the start, as by ``nohup``, stay ignored.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, server.handle_exit)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def served(app: ASGIApp, listening: socket.socket) -> Iterator[None]:
    """Serve an application in a thread while a block runs, then close every WebSocket with 1012.

    Args:
        app: The ASGI application.
        listening: From `listening_socket`; it is closed at the end.
    """
    import uvicorn  # noqa: PLC0415 - an extra

    server = uvicorn.Server(_config(app))
    thread = threading.Thread(
        target=server.run, args=([listening],), name="sockstore: server", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(SECONDS_TO_END)
        listening.close()


def _config(
    app: ASGIApp,
    *,
    max_message_bytes: int = UVICORNS_MAX_MESSAGE_BYTES,
    log: dict[str, Any] | None = None,
    doors: Doors | None = None,
) -> uvicorn.Config:
    import uvicorn  # noqa: PLC0415 - an extra

    from sockstore.server.middleware import Turns  # noqa: PLC0415 - needs the extra
    from sockstore.server.uvicorn_http import bounded_http  # noqa: PLC0415 - the same
    from sockstore.server.uvicorn_protocol import (  # noqa: PLC0415 - needs the extra
        BoundedWebSocketProtocol,
    )

    return uvicorn.Config(
        Turns(app),
        log_config=log,
        log_level="warning",
        http=bounded_http(doors),
        ws=BoundedWebSocketProtocol,
        ws_max_size=max_message_bytes,
        ws_ping_interval=SECONDS_OF_SILENCE,
        ws_ping_timeout=SECONDS_OF_SILENCE,
        # Compression costs hundreds of kilobytes for each client, and saves little here.
        ws_per_message_deflate=False,
        lifespan="on",
        # It would trust X-Forwarded-For from any program on this machine; see `trusted_proxies`.
        proxy_headers=False,
        # asyncio accepts so many in one turn of the loop; to refuse one takes some turns.
        backlog=MOST_ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=SECONDS_TO_END,
    )


class _Bound:
    """Gives an application the address that the server listens on, and keeps why it fails to start.

    uvicorn would give it the address that a connection used, 127.0.0.1 also on a server for all
    addresses, and would log a traceback if the application fails to start.

    Args:
        app: The application.
        address: The address that the listening socket is bound to.

    Attributes:
        why_not_started: The end of a sentence; empty unless the application failed to start.
    """

    def __init__(self, app: ASGIApp, address: tuple[str, int]) -> None:
        self._app = app
        self._server = address[:2]
        self.why_not_started = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
            return
        scope["server"] = self._server
        await self._app(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hear(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.why_not_started = f": {_error_text(message)}"
                message = {"type": message["type"]}
            elif message["type"] == "lifespan.shutdown.failed":
                why = _error_text(message)  # only "CancelledError" after a second Ctrl-C
                message = {"type": message["type"], "message": why if " " in why else ""}
            await send(message)

        await self._app(scope, receive, hear)


def _error_text(message: Message) -> str:
    """Return the text of the error whose traceback Starlette sends."""
    text: str = message.get("message", "")
    last = (text.strip().splitlines() or ["it does not say why"])[-1]
    return last.partition(": ")[2] or last
