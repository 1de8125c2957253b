"""Run ``sockstore send``: deliver messages, then end."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from sockstore import (
    ConnectionEnded,
    ConnectionState,
    DeliveryError,
    Receipt,
    SockstoreError,
    Subscription,
    SubscriptionRefused,
    WebSocketStore,
)
from sockstore.base.characters import one_line
from sockstore.base.codecs import decode_json
from sockstore.cli import signals
from sockstore.cli.common import (
    CommandError,
    UsageError,
    add_connection_arguments,
    count,
    explain,
    make_connection,
    option,
    room_name,
    seconds,
    shown,
)
from sockstore.cli.output import put, put_json, read_standard_input
from sockstore.connection.view import engine_of
from sockstore.machine.phases import Joining
from sockstore.protocols.centrifuge import Centrifuge

HELP = """send messages to a WebSocket, and end when they are delivered

The closing handshake proves that the server received them; without that proof the exit status
is 1. A reply is printed on one line: text unchanged, or as JSON if it has line breaks or
characters that control a terminal.

With --room the proof is the server's word that it has stored each message; a message that is not
JSON is sent as text. Replies are the messages of the room then, the sent ones among them.

examples:
  sockstore send ws://localhost:8765/echo hello
  sockstore send ws://localhost:8765/echo hello --replies 1
  sockstore send 'ws://localhost:8765/chat/lobby?name=Ann' '{"content": "hello"}'
  sockstore send 'ws://localhost:8765/connection/websocket?name=Ann' --room orders '{"id": 7}'
  date | sockstore send ws://localhost:8765/echo -"""

WITHOUT_A_REASON = {1000, 1005, 1006}
"""Close codes that do not say why a server ended a connection."""

NOT_LET_IN = (
    "the server took the WebSocket, and does not answer the command `connect` of Centrifugo's "
    "protocol, which --room needs"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_connection_arguments(parser)
    parser.add_argument(
        "message", nargs="+", metavar="MESSAGE", help="the text to send; - reads standard input"
    )
    text = (
        "send to a room of a server that speaks Centrifugo's protocol, as `sockstore serve` does "
        "on /connection/websocket: it stores each message once"
    )
    option(parser, "--room", "NAME", text, room_name, repeats=True)
    text = "give up after this time (default: 10)"
    option(parser, "--timeout", "SECONDS", text, seconds, default=10.0)
    option(parser, "--replies", "N", "wait for N messages of the server, and print them", count)


def run(options: argparse.Namespace) -> int:
    """Send, and wait for the proof that the messages arrived."""
    if len(options.room) > 1:
        raise UsageError("argument --room: messages go to one room; run the command for each room")
    room = options.room[0] if options.room else None
    texts = [read_standard_input() if text == "-" else text for text in options.message]
    messages = texts if room is None else [_as_json(text) for text in texts]
    return signals.run(_Sending(options, room, messages).run())


def _as_json(text: str) -> Any:
    """Return the data to send to a room: the value of a JSON text, or the text itself."""
    try:
        return decode_json(text)
    except (ValueError, RecursionError):
        return text


class _Sending:
    """Sends messages, and counts which were delivered and how many replies came."""

    def __init__(self, options: argparse.Namespace, room: str | None, messages: list[Any]) -> None:
        self._room = room
        self._connection = make_connection(options, None if room is None else Centrifuge())
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
        # What was still waited for when the time was over; `run` sets it.
        self._waited_for = ""
        # The room that is sent to; set by `_talk`.
        self._subscription: Subscription[Any] | None = None
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
                try:
                    async with asyncio.timeout(self._timeout):
                        why_no_reply = await self._talk(connection)
                except TimeoutError:
                    why_no_reply = f"came within {self._timeout:g} s"
                    self._waited_for = self._what_is_missing(connection)
        except (ConnectionEnded, DeliveryError, SubscriptionRefused) as error:
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
        peer: WebSocketStore | Subscription[Any] = connection
        if self._room is not None:
            peer = self._subscription = connection.subscribe(self._room, history=0)
        stream = peer.stream(gaps=False)
        await peer.ready()
        self._receipts.extend(map(peer.send, self._messages))
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

    def _what_is_missing(self, connection: WebSocketStore) -> str:
        """Return what the server has not done yet; empty if that is not known."""
        room = self._subscription
        if room is None:
            return ""
        if isinstance(engine_of(connection).machine.phase, Joining):
            return NOT_LET_IN
        if not connection.connected.value:
            return ""
        state, name = room.state.value, f"the room {shown(room.key)}"
        match state.phase:
            case "subscribing":
                return f"the server does not answer the request to enter {name}"
            case "waiting" if state.error:
                return f"the server refused {name} for now: {state.error}"
            case _:
                pass
        stored = sum(receipt.state == "acknowledged" for receipt in self._receipts)
        return f"the server has stored {stored} of {len(self._messages)} messages in {name}"

    def _check(self, why_no_reply: str) -> None:
        """Check that every message was delivered and every reply came.

        Raises:
            CommandError: If anything is missing.
        """
        refused = [r for r in self._receipts if r.state == "refused"]
        proven = {"sent", "acknowledged", "refused"}
        unproven = [r for r in self._receipts if r.state not in proven]
        missing = []
        if refused:
            missing.append(_say_refused(refused, len(self._receipts)))
        if not self._are_drained:
            cause = self._waited_for or explain(self._last_error)
            missing.append(f"not delivered within {self._timeout:g} s{cause and f': {cause}'}")
        elif unproven:
            sent = f"{len(unproven)} of {len(self._receipts)} messages were sent, but"
            missing.append(f"{sent} {self._why_unknown(why_no_reply)}")
        if self._are_drained and self._replies < self._wanted:
            if not unproven and not refused:
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


def _say_refused(refused: Sequence[Receipt], sent: int) -> str:
    were = "was" if len(refused) == 1 else "were"
    return f"{len(refused)} of {sent} messages {were} refused: {refused[0].why}"


def _print(data: Any) -> None:
    """Print a reply on one line: text unchanged if it is harmless and one line, else as JSON."""
    if isinstance(data, str) and one_line(data) == data:
        put(data)
    else:
        put_json(data)
