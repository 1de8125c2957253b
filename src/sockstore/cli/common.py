"""Share arguments, their checks, and the sentences about a connection between subcommands."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sockstore import (
    ConnectionState,
    InvalidOption,
    InvalidURI,
    Reconnect,
    SockstoreError,
    WebSocketStore,
)
from sockstore.base.urls import check_url
from sockstore.connection.endpoint import TOKEN

if TYPE_CHECKING:
    from sockstore.protocols.base import BaseProtocol

__all__ = [
    "CommandError",
    "UsageError",
    "add_connection_arguments",
    "as_usage_error",
    "explain",
    "make_connection",
    "needs",
    "option",
    "room_name",
    "sentence",
    "shown",
    "whole",
]

MOST_SHOWN = 80
"""Characters of a wrong value that an error repeats."""

MOST_DIGITS = 15
"""Characters of a whole number; Python refuses numbers of some thousand digits."""

ARGUMENTS = {
    "allowed_origins": "--origin",
    "appendonly": "--history",
    "attempts": "--attempts",
    "headers": "--header",
    "history": "--history",
    "host_names": "--host-name",
    "max_message_bytes": "--max-message-bytes",
    "name": "--name",
    "rate": "--rate",
    "room": "--room",
    "subprotocols": "--subprotocol",
    "subscriptions": "--subscriptions",
    "token": "--token",
    "url": "URL",
}
"""The arguments of the commands, by the library's option that they set."""


class CommandError(Exception):
    """The reason why a command ends with status 1, for its user."""


class UsageError(CommandError):
    """The reason why the arguments of a command are wrong; it ends with status 2."""


@contextmanager
def needs(extra: str, what: str, alternative: str = "") -> Iterator[None]:
    """Import the packages of an extra in a block.

    Args:
        extra: The name of the extra.
        what: What needs it, as the subject of a sentence.
        alternative: What the user can do without it, as the end of a sentence.

    Raises:
        CommandError: If a package is not installed.
    """
    try:
        yield
    except ImportError as error:
        install = f"pip install 'sockstore[{extra}]'{alternative}"
        raise CommandError(f"{what} needs the package {error.name}: {install}") from None


def as_usage_error(error: InvalidOption) -> UsageError:
    """Turn the library's error about an option into one about an argument."""
    argument = ARGUMENTS.get(error.option, error.option)
    return UsageError(f"argument {argument}: {shown(error.value)} cannot be used: {error.why}")


def shown(value: object) -> str:
    """Return a wrong value as an error repeats it; a long value is cut."""
    text = value if isinstance(value, str) else str(value)
    return repr(text) if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]!r}..."


def url(text: str) -> str:
    """Check a url for argparse."""
    try:
        return check_url(text)
    except InvalidURI as error:
        raise argparse.ArgumentTypeError(
            f"{shown(error.uri)} is not a WebSocket url: {error.why}"
        ) from None


def whole(text: str, least: int) -> int:
    """Check a whole number for argparse."""
    if len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"{shown(text)} has more than {MOST_DIGITS} characters")
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number of at least {least}")
    return int(text)


def positive(text: str, what: str) -> float:
    """Check a positive number for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a positive number of {what}")
    return number


count: Final = partial(whole, least=1)
retries: Final = partial(whole, least=0)
seconds: Final = partial(positive, what="seconds")


def header(text: str) -> tuple[str, str]:
    """Check a handshake header for argparse; `Endpoint` checks its value, which may be a secret."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("a header is written as 'Name: value'")
    if not TOKEN.fullmatch(name.strip()):
        raise argparse.ArgumentTypeError(f"{shown(name.strip())} is not the name of a header")
    return name.strip(), value.strip()


def subprotocol(text: str) -> str:
    """Check the name of a subprotocol for argparse."""
    if not TOKEN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not the name of a subprotocol")
    return text


def room_name(text: str) -> str:
    """Check the name of a room for argparse; which names there are is its server's choice."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name of a room is not empty")
    return text


def option(
    parser: argparse.ArgumentParser,
    name: str,
    metavar: str,
    text: str,
    check: Callable[[str], object] = str,
    *,
    default: object = None,
    repeats: bool = False,
) -> None:
    """Declare an option with a value.

    Args:
        parser: The parser of the command.
        name: The name of the option.
        metavar: The name of its value.
        text: The help.
        check: Returns the value for argparse.
        default: The value without the option.
        repeats: Whether it may be given repeatedly; then the values are a list.
    """
    values: dict[str, Any] = {"action": "append", "default": []} if repeats else {}
    parser.add_argument(
        name, type=check, metavar=metavar, help=text, **{"default": default, **values}
    )


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of a command that connects."""
    parser.add_argument("url", type=url, metavar="URL", help="ws://... or wss://...")
    text = "add a header to the opening handshake; may be repeated"
    option(parser, "--header", "'NAME: VALUE'", text, header, repeats=True)
    text = "offer a subprotocol; may be repeated"
    option(parser, "--subprotocol", "NAME", text, subprotocol, repeats=True)
    text = "give up after N retries in a row; 0 never retries (default: no limit)"
    option(parser, "--attempts", "N", text, retries)


def make_connection(
    options: argparse.Namespace, protocol: BaseProtocol | None = None
) -> WebSocketStore:
    """Return the connection that the arguments describe.

    Args:
        options: The arguments.
        protocol: What its server speaks; None for a plain connection.

    Raises:
        InvalidOption: If a value cannot work.
    """
    return WebSocketStore(
        options.url,
        protocol=protocol,
        headers=options.header,
        subprotocols=options.subprotocol,
        # A program in a pipe should end when the server closes normally.
        reconnect=Reconnect.exponential(attempts=options.attempts, after_goodbye=False),
    )


def explain(error: BaseException | None) -> str:
    """Describe an error in one line, with its causes unless it repeats them."""
    text = ""
    while isinstance(error, SockstoreError):
        if str(error) not in text:
            text = f"{text}: {error}" if text else str(error)
        error = error.__cause__
    return text


def sentence(state: ConnectionState, now: float) -> str:
    """Describe in one line what a connection is doing."""
    match state.phase:
        case "waiting" if state.retry_at is not None:
            wait = max(0.0, state.retry_at - now)
            # Only the reason: the user knows the url.
            why = getattr(state.exception, "why", state.error)
            return f"{why}; retry {state.attempt} in {wait:.1f} s"
        case "connecting" if state.attempt:
            return f"connecting (retry {state.attempt})"
        case "open":
            return "connected"
        case "failed":
            return f"failed: {explain(state.exception)}"
        case phase:
            return phase
