"""``sockstore send``: deliver messages and leave."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from sockstore import ConnectionEnded, DeliveryError, Receipt, SockstoreError, WebSocketStore
from sockstore.cli.common import (
    CommandError,
    add_connection_arguments,
    count,
    explain,
    make_connection,
    seconds,
)
from sockstore.codecs import decode_json, encode_json

HELP = """send messages to a WebSocket, and leave when they are delivered

The closing handshake proves that the server received them; without that proof the exit status
is 1.

examples:
  sockstore send ws://localhost:8765/echo hello
  sockstore send ws://localhost:8765/echo '{"type": "chat", "content": "hello"}' --replies 1
  date | sockstore send ws://localhost:8765/echo -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_connection_arguments(parser)
    parser.add_argument(
        "message", nargs="+", metavar="MESSAGE", help="text; - reads standard input"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="give up if it takes longer (default: 10)",
    )
    parser.add_argument(
        "--replies", type=count, metavar="N", help="print N messages of the server before leaving"
    )


def run(options: argparse.Namespace) -> int:
    """Send, wait for the proof of arrival, leave."""
    texts = [_read(message) for message in options.message]
    messages = texts if options.room is None else [_as_json(text) for text in texts]
    asyncio.run(_send(options, messages))
    return 0


def _read(message: str) -> str:
    return sys.stdin.read() if message == "-" else message


def _as_json(text: str) -> Any:
    """Return what a room is told: the value of a JSON text, or the text itself."""
    try:
        return decode_json(text)
    except (ValueError, RecursionError):
        return text


async def _send(options: argparse.Namespace, messages: list[Any]) -> None:
    connection = make_connection(options)
    receipts: list[Receipt] = []
    errors: list[SockstoreError | None] = []
    connection.error.subscribe(errors.append)
    try:
        async with asyncio.timeout(options.timeout), connection:
            await _talk(connection, messages, receipts, options.replies)
    except TimeoutError:
        last = next((error for error in reversed(errors) if error is not None), None)
        why = f": {explain(last)}" if last is not None else ""
        raise CommandError(f"not delivered within {options.timeout:g} s{why}") from None
    except (ConnectionEnded, DeliveryError) as error:
        raise CommandError(f"not delivered: {explain(error)}") from None
    unproven = [r for r in receipts if r.state not in {"sent", "acknowledged"}]
    if unproven:
        raise CommandError(
            f"{len(unproven)} of {len(receipts)} messages were sent, but the server did not "
            "confirm the closing handshake, so nobody knows whether they arrived"
        )


async def _talk(
    connection: WebSocketStore, messages: list[Any], receipts: list[Receipt], replies: int | None
) -> None:
    stream = connection.stream()
    await connection.ready()
    receipts.extend(map(connection.send, messages))
    await connection.drain()
    for _ in range(replies or 0):
        try:
            data = (await anext(stream)).data
            print(data if isinstance(data, str) else encode_json(data), flush=True)
        except StopAsyncIteration:
            raise CommandError("the server said goodbye before it replied") from None
