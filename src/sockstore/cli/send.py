"""Run ``sockstore send``: deliver messages, then end."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from sockstore import (
    ConnectionEnded,
    ConnectionState,
    DeliveryError,
    Receipt,
    SockstoreError,
    WebSocketStore,
)
from sockstore.base.characters import one_line
from sockstore.base.codecs import decode_json
from sockstore.cli import signals
from sockstore.cli.common import (
    CommandError,
    add_connection_arguments,
    count,
    explain,
    make_connection,
    option,
    seconds,
)
from sockstore.cli.output import put, put_json, read_standard_input

HELP = """send messages to a WebSocket, and end when they are delivered

The closing handshake proves that the server received them; without that proof the exit status
is 1. A reply is printed on one line: text unchanged, or as JSON if it has line breaks or
characters that control a terminal.

examples:
  sockstore send ws://localhost:8765/echo hello
  sockstore send ws://localhost:8765/echo hello --replies 1
  sockstore send 'ws://localhost:8765/chat/lobby?name=Ann' '{"content": "hello"}'
  date | sockstore send ws://localhost:8765/echo -"""

WITHOUT_A_REASON = {1000, 1005, 1006}
"""Close codes that do not say why a server ended a connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_connection_arguments(parser)
    parser.add_argument(
        "message", nargs="+", metavar="MESSAGE", help="the text to send; - reads standard input"
    )
    text = "give up after this time (default: 10)"
    option(parser, "--timeout", "SECONDS", text, seconds, default=10.0)
    option(parser, "--replies", "N", "wait for N messages of the server, and print them", count)


def run(options: argparse.Namespace) -> int:
    """Send, and wait for the proof that the messages arrived."""
    texts = [read_standard_input() if text == "-" else text for text in options.message]
    messages = texts if options.room is None else [_as_json(text) for text in texts]
    return signals.run(_Sending(options, messages).run())


def _as_json(text: str) -> Any:
    """Return the data to send to a room: the value of a JSON text, or the text itself."""
    try:
        return decode_json(text)
    except (ValueError, RecursionError):
        return text


class _Sending:
    """Sends messages, and counts which were delivered and how many replies came."""

    def __init__(self, options: argparse.Namespace, messages: list[Any]) -> None:
        self._connection = make_connection(options)
        self._timeout: float = options.timeout
        self._messages = messages
        self._wanted: int = options.replies or 0
        # Replies that were printed; `_talk` counts them.
        self._replies = 0
        # One for each message; `_talk` adds them.
        self._receipts: list[Receipt] = []
        # The connection's newest error, and why it ended early; `_note` sets both.
        self._last_error: SockstoreError | None = None
        self._why_ended = ""
        # Whether everything was handed to the network; `_talk` sets it.
        self._are_drained = False

    async def run(self) -> int:
        """Send, print the replies, and close; return the exit status.

        Raises:
            CommandError: If a message was not delivered, or a reply did not come.
        """
        connection = self._connection
        connection.state.subscribe(self._note)
        why_no_reply = ""
        try:
            async with connection:
                async with asyncio.timeout(self._timeout):
                    why_no_reply = await self._talk(connection)
        except TimeoutError:
            why_no_reply = f"came within {self._timeout:g} s"
        except (ConnectionEnded, DeliveryError) as error:
            if not self._are_drained:
                raise CommandError(f"not delivered: {explain(error)}") from None
            why_no_reply = f"came: {explain(error)}"
        self._check(why_no_reply)
        return 0

    def _note(self, state: ConnectionState) -> None:
        self._last_error = state.exception or self._last_error
        if state.phase == "open":
            self._why_ended = ""
        elif state.exception is not None:
            self._why_ended = explain(state.exception)
        elif state.close is not None and state.close.code not in WITHOUT_A_REASON:
            # It crossed our own close frame.
            self._why_ended = f"the server closed the connection with {state.close}"

    async def _talk(self, connection: WebSocketStore) -> str:
        """Send, and print the replies; return why one did not come, or nothing."""
        stream = connection.stream()
        await connection.ready()
        self._receipts.extend(map(connection.send, self._messages))
        await connection.drain()
        self._are_drained = True
        while self._replies < self._wanted:
            try:
                message = await anext(stream)
            except StopAsyncIteration:
                return "came before the server closed the connection"
            _print(message.data)
            self._replies += 1
        return ""

    def _check(self, why_no_reply: str) -> None:
        """Check that every message was delivered and every reply came.

        Raises:
            CommandError: If anything is missing.
        """
        unproven = [r for r in self._receipts if r.state not in {"sent", "acknowledged"}]
        missing = []
        if not self._are_drained:
            cause = "" if self._last_error is None else f": {explain(self._last_error)}"
            missing.append(f"not delivered within {self._timeout:g} s{cause}")
        elif unproven:
            sent = f"{len(unproven)} of {len(self._receipts)} messages were sent, but"
            missing.append(f"{sent} {self._why_unknown(why_no_reply)}")
        if self._are_drained and self._replies < self._wanted:
            if not unproven:
                count = len(self._receipts)
                missing.append(f"{count} of {count} messages were delivered")
            missing.append(f"only {self._replies} of {self._wanted} replies {why_no_reply}")
        if missing:
            raise CommandError("; ".join(missing))

    def _why_unknown(self, why_no_reply: str) -> str:
        unknown = "it is unknown whether they arrived"
        if not self._why_ended:
            return f"the server did not confirm the closing handshake, so {unknown}"
        # The sentence about the replies has the reason, too.
        return unknown if self._why_ended in why_no_reply else f"{unknown}: {self._why_ended}"


def _print(data: Any) -> None:
    """Print a reply on one line: text unchanged if it is harmless and one line, else as JSON."""
    if isinstance(data, str) and one_line(data) == data:
        put(data)
    else:
        put_json(data)
