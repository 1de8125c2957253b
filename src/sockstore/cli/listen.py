"""Run ``sockstore listen``: print the messages that arrive."""

from __future__ import annotations

import argparse
import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from sockstore import ConnectionState, Message, Subscription
from sockstore.base.codecs import encode_json
from sockstore.cli import signals, subscribing
from sockstore.cli.common import (
    UsageError,
    add_connection_arguments,
    count,
    explain,
    make_connection,
    option,
    sentence,
)
from sockstore.cli.output import OutputFailed, put_bytes, put_json, say
from sockstore.cli.subscribing import Wanted
from sockstore.connection.subscription import feed_of
from sockstore.machine.subscriptions import SubscriptionState
from sockstore.messages.buffer import Buffer

HELP = """print the messages of a WebSocket, one a line, and stay connected

Every line is JSON, for programs such as jq: text that is not JSON becomes
{"type": "text", "content": ...}, and a binary message {"type": "binary", "content": base64}.
The status of the connection is printed on standard error. Characters that control a terminal are
escaped, except with --raw.

Rooms of a server that speaks Centrifugo's protocol share one connection: repeat --room. After an
outage each room goes on from its last message; where the server does not have all that was missed,
the command says so. With several rooms a line is {"room": ..., "data": ...}.

Servers that tell only what they are asked for get the messages of --subscribe on each connection.
Write a message as the server wants it. If it has an "id", the answer with this id says whether the
server refused it; once all are refused, the command ends with status 1. For a server with more
rules write a protocol in Python and name it: then a message is known by its key.

examples:
  sockstore listen ws://localhost:8765/chat/lobby           a room of `sockstore serve`
  sockstore send 'ws://localhost:8765/chat/lobby?name=Ann' '{"content": "hi"}'
                                                            in another terminal: it is printed
  sockstore listen ws://localhost:8765/chat/lobby --json    status events too, as JSON lines
  sockstore listen ws://localhost:8765/chat/lobby --raw     text and bytes unchanged
  sockstore listen ws://localhost:8765/connection/websocket --room orders --room trades
                                                            two rooms, and nothing is lost
  sockstore listen wss://example.com/feed --header 'Authorization: Bearer TOKEN' | jq .price
  sockstore listen wss://example.com/feed --subscribe '{"op": "subscribe", "args": ["ACME"]}'
  sockstore listen wss://example.com/feed --protocol feed:exchange --subscribe ACME --json"""


MOST_TOLD = 20
"""Errors of a protocol that are reported."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_connection_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print status events too, as JSON lines")
    form.add_argument("--raw", action="store_true", help="print text and bytes unchanged")
    option(parser, "--count", "N", "end after N messages", count)
    subscribing.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Listen until the server closes normally, the connection fails, or Ctrl-C."""
    return signals.run(_listen(options))


async def _listen(options: argparse.Namespace) -> int:
    # Callbacks print, not a reader of a stream: so status events and messages keep their order, and
    # a slow terminal slows down reading, and does not fill the memory.
    loop = asyncio.get_running_loop()
    protocol, wanted = subscribing.protocol_of(options), subscribing.wanted_by(options)
    if options.raw and len(set(options.room)) > 1:
        raise UsageError("argument --raw: not allowed with several rooms: whose a line is, is lost")
    if options.protocol is not None:
        loop.set_exception_handler(_OfProtocol())
    printer = _Printer(options, loop)
    async with make_connection(options, protocol) as connection:
        connection.state.subscribe(printer.state_changed)
        connection.messages.on_append(printer.message_arrived)
        with ExitStack() as until_the_end:
            for each in wanted:
                subscription = connection.subscribe(each.key, each.params, history=0)
                until_the_end.callback(printer.follow(each, subscription))
            return await printer.finished


class _Printer:
    """Prints messages and events until the command should end; `finished` is the exit status."""

    def __init__(self, options: argparse.Namespace, loop: asyncio.AbstractEventLoop) -> None:
        self.finished: asyncio.Future[int] = loop.create_future()
        self._loop = loop
        self._show = _form_of(options)
        self._shows_events: bool = options.json
        # Messages until the end; `message_arrived` counts them.
        self._remaining: int | None = options.count
        # The states of subscriptions that the server has not refused or ended.
        self._states: dict[str, SubscriptionState] = {}
        # The subscriptions that the server has accepted; from then on messages can be missed.
        self._begun: set[str] = set()
        # Those of which nothing came since a gap was told; `message_arrived` removes them.
        self._told_gaps: set[str] = set()
        # Whether a subscription has failed; set by `_subscription_changed`.
        self._has_failed = False

    def message_arrived(self, message: Message, of: Wanted | None = None) -> None:
        if of is not None:
            self._told_gaps.discard(of.key)
        if not self._try(lambda: self._show(message, of)) or self._remaining is None:
            return
        self._remaining -= 1
        if self._remaining == 0:
            self._finish()

    def state_changed(self, state: ConnectionState) -> None:
        if self._try(lambda: self._show_state(state)) and state.phase in {"closed", "failed"}:
            self._finish(is_failure=state.phase == "failed")

    def follow(self, wanted: Wanted, subscription: Subscription[Any]) -> Callable[[], None]:
        """Print what a subscription does and brings; return how to stop that."""
        self._states[wanted.key] = subscription.state.value
        gaps = _Gaps(partial(self._gap_came, wanted))
        feed_of(subscription).add_reader(gaps)
        stops = (
            gaps.close,
            subscription.messages.on_append(partial(self.message_arrived, of=wanted)),
            subscription.state.subscribe(partial(self._subscription_changed, wanted)),
        )

        def stop() -> None:
            for each in stops:
                each()
            subscription.unsubscribe()

        return stop

    def _subscription_changed(self, wanted: Wanted, state: SubscriptionState) -> None:
        before = self._states.get(wanted.key)
        if before is None or state is before:
            return
        self._states[wanted.key] = state
        # One that waits and goes on to wait was not refused: the connection has ended. One that was
        # mended without a new connection has a gap at most, which is told by itself.
        if before.phase == state.phase and state.phase in {"waiting", "subscribed"}:
            return
        is_subscribed = state.phase == "subscribed"
        has_gap = is_subscribed and wanted.key in self._begun and not state.recovered
        if not self._try(lambda: self._show_subscription(wanted, state, has_gap=has_gap)):
            return
        if is_subscribed:
            self._begun.add(wanted.key)
            if has_gap:
                self._told_gaps.add(wanted.key)
        elif state.phase in {"refused", "ended"}:
            del self._states[wanted.key]
            self._has_failed = self._has_failed or state.error is not None
            if not self._states:
                self._finish()

    def _gap_came(self, wanted: Wanted) -> None:
        """Messages are missing; a gap before the answer of the server is told with the answer."""
        state = self._states.get(wanted.key)
        if state is None or state.phase != "subscribed" or wanted.key in self._told_gaps:
            return
        self._told_gaps.add(wanted.key)
        if self._shows_events:
            self._try(lambda: put_json(_subscription_event(wanted, state, has_gap=True)))
        else:
            self._try(lambda: say(f"[messages may be missing: {wanted.name}]"))

    def _finish(self, *, is_failure: bool = False) -> None:
        self.finished.set_result(1 if is_failure or self._has_failed else 0)

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

    def _show_subscription(
        self, wanted: Wanted, state: SubscriptionState, *, has_gap: bool
    ) -> None:
        if self._shows_events:
            put_json(_subscription_event(wanted, state, has_gap=has_gap))
            return
        words = f": {state.error}" if state.error else ""
        match state.phase:
            case "subscribed":
                missed = "; messages may be missing" if has_gap else ""
                say(f"[subscribed: {wanted.name}{missed}]")
            case "waiting" if words:
                say(f"[refused for now: {wanted.name}{words}]")
            case "refused":
                say(f"sockstore listen: the server refused {wanted.name}{words}")
            case "ended" if words:
                say(f"sockstore listen: the server ended {wanted.name}{words}")
            case "ended":
                say(f"[ended: {wanted.name}]")
            case _:
                pass


class _Gaps(Buffer):
    """A reader that takes nothing but gaps, and tells of each at once."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__(gaps=True)
        self._tell = tell

    def push(self, message: Message) -> bool:
        """Take no message."""
        del message
        return False

    def push_all(self, messages: Sequence[Message]) -> bool:
        """Take no messages."""
        del messages
        return False

    def push_gap(self, message: Message) -> None:
        """Tell of a gap."""
        del message
        self._tell()


class _OfProtocol:
    """Reports what the user's protocol raises, each error once and on one line."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None:
            loop.default_exception_handler(context)
            return
        text = f"sockstore listen: the protocol raised {subscribing.describe(error)}"
        if text not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(text)
            say(text)


def _subscription_event(
    wanted: Wanted, state: SubscriptionState, *, has_gap: bool
) -> dict[str, Any]:
    return {
        "event": "subscription",
        wanted.kind: wanted.label,
        "phase": state.phase,
        "error": state.error,
        "gap": has_gap,
    }


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


def _form_of(options: argparse.Namespace) -> Callable[[Message, Wanted | None], None]:
    if options.raw:
        return _raw
    if options.json:
        return _event_line
    return _room_line if len(set(options.room)) > 1 else _record_line


def _record_line(message: Message, _: Wanted | None) -> None:
    put_json(_record(message))


def _room_line(message: Message, of: Wanted | None) -> None:
    put_json({**_whose(of), "data": _record(message)})


def _whose(of: Wanted | None) -> dict[str, Any]:
    return {} if of is None else {of.kind: of.label}


def _event_line(message: Message, of: Wanted | None) -> None:
    whose = _whose(of)
    number = {"number": message.number}
    put_json({"event": "message", **whose, **number, "data": _record(message)})


def _raw(message: Message, _: Wanted | None) -> None:
    if isinstance(message.data, bytes):
        put_bytes(message.data)
    else:
        text = message.data if message.kind == "text" else encode_json(message.data)
        put_bytes(f"{text}\n".encode())
