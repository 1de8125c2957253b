"""Run ``sockstore serve``: an echo server with chat rooms."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from sockstore.cli.common import CommandError, UsageError, count, needs, option, positive, shown
from sockstore.cli.output import put_if_possible
from sockstore.cli.serving import (
    add_listening_arguments,
    address_of,
    listening_socket,
    serve_until_stopped,
)

if TYPE_CHECKING:
    from sockstore.server import History, Limits

HELP = """serve /echo, which sends every message back, and chat rooms

The messages of a room are kept in a file, and shown to people who enter later. Rooms are at
/chat/ROOM in plain JSON, and at /connection/websocket in Centrifugo's protocol: any number of
rooms on one connection, which loses no message.

examples:
  sockstore serve                            on ws://127.0.0.1:8765/echo and /chat/ROOM
  sockstore serve --host 0.0.0.0 --port 80   for other machines
  sockstore serve --port 0                   on any free port, which it prints
  sockstore serve --history sqlite:///:memory:         keep nothing
  sockstore serve --history redis://localhost:6379/0   share the rooms with other servers
  sockstore serve --origin https://example.com         pages of that site may connect
  SOCKSTORE_TOKEN=secret sockstore serve               clients must show the token"""

TOKEN_VARIABLE = "SOCKSTORE_TOKEN"  # noqa: S105 - the name of a variable


class _Checkable(Protocol):
    """A history that was opened by its address."""

    def check(self) -> None: ...


def proxy(text: str) -> str:
    """Check an address or a network for argparse."""
    try:
        ip_network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not an address or a network; give one such as 10.0.0.7 or 10.0.0.0/8"
        ) from None
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_listening_arguments(parser, 8765)
    text = (
        "keep messages in sqlite:///PATH, in sqlite:///:memory: until the server ends, or in "
        "redis://HOST:PORT/DB for several servers that share the rooms (default: history.db in "
        "your data directory)"
    )
    option(parser, "--history", "URL", text)
    text = (
        "let pages of this site connect, such as https://example.com; * lets all connect; may be "
        "repeated (default: only pages of the same host and port)"
    )
    option(parser, "--origin", "ORIGIN", text, repeats=True)
    text = (
        f"the secret that clients must send; {TOKEN_VARIABLE} in the environment is safer, because "
        "the list of processes shows arguments"
    )
    option(parser, "--token", "TOKEN", text)
    text = "messages a second that one client may send on average (default: 20)"
    option(parser, "--rate", "N", text, partial(positive, what="messages a second"))
    text = (
        "connections that one address, or one IPv6 /64, may have; addresses of this machine are "
        "not counted (default: 256)"
    )
    option(parser, "--connections-per-address", "N", text, count)
    text = (
        "an address or network of your own proxies, such as 10.0.0.0/8, whose headers Forwarded "
        "and X-Forwarded-For name the client; may be repeated (default: none)"
    )
    option(parser, "--trusted-proxy", "ADDRESS", text, proxy, repeats=True)
    text = "the largest message that a client may send (default: 65536)"
    option(parser, "--max-message-bytes", "N", text, count)
    text = "rooms that one connection may be in at once (default: 100)"
    option(parser, "--subscriptions", "N", text, count)


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    with needs("server", "the server"):
        import uvicorn  # noqa: F401, PLC0415 - an extra

        from sockstore.server import create_app  # noqa: PLC0415 - needs the extra
    limits = _limits(options)
    token = _token(options)
    with listening_socket(options.host, options.port) as listening:
        history = _open_history(options.history)
        app = create_app(
            history=history,
            allowed_origins=options.origin,
            host_names=options.host_name,
            token=token,
            limits=limits,
            trusted_proxies=options.trusted_proxy,
        )
        address = address_of(listening)

        def tell() -> None:
            put_if_possible(f"listening on ws://{address}/echo (Ctrl-C ends it)")
            put_if_possible(f"rooms on ws://{address}/chat/ROOM?name=NAME, history {history}")
            put_if_possible(f"any rooms on ws://{address}/connection/websocket?name=NAME")

        def tell_bounds(connections: int, open_files: int) -> None:
            put_if_possible(
                f"at most {connections} connections at once, as {open_files} open files are allowed"
            )

        serve_until_stopped(
            app,
            listening,
            on_started=tell,
            on_bounded=tell_bounds,
            limits=limits,
            trusted_proxies=options.trusted_proxy,
        )
    return 0


def data_directory(environment: Mapping[str, str], platform: str, home: Path) -> Path:
    """Return the folder for the data of a user, as each system has it.

    Args:
        environment: The environment variables.
        platform: As in ``sys.platform``.
        home: The user's home directory.
    """
    if (chosen := environment.get("XDG_DATA_HOME", "")) and Path(chosen).is_absolute():
        base = Path(chosen)
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    elif platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = home / ".local" / "share"
    return base / "sockstore"


def _open_history(address: str | None) -> History:
    """Return the history, after a check that it can be used."""
    from sockstore.server.chat_server import open_history  # noqa: PLC0415 - an extra

    if address is None:
        address = f"sqlite:///{_default_path()}"
    history = open_history(address)
    cast("_Checkable", history).check()
    return history


def _default_path() -> Path:
    try:
        folder = data_directory(os.environ, sys.platform, Path.home())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        raise CommandError(
            f"cannot make a data directory for the history ({error}); choose a --history"
        ) from None
    return folder / "history.db"


def _limits(options: argparse.Namespace) -> Limits:
    from sockstore.server import Limits  # noqa: PLC0415 - needs the extra

    chosen = {}
    if options.rate is not None:
        # A client may send the messages of one second at once.
        chosen["rate"] = options.rate
        chosen["burst"] = max(Limits().burst, min(1_000_000, int(options.rate)))
    if options.max_message_bytes is not None:
        chosen["max_message_bytes"] = options.max_message_bytes
        chosen["buffer_bytes"] = max(Limits().buffer_bytes, 2 * options.max_message_bytes)
    if options.connections_per_address is not None:
        chosen["connections_per_address"] = options.connections_per_address
    if options.subscriptions is not None:
        chosen["subscriptions"] = options.subscriptions
    return Limits(**chosen)


def _token(options: argparse.Namespace) -> str | None:
    token: str | None = options.token
    if token is None:
        token = os.environ.get(TOKEN_VARIABLE)
    if token == "":
        raise UsageError(f"the token is empty; give --token or {TOKEN_VARIABLE} a value")
    return token
