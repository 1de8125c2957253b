"""Write commands, and let them leave: several in a frame, at the pace of the server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from sockstore.base.codecs import encode_json
from sockstore.base.frozen import frozen
from sockstore.base.positions import Position
from sockstore.base.token_bucket import TokenBucket
from sockstore.protocols.outputs import WireSubscription, Write

__all__ = [
    "PONG",
    "CommandQueue",
    "Requested",
    "connect_body",
    "history_body",
    "named_body",
    "publish_body",
    "rpc_body",
    "send_body",
    "subscribe_body",
]

PONG: Final = "{}"

MOST_IN_A_FRAME: Final = 100
"""Commands in one frame, at most."""

USUAL_MOST_BYTES: Final = 64 * 1024
"""UTF-8 bytes that every server takes in one frame, if it does not say how many."""

ROOM_FOR_ID: Final = 32
"""UTF-8 bytes of what stands around the body of a command: its id, and a newline."""


# A body is what stands behind the id of a command: `"ping":{}`, for example.


def connect_body(name: str, token: str | None) -> str:
    """Return the first command."""
    fields = {"name": name} if token is None else {"name": name, "token": token}
    return named_body("connect", fields)


def subscribe_body(
    channel: str, params: Mapping[str, Any], token: str | None, position: Position | None
) -> str:
    """Return the command that asks for a room, from a position on if there is one.

    Raises:
        TypeError, ValueError: If the parameters are not JSON.
    """
    fields: dict[str, Any] = {**params, "channel": channel}
    if token is not None:
        fields["token"] = token
    if position is not None:
        fields |= {"recover": True, "epoch": position.epoch, "offset": position.offset}
        data = params.get("data", {})
        # Data of the program's that is no object has no room for it.
        if position.id is not None and isinstance(data, Mapping):
            fields["data"] = {**data, "last": position.id}
    return named_body("subscribe", fields)


def send_body(channel: str, message_id: str, data: str) -> str:
    """Return the command that stores a message once; `data` is JSON text."""
    return (
        f'"rpc":{{"method":"send","data":{{"channel":{encode_json(channel)},'
        f'"id":{encode_json(message_id)},"data":{data}}}}}'
    )


def publish_body(channel: str, data: str) -> str:
    """Return the command that any Centrifugo server knows; `data` is JSON text."""
    return f'"publish":{{"channel":{encode_json(channel)},"data":{data}}}'


def rpc_body(request: Mapping[str, Any]) -> str:
    """Return the command that calls a method of the server."""
    return named_body("rpc", request)


def history_body(channel: str, limit: int, before: int | None, epoch: str) -> str:
    """Return the command that asks for the newest messages below an offset."""
    fields: dict[str, Any] = {"channel": channel, "limit": limit, "reverse": True}
    if before is not None:
        fields["since"] = {"offset": before, "epoch": epoch}
    return named_body("history", fields)


def named_body(name: str, fields: Mapping[str, Any]) -> str:
    """Return a command with these fields."""
    return f'"{name}":{encode_json(dict(fields))}'


@frozen
class Requested:
    """A request of the program; `page_of` is the room whose older messages it asks for."""

    request: object
    page_of: WireSubscription | None = None


@frozen
class _Command:
    """One command that waits for the pace; `what` is what its reply answers."""

    what: object
    body: str


class CommandQueue:
    """Commands of one connection: those that wait for the pace, and those without a reply.

    Args:
        next_id: Returns the id of the next command.

    Attributes:
        pace: What the server takes; set by the conversation once the server has said it.
        most_bytes: UTF-8 bytes that the server takes in one frame; None if it has not said so. Set
            by the conversation.
    """

    def __init__(self, next_id: Callable[[], int]) -> None:
        self.pace: TokenBucket = TokenBucket.unlimited()
        self.most_bytes: int | None = None
        self._next_id = next_id
        # `put` adds; `flush` and `withdraw` remove.
        self._waiting: deque[_Command] = deque()
        # What each command without a reply is for, by id: `number` adds, `answered` removes.
        self._asked: dict[int, object] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def is_too_large(self, body: str) -> bool:
        """Whether the server takes no frame of this size."""
        return self.most_bytes is not None and _size_of(body) > self.most_bytes

    def put(self, what: object, body: str) -> None:
        """Let a command leave as soon as the pace allows; `what` is what its reply answers."""
        self._waiting.append(_Command(what, body))

    def withdraw(self, what: object) -> bool:
        """Take a command back that waits for the pace; return whether there is one."""
        for command in self._waiting:
            if command.what is what:
                self._waiting.remove(command)
                return True
        return False

    def say(self, what: object, body: str) -> str:
        """Return the text of a command that leaves now."""
        number = self._next_id()
        self._asked[number] = what
        return f'{{"id":{number},{body}}}'

    def answered(self, number: int) -> object | None:
        """Return what a reply answers; None if nobody waits for it."""
        return self._asked.pop(number, None)

    def forget(self, is_it: Callable[[object], bool]) -> None:
        """Nobody waits for the reply to this command any more."""
        for number, what in self._asked.items():
            if is_it(what):
                del self._asked[number]
                return

    def flush(self, now: float) -> list[Write]:
        """Return what may leave now, in as few frames as the server takes."""
        frames: list[Write] = []
        lines: list[str] = []
        size, most = 0, self.most_bytes or USUAL_MOST_BYTES
        while self._waiting and self.pace.take(now):
            command = self._waiting.popleft()
            more = _size_of(command.body)
            if lines and (len(lines) == MOST_IN_A_FRAME or size + more > most):
                frames.append(Write("\n".join(lines)))
                lines, size = [], 0
            lines.append(self.say(command.what, command.body))
            size += more
        if lines:
            frames.append(Write("\n".join(lines)))
        return frames


def _size_of(body: str) -> int:
    return ROOM_FOR_ID + (len(body) if body.isascii() else len(body.encode()))
