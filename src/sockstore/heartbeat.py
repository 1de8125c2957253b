"""The option `heartbeat=`: a ping of the application, for servers that want one."""

from __future__ import annotations

from typing import Any

from sockstore.codecs import decode_json, encode
from sockstore.errors import InvalidOption
from sockstore.frozen import frozen
from sockstore.options import require_callable, require_seconds

__all__ = ["Heartbeat"]


@frozen
class Heartbeat:
    """A message that is sent now and then while the connection is open, and what answers it.

    The pings of the WebSocket protocol go on beside it. Only use it for a server that asks for it,
    or whose front end answers pings although nothing behind it lives any more.

    Args:
        message: What is sent: `str` as text, bytes as binary, everything else as JSON; or a
            callable that returns it, called each time.
        reply: What answers it and is not put in `messages`: text or bytes are compared with the
            frame as it came, any other value with the decoded JSON, and a callable is asked with
            the decoded JSON or the text. None: nothing is expected.
        interval: Seconds between two heartbeats.
        timeout: Seconds within which the reply, or any other message, has to come; otherwise the
            connection is lost with "no answer to heartbeat".

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> Heartbeat({"op": "ping"}, reply={"op": "pong"}, interval=15.0)
        Heartbeat(message={'op': 'ping'}, reply={'op': 'pong'}, interval=15.0, timeout=10.0)
    """

    message: Any
    reply: Any = None
    interval: float = 25.0
    timeout: float = 10.0

    def __post_init__(self) -> None:
        require_seconds("interval", self.interval)
        require_seconds("timeout", self.timeout)
        for option, value in (("message", self.message), ("reply", self.reply)):
            if callable(value):
                require_callable(option, value)
        _require_encodable("message", self.message)
        _require_encodable("reply", self.reply)

    def encode(self) -> str | bytes:
        """Return what goes on the wire.

        Raises:
            TypeError: If the message cannot be encoded.
            Exception: Whatever the callable raises.
        """
        message = self.message() if callable(self.message) else self.message
        return encode(message)

    def recognises(self, frame: str | bytes) -> bool:
        """Return whether a frame is the reply.

        Raises:
            Exception: Whatever the callable raises.
        """
        reply = self.reply
        if reply is None or isinstance(reply, (str, bytes)):
            return frame == reply and reply is not None
        if isinstance(frame, bytes) or (not callable(reply) and len(frame) > _longest(reply)):
            return False
        try:
            data = decode_json(frame)
        except (ValueError, RecursionError):
            data = frame
        return bool(reply(data)) if callable(reply) else bool(data == reply)


def _require_encodable(option: str, value: Any) -> None:
    try:
        _ = callable(value) or encode(value)
    except TypeError as error:
        raise InvalidOption(option, value, str(error)) from None


def _longest(reply: Any) -> int:
    """Return how long the reply may be, blanks included: a longer frame need not be decoded."""
    return 64 + 2 * len(encode(reply))
