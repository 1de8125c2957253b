"""Run ``sockstore chat``: a chat in the terminal."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import TYPE_CHECKING

from sockstore.base.errors import InvalidOption
from sockstore.base.names import check_room
from sockstore.cli.common import CommandError, UsageError, as_usage_error, needs, option, url
from sockstore.cli.output import PLAIN_TERMINALS
from sockstore.cli.serving import address_of, listening_socket, served
from sockstore.ui.chat.rooms import named, room_of, rooms_url

if TYPE_CHECKING:
    from sockstore.cli.chat_app import ChatApp

HELP = """chat in the terminal: rooms, who is here, and what was said before

All rooms are on one connection, and those that are not shown count what comes in them.
Without a URL it starts its own server, whose rooms end with this chat. Other people on this machine
join it with the address that F2 shows.

examples:
  sockstore chat ws://localhost:8765 --name Ann                   the room "lobby"
  sockstore chat ws://localhost:8765/chat/tides --name Ann
  sockstore chat ws://localhost:8765 --room tides --room help     several rooms, on one connection
  sockstore chat --name Ann                                       with a server of its own

keys: Enter sends, Ctrl+J is a new line, F3 goes to the next room, F4 joins another one,
F2 shows what the connection does, Ctrl+Q leaves."""

LOBBY = "lobby"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "url", type=url, nargs="?", metavar="URL", help="ws://HOST:PORT or ws://HOST:PORT/chat/ROOM"
    )
    option(parser, "--name", "NAME", "the name that others see (default: your user name)")
    text = "a room; may be repeated, and the chat begins in the first one (default: lobby)"
    option(parser, "--room", "ROOM", text, repeats=True)


def run(options: argparse.Namespace) -> int:
    """Chat until the user leaves."""
    with needs("textual", "the chat"):
        from sockstore.cli.chat_app import ChatApp  # noqa: PLC0415 - needs the extra
    name = _user() if options.name is None else options.name
    # Wrong arguments fail before a server is started or anything is drawn.
    there = destination(options.url or "ws://127.0.0.1", options.room, name)
    _check_terminal()
    if options.url is not None:
        return _chat(ChatApp(*there))
    with needs("server", "the chat's own server", ", or give the URL of another server"):
        import uvicorn  # noqa: F401, PLC0415 - an extra

        from sockstore.server import create_app  # noqa: PLC0415 - needs the extra
    listening = listening_socket("127.0.0.1", 0)
    with served(create_app(), listening):
        return _chat(ChatApp(*destination(f"ws://{address_of(listening)}", options.room, name)))


def _chat(app: ChatApp) -> int:
    app.run()
    return app.return_code or 0


def _check_terminal() -> None:
    """Check that there is a terminal to draw on.

    Raises:
        UsageError: If a standard stream is not a terminal, or it only shows lines of text.
    """
    # Textual reads from standard input, and draws on standard error.
    streams = {"input": sys.stdin, "output": sys.stdout, "error": sys.stderr}
    for name, stream in streams.items():
        if stream is None or not stream.isatty():
            raise UsageError(
                f"the chat needs a terminal, and standard {name} is not one; "
                "`sockstore listen` and `sockstore send` need none"
            )
    if (kind := os.environ.get("TERM")) in PLAIN_TERMINALS:
        raise UsageError(f"the chat cannot be drawn on this terminal, because TERM is {kind!r}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # as in a container whose user has no entry
        raise CommandError(
            "your user name is not known: choose the name that others see with --name"
        ) from None


def destination(address: str, rooms: list[str], name: str) -> tuple[str, list[str]]:
    """Return the url of the connection for this person, and the names of all rooms.

    Raises:
        UsageError: If the room or the name is not valid.
    """
    try:
        given = room_of(address)
        asked = [check_room(room.strip()) for room in rooms]
        all_rooms = list(dict.fromkeys(([given] if given else []) + asked)) or [LOBBY]
        return named(rooms_url(address), name), all_rooms
    except InvalidOption as error:
        raise as_usage_error(error) from None
