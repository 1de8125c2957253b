"""Run ``sockstore listen``: print the messages that arrive."""

from __future__ import annotations

import argparse
import asyncio
import base64
from collections.abc import Callable
from typing import Any

from sockstore import ConnectionState, Message
from sockstore.base.codecs import encode_json
from sockstore.cli import signals
from sockstore.cli.common import (
    add_connection_arguments,
    count,
    explain,
    make_connection,
    option,
    sentence,
)
from sockstore.cli.output import OutputFailed, put_bytes, put_json, say

HELP = """print the messages of a WebSocket, one a line, and stay connected

Every line is JSON, for programs such as jq: text that is not JSON becomes
{"type": "text", "content": ...}, and a binary message {"type": "binary", "content": base64}.
The status of the connection is printed on standard error. Characters that control a terminal are
escaped, except with --raw.

examples:
  sockstore listen ws://localhost:8765/chat/lobby           a room of `sockstore serve`
  sockstore send 'ws://localhost:8765/chat/lobby?name=Ann' '{"content": "hi"}'
                                                            in another terminal: it is printed
  sockstore listen ws://localhost:8765/chat/lobby --json    status events too, as JSON lines
  sockstore listen ws://localhost:8765/chat/lobby --raw     text and bytes unchanged
  sockstore listen wss://example.com/feed --header 'Authorization: Bearer TOKEN' | jq .price"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_connection_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print status events too, as JSON lines")
    form.add_argument("--raw", action="store_true", help="print text and bytes unchanged")
    option(parser, "--count", "N", "end after N messages", count)


def run(options: argparse.Namespace) -> int:
    """Listen until the server closes normally, the connection fails, or Ctrl-C."""
    return signals.run(_listen(options))


async def _listen(options: argparse.Namespace) -> int:
    # Callbacks print, not a reader of a stream: so status events and messages keep their order, and
    # a slow terminal slows down reading, and does not fill the memory.
    printer = _Printer(options, asyncio.get_running_loop())
    async with make_connection(options) as connection:
        connection.state.subscribe(printer.state_changed)
        connection.messages.on_append(printer.message_arrived)
        return await printer.finished


class _Printer:
    """Prints messages and events until the command should end; `finished` is the exit status."""

    def __init__(self, options: argparse.Namespace, loop: asyncio.AbstractEventLoop) -> None:
        self.finished: asyncio.Future[int] = loop.create_future()
        self._loop = loop
        self._show = _raw if options.raw else _event_line if options.json else _record_line
        self._shows_events: bool = options.json
        # Messages until the end; `message_arrived` counts them.
        self._remaining: int | None = options.count

    def message_arrived(self, message: Message) -> None:
        if not self._try(lambda: self._show(message)) or self._remaining is None:
            return
        self._remaining -= 1
        if self._remaining == 0:
            self.finished.set_result(0)

    def state_changed(self, state: ConnectionState) -> None:
        if self._try(lambda: self._show_state(state)) and state.phase in {"closed", "failed"}:
            self.finished.set_result(0 if state.phase == "closed" else 1)

    def _try(self, show: Callable[[], None]) -> bool:
        """Print something, unless the end has come; return whether it is printed."""
        if self.finished.done():
            return False
        try:
            show()
        except OutputFailed as failed:
            self.finished.set_exception(failed)
            return False
        return True

    def _show_state(self, state: ConnectionState) -> None:
        if self._shows_events:
            put_json(_state_event(state))
        elif state.phase == "failed":
            say(f"sockstore listen: {explain(state.exception)}")
        else:
            say(f"[{sentence(state, self._loop.time())}]")


def _state_event(state: ConnectionState) -> dict[str, Any]:
    close = state.close
    return {
        "event": "status",
        "status": state.status,
        "phase": state.phase,
        "attempt": state.attempt,
        "error": state.error,
        "recovered": state.recovered,
        "close": None if close is None else {"code": close.code, "reason": close.reason},
    }


def _record(message: Message) -> Any:
    if isinstance(message.data, bytes):
        return {"type": "binary", "content": base64.b64encode(message.data).decode()}
    return message.record


def _record_line(message: Message) -> None:
    put_json(_record(message))


def _event_line(message: Message) -> None:
    put_json({"event": "message", "number": message.number, "data": _record(message)})


def _raw(message: Message) -> None:
    if isinstance(message.data, bytes):
        put_bytes(message.data)
    else:
        text = message.data if message.kind == "text" else encode_json(message.data)
        put_bytes(f"{text}\n".encode())
