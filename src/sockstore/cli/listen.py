"""Run ``sockstore listen``: print the messages that arrive."""

from __future__ import annotations

import argparse
import asyncio
import base64
from typing import Any

from sockstore import ConnectionState, Message
from sockstore.base.codecs import encode_json
from sockstore.cli import signals
from sockstore.cli.common import (
    add_connection_arguments,
    count,
    explain,
    make_connection,
    sentence,
)
from sockstore.cli.output import OutputFailed, put_bytes, put_json, say

HELP = """print the messages of a WebSocket, one a line, and stay connected

Every line is JSON, so it pipes into jq: text that is not JSON becomes
{"type": "text", "content": ...}, a binary message {"type": "binary", "content": base64}.
What the connection does is told on standard error. What a server sends commands the terminal
only with --raw.

examples:
  sockstore listen ws://localhost:8765/chat/lobby           a room of `sockstore serve`
  sockstore send 'ws://localhost:8765/chat/lobby?name=Ann' '{"content": "hi"}'
                                                            is printed by it, from elsewhere
  sockstore listen ws://localhost:8765/chat/lobby --json    status events too, as JSON lines
  sockstore listen ws://localhost:8765/chat/lobby --raw     text as it came, binary as bytes
  sockstore listen wss://example.com/feed --header 'Authorization: Bearer TOKEN' | jq .price"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_connection_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print status events too, as JSON lines")
    form.add_argument("--raw", action="store_true", help="print messages as they came")
    parser.add_argument("--count", type=count, metavar="N", help="leave after N messages")


def run(options: argparse.Namespace) -> int:
    """Listen until the server says goodbye, the connection fails, or Ctrl-C."""
    return signals.run(_listen(options))


async def _listen(options: argparse.Namespace) -> int:
    # Printed from callbacks, not from a stream: status events and messages keep their order, and a
    # slow terminal slows the reading down instead of filling the memory.
    printer = _Printer(options, asyncio.get_running_loop())
    async with make_connection(options) as connection:
        connection.state.subscribe(printer.state_changed)
        connection.messages.on_append(printer.message_arrived)
        return await printer.finished


class _Printer:
    """Prints messages and events until the command should end; `finished` is the exit status."""

    def __init__(self, options: argparse.Namespace, loop: asyncio.AbstractEventLoop) -> None:
        self.finished: asyncio.Future[int] = loop.create_future()
        self._show = _raw if options.raw else _event_line if options.json else _record_line
        self._shows_events: bool = options.json
        self._remaining: int | None = options.count
        self._loop = loop

    def message_arrived(self, message: Message) -> None:
        if self.finished.done():
            return
        try:
            self._show(message)
        except OutputFailed as failed:
            self.finished.set_exception(failed)
            return
        if self._remaining is not None:
            self._remaining -= 1
            if self._remaining == 0:
                self.finished.set_result(0)

    def state_changed(self, state: ConnectionState) -> None:
        if self.finished.done():
            return
        if self._shows_events:
            try:
                put_json(_state_event(state))
            except OutputFailed as failed:
                self.finished.set_exception(failed)
                return
        elif state.phase == "failed":
            say(f"sockstore listen: {explain(state.exception)}")
        else:
            say(f"[{sentence(state, self._loop.time())}]")
        if state.phase in {"closed", "failed"}:
            self.finished.set_result(0 if state.phase == "closed" else 1)


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
