"""Say what a command subscribes to: rooms, messages as they are typed, or keys of a protocol."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from sockstore.base.codecs import decode_json
from sockstore.base.frozen import frozen
from sockstore.base.state import Attempt
from sockstore.cli.common import UsageError, option, room_name, shown
from sockstore.protocols.base import (
    BaseProtocol,
    Conversation,
    Frame,
    Output,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
    Write,
)
from sockstore.protocols.centrifuge import Centrifuge
from sockstore.protocols.plain import decoded
from sockstore.protocols.requests import error_in

__all__ = ["Wanted", "add_arguments", "describe", "protocol_of", "wanted_by"]


@frozen
class Wanted:
    """What the user wants to subscribe to.

    Args:
        key: The key to subscribe with.
        name: What it is called in sentences; never what it says, which may have a secret.
        label: What it is called in JSON.
        params: The parameters to subscribe with.
        kind: What the label is called in JSON.
    """

    key: str
    name: str
    label: str | int
    params: dict[str, Any]
    kind: Literal["subscription", "room"] = "subscription"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    text = (
        "enter a room of a server that speaks Centrifugo's protocol, as `sockstore serve` does on "
        "/connection/websocket: no message is lost or comes twice; may be repeated"
    )
    option(parser, "--room", "NAME", text, room_name, repeats=True)
    text = (
        "subscribe on each connection, and again after an outage; may be repeated. It is the "
        "message that asks the server, as JSON; with --protocol it is a key of that protocol"
    )
    option(parser, "--subscribe", "MESSAGE|KEY", text, repeats=True)
    text = "speak the protocol NAME of your module (feed:exchange is `exchange` in feed.py)"
    option(parser, "--protocol", "MODULE:NAME", text)


def protocol_of(options: argparse.Namespace) -> BaseProtocol | None:
    """Return the protocol that the arguments describe; None for a plain connection.

    Raises:
        UsageError: If they describe none.
    """
    if options.room:
        for name in ("subscribe", "protocol"):
            if getattr(options, name):
                raise UsageError(f"argument --{name}: not allowed with argument --room")
        return Centrifuge()
    if options.protocol is None:
        return AsTyped() if options.subscribe else None
    protocol = _load(options.protocol)
    if options.subscribe and not protocol.has_subscriptions:
        name = type(protocol).__name__
        raise UsageError(f"argument --subscribe: the protocol {name} has no subscriptions")
    return protocol


def wanted_by(options: argparse.Namespace) -> list[Wanted]:
    """Return what to subscribe to.

    Raises:
        UsageError: If a message is not JSON, or two have the same id.
    """
    if options.room:
        return [room_wanted(room) for room in dict.fromkeys(options.room)]
    texts: list[str] = list(dict.fromkeys(options.subscribe))
    if options.protocol is not None:
        return [Wanted(text, shown(text), text, {}) for text in texts]
    is_only_one = len(texts) == 1
    ids = [_id_in(_read(text)) for text in texts]
    for place, number in enumerate(ids):
        if number is not None and number in ids[:place]:
            raise UsageError(f"argument --subscribe: two messages have the id {shown(number)}")
    return [
        Wanted(
            f"message {place} of --subscribe",
            "the message of --subscribe" if is_only_one else f"message {place} of --subscribe",
            place,
            {"message": text},
        )
        for place, text in enumerate(texts, start=1)
    ]


def room_wanted(room: str) -> Wanted:
    """Return a room as something to subscribe to."""
    return Wanted(room, f"the room {shown(room)}", room, {}, "room")


def _read(text: str) -> Any:
    try:
        message = decode_json(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict | list):
        # It may be a message with a secret and a typing error.
        raise UsageError(
            "argument --subscribe: a value is not a JSON object or array: give the message that "
            "asks the server, or say with --protocol how a key is asked for"
        )
    return message


def _id_in(message: Any) -> str | int | None:
    number = message.get("id") if isinstance(message, dict) else None
    return number if isinstance(number, str | int) and not isinstance(number, bool) else None


def _load(place: str) -> BaseProtocol:
    """Import a protocol from the user's module.

    Raises:
        UsageError: If there is none.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name.isidentifier():
        raise UsageError(
            f"argument --protocol: {shown(place)} is not written as MODULE:NAME, "
            "as in feed:exchange for `exchange` in feed.py"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"argument --protocol: there is no module {shown(module_name)} here"
            ) from None
        raise UsageError(f"argument --protocol: {module_name}: {describe(error)}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's module may do anything
        raise UsageError(f"argument --protocol: {module_name}: {describe(error)}") from None
    protocol = getattr(module, name, None)
    if isinstance(protocol, BaseProtocol):
        return protocol
    why = "has no such name" if protocol is None else "has something else under this name"
    raise UsageError(
        f"argument --protocol: {shown(place)} is not a protocol such as Topics(...): "
        f"the module {why}"
    )


def describe(error: BaseException) -> str:
    """Describe an error of the user's module in one line, with its place."""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:
        return words
    return f"{words} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


@frozen
class AsTyped(BaseProtocol):
    """Subscriptions by messages that a person typed; every message is the program's.

    A message with an ``id`` is answered by the first one with the same ``id``; it was refused if
    that has an ``error``. Without an ``id`` nothing is known of its answer.
    """

    has_subscriptions = True

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        """Begin a conversation."""
        del memory, attempt
        return _AsTypedConversation()


class _AsTypedConversation(Conversation):
    """Send the messages; recognise their answers."""

    def __init__(self) -> None:
        super().__init__()
        # What is not answered yet, by the id of its message: `subscribe` adds, `hear` removes.
        self._asked: dict[str | int, WireSubscription] = {}

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        """Send each message as it was typed."""
        del now
        outputs: list[Output] = []
        for each in subscriptions:
            text = each.params["message"]
            outputs.append(Write(text))
            number = _id_in(decode_json(text))
            if number is None:
                outputs.append(Subscribed(each))
            else:
                self._asked[number] = each
        return outputs

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        """Return the message, and what it answers."""
        del now
        data = decoded(frame)
        number = _id_in(data)
        subscription = None if number is None else self._asked.pop(number, None)
        if subscription is None:
            return [Received(data)]
        words = error_in(data)
        if words is not None:
            return [Refused(subscription, words)]
        return [Subscribed(subscription, data), Received(data)]
