"""What the subcommands share: options of a connection, and how things are said."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sockstore import (
    ConnectionState,
    InvalidOption,
    InvalidURI,
    Reconnect,
    Session,
    SockstoreError,
    WebSocketStore,
)
from sockstore.urls import check_url

__all__ = [
    "CommandError",
    "add_connection_arguments",
    "explain",
    "make_connection",
    "say",
    "sentence",
]


class CommandError(Exception):
    """What a command has to say to its user before it ends with status 1."""


def say(text: str) -> None:
    """Say something that is no output: it goes to standard error."""
    print(text, file=sys.stderr, flush=True)


def url(text: str) -> str:
    """Check a url for argparse."""
    try:
        return check_url(text)
    except InvalidURI as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text: str) -> int:
    """Check a whole number from 1 for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """Check a positive number of seconds for argparse."""
    return positive(text, "seconds")


def positive(text: str, what: str) -> float:
    """Check a positive number for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number of {what}")
    return number


def header(text: str) -> tuple[str, str]:
    """Check a handshake header for argparse."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("a header is written as 'Name: value'")
    return name.strip(), value.strip()


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command that connects understands."""
    parser.add_argument("url", type=url, metavar="URL", help="ws://... or wss://...")
    parser.add_argument(
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="add a header to the handshake; may be repeated",
    )
    parser.add_argument(
        "--subprotocol",
        action="append",
        default=[],
        metavar="NAME",
        help="offer a subprotocol; may be repeated",
    )
    parser.add_argument(
        "--room",
        metavar="NAME",
        help="a room of a server that speaks the session (PROTOCOL.md): nothing is lost or doubled",
    )
    parser.add_argument(
        "--attempts",
        type=int,
        metavar="N",
        help="give up after N retries in a row; 0 never retries (default: retry for ever)",
    )


def make_connection(options: argparse.Namespace, **more: Any) -> WebSocketStore:
    """Return the connection that the arguments describe."""
    try:
        return WebSocketStore(
            options.url,
            session=None if options.room is None else Session(options.room),
            headers=options.header,
            subprotocols=options.subprotocol,
            # A program in a pipe ends when the server has said that it is through.
            reconnect=Reconnect.exponential(attempts=options.attempts, after_goodbye=False),
            **more,
        )
    except InvalidOption as error:
        raise CommandError(str(error)) from None


def explain(error: BaseException | None) -> str:
    """Say an error in one line, with what lies beneath it and is not said yet."""
    text = ""
    while isinstance(error, SockstoreError):
        if str(error) not in text:
            text = f"{text}: {error}" if text else str(error)
        error = error.__cause__
    return text


def sentence(state: ConnectionState, now: float) -> str:
    """Say in one line what a connection is doing."""
    match state.phase:
        case "waiting" if state.retry_at is not None:
            wait = max(0.0, state.retry_at - now)
            # The user knows where to, so the reason is enough.
            why = getattr(state.exception, "why", state.error)
            return f"{why}; retry {state.attempt} in {wait:.1f} s"
        case "connecting" if state.attempt:
            return f"connecting (retry {state.attempt})"
        case "open" if state.recovered is False:
            return "connected; the server does not have all that was missed"
        case "open":
            return "connected"
        case "failed":
            return f"failed: {explain(state.exception)}"
        case phase:
            return phase
