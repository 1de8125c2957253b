"""``sockstore listen``: print what arrives."""

from __future__ import annotations

import argparse
import asyncio
import base64
import sys
from collections.abc import Callable
from typing import Any

from sockstore import ConnectionEnded, ConnectionState, Message, WebSocketStore
from sockstore.cli.common import add_connection_arguments, count, make_connection, say, sentence
from sockstore.codecs import encode_json

HELP = """print the messages of a WebSocket, one a line, and stay connected

Every line is JSON, so it pipes into jq: text that is no JSON becomes
{"type": "text", "content": ...}, a binary message {"type": "binary", "content": base64}.
What the connection does is told on standard error.

examples:
  sockstore listen ws://localhost:8765/echo
  sockstore listen wss://example.com/feed --header 'Authorization: Bearer TOKEN' | jq .price
  sockstore listen ws://localhost:8765/echo --json    status events too, as JSON lines
  sockstore listen ws://localhost:8765/echo --raw     text as it came, binary as bytes"""

MOST_WAITING = 100_000
"""Messages that may wait while the terminal or the pipe is slower than the server."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_connection_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print status events too, as JSON lines")
    form.add_argument("--raw", action="store_true", help="print messages as they came")
    parser.add_argument("--count", type=count, metavar="N", help="leave after N messages")


def run(options: argparse.Namespace) -> int:
    """Listen until the server says goodbye, the connection fails, or Ctrl-C."""
    return asyncio.run(_listen(options))


async def _listen(options: argparse.Namespace) -> int:
    connection = make_connection(options)
    remaining: int | None = options.count
    show = _raw if options.raw else _event_line if options.json else _record_line
    async with connection:
        connection.state.subscribe(_state_watcher(options))
        stream = connection.stream(limit=MOST_WAITING)
        try:
            async for message in stream:
                show(message)
                remaining = None if remaining is None else remaining - 1
                if remaining == 0:
                    break
        except ConnectionEnded as error:
            _explain_end(options, connection, error)
            return 1
    return 0


def _explain_end(
    options: argparse.Namespace, connection: WebSocketStore, error: ConnectionEnded
) -> None:
    if options.json:
        return  # the state event has said it
    state = connection.state.value
    detail = f": {state.error}" if state.error and state.error not in str(error) else ""
    say(f"sockstore listen: {error}{detail}")


def _state_watcher(options: argparse.Namespace) -> Callable[[ConnectionState], None]:
    loop = asyncio.get_running_loop()

    def watch(state: ConnectionState) -> None:
        if options.json:
            _print_line(_state_event(state))
        elif state.phase not in {"idle", "closing", "failed"}:
            say(f"[{sentence(state, loop.time())}]")

    return watch


def _state_event(state: ConnectionState) -> dict[str, Any]:
    close = state.close
    return {
        "event": "status",
        "status": state.status,
        "phase": state.phase,
        "attempt": state.attempt,
        "error": state.error,
        "close": None if close is None else {"code": close.code, "reason": close.reason},
    }


def _record(message: Message) -> Any:
    if isinstance(message.data, bytes):
        return {"type": "binary", "content": base64.b64encode(message.data).decode()}
    return message.record


def _record_line(message: Message) -> None:
    _print_line(_record(message))


def _event_line(message: Message) -> None:
    _print_line({"event": "message", "number": message.number, "data": _record(message)})


def _raw(message: Message) -> None:
    if isinstance(message.data, bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(message.data)
        sys.stdout.buffer.flush()
    else:
        print(message.data if message.kind == "text" else encode_json(message.data), flush=True)


def _print_line(data: Any) -> None:
    print(encode_json(data), flush=True)
