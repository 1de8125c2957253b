"""Decode frames, and add their messages to the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sockstore.base.codecs import (
    Codec,
    Unreadable,
    converter_of,
    decode_json,
    encode_json,
    json_decoder,
)
from sockstore.base.options import Heartbeat
from sockstore.connection.requests import Requests

if TYPE_CHECKING:
    from sockstore.base.records import Message, MessageKind
    from sockstore.connection.subscriptions import Subscriptions
    from sockstore.messages.writer import LogWriter, Report
    from sockstore.protocols.base import Received

__all__ = ["Held", "Receiver"]

Held: TypeAlias = "str | bytes | Received"
"""A frame of a server without a protocol, or a message of a protocol."""


class Receiver:
    """Decode the frames of a transport, one slice after another.

    A frame that cannot be decoded never ends the connection and is never lost: it is a message of
    kind ``"text"`` or ``"binary"``, and `on_error` is called.

    Args:
        log: Where messages go.
        codec: How frames are decoded; None decodes JSON and keeps other text as text.
        on_error: Called with an exception and the raw frame.
        report: Receives the errors of the user's callables.
        requests: The requests under way; their answers are not messages.
        heartbeat: Its replies are not messages; None without one.

    Attributes:
        log: The log, whose slices the link begins and ends.
        has_data: Whether the slice had any data message, replies to heartbeats included; set by
            `is_reply` (so only with a heartbeat), reset by the link.
        gave_answer: Whether a request got its answer in the slice; set by what takes frames, reset
            by the link.
    """

    __slots__ = (
        "__weakref__",
        "_append",
        "_codec",
        "_decode",
        "_decode_json",
        "_heartbeat",
        "_is_plain",
        "_on_error",
        "_report",
        "_requests",
        "_take",
        "gave_answer",
        "has_data",
        "log",
        "subscriptions",
    )

    def __init__(
        self,
        log: LogWriter,
        codec: Codec | None,
        on_error: Callable[[Exception, str | bytes], object] | None,
        report: Report,
        *,
        requests: Requests,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self.log: Final = log
        # A frame passes three steps: `_take` skips replies to heartbeats (chosen by `expect`),
        # `_decode` uses the codec or JSON, and `_append` adds to the log.
        # Takes the messages of subscriptions: set by the engine; None without a protocol.
        self.subscriptions: Subscriptions | None = None
        self._append = log.append
        self._requests = requests
        self._codec = codec
        self._on_error = on_error
        self._report = report
        self.has_data: bool = False
        self.gave_answer: bool = False
        # `texts` replaces it with a faster one.
        self._decode_json: Callable[[str], Any] = decode_json
        self._decode = self._json_or_text if codec is None else self._decoded
        self.expect(heartbeat)

    def expect(self, heartbeat: Heartbeat | None) -> None:
        """Take the replies to this heartbeat out of the messages, and no others, from now on."""
        self._heartbeat = heartbeat
        self._take = self._decode if heartbeat is None else self._unless_reply
        self._is_plain = self._codec is None and heartbeat is None

    def texts(self, messages: Iterator[str], /) -> bool:
        """Take text messages; return whether the slice should end now."""
        if self._decode_json is decode_json:
            self._decode_json = json_decoder()
        # Looked at once: these messages cannot answer a request that is made during the slice.
        if self._is_plain and not self._requests.waiting:
            return self.log.extend(messages, self._decode_json, self._not_json)
        return any(map(self._take, messages))

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        """Take binary messages; return whether the slice should end now."""
        return any(map(self._take, messages))

    def receive(self, received: Received) -> bool:
        """Take a message of a protocol; return whether the slice should end now."""
        if received.subscription is not None:
            return self.subscriptions is not None and self.subscriptions.deliver(received)
        return self._append(*self.read_payload(received.data), received.publication)

    def payload_reader(self, wanted: Any) -> Callable[[Any], tuple[Any, MessageKind]] | None:
        """Return a function that decodes what a protocol received; None if nothing decodes it.

        Args:
            wanted: The type to decode into; None leaves it to the codec of the connection.

        Raises:
            InvalidOption: If nothing can be decoded into this type.
        """
        if wanted is None:
            return None if self._codec is None else self.read_payload
        convert = converter_of(wanted)

        def read(data: Any) -> tuple[Any, MessageKind]:
            if isinstance(data, bytes | Unreadable):
                return self.read_payload(data)
            try:
                return convert(data), "json"
            except Exception as error:  # noqa: BLE001 - a type may raise anything
                self._tell(error, encode_json(data))
                return data, "text" if isinstance(data, str) else "json"

        return read

    def message_of(self, held: Held) -> Message:
        """Return what ``on_open`` takes, as a message; its number is 0."""
        publication = None
        if isinstance(held, str | bytes):
            data, kind = self._read_frame(held)
        else:
            publication = held.publication
            data, kind = self.read_payload(held.data)
        return self.log.message(data, kind, publication)

    def answers(self, frame: str | bytes) -> bool:
        """Give a frame to the request that it answers; return whether there is one."""
        if not self._requests.waiting:
            return False
        try:
            data: object = frame
            if self._codec is not None:
                data = self._codec.decode(frame)
            elif isinstance(frame, str):
                data = decode_json(frame)
        except Exception:  # noqa: BLE001 - it is told when the frame is read
            return False
        return self._is_answer(data)

    def is_reply(self, heartbeat: Heartbeat, frame: str | bytes) -> bool:
        """Return whether a frame is the reply to a heartbeat."""
        try:
            return heartbeat.recognises(frame)
        except Exception as error:  # noqa: BLE001 - the user's callable may raise anything
            self._report(error, "the heartbeat's reply")
            return False

    def _is_answer(self, data: object) -> bool:
        try:
            is_answer = self._requests.take(data)
        except Exception as error:  # noqa: BLE001 - the format of requests may raise anything
            self._report(error, "Plain(requests=)")
            return False
        self.gave_answer = self.gave_answer or is_answer
        return is_answer

    def read_payload(self, data: object) -> tuple[object, MessageKind]:
        """Return the data and the kind of what a protocol received."""
        return (data, "binary") if isinstance(data, bytes) else self._read_payload(data)

    def _read_payload(self, data: object) -> tuple[object, MessageKind]:
        """Return the decoded payload and its kind; its text if it cannot be decoded."""
        kind: MessageKind = "text" if isinstance(data, (str, Unreadable)) else "json"
        raw = ""
        if isinstance(data, Unreadable):
            error, data = data.error, data.text
            raw = data
            if self._codec is None:
                self._tell(error, raw)
        if self._codec is not None:
            raw = raw or encode_json(data)
            try:
                return self._codec.decode(raw), "json"
            except Exception as error:  # noqa: BLE001 - a codec may raise anything
                self._tell(error, raw)
        return data, kind

    def _unless_reply(self, frame: str | bytes) -> bool:
        self.has_data = True
        if self._heartbeat is not None and self.is_reply(self._heartbeat, frame):
            return False
        return self._decode(frame)

    def _read_frame(self, frame: str | bytes) -> tuple[object, MessageKind]:
        """Return the data and the kind of a frame; the frame itself if it cannot be decoded."""
        kind: MessageKind = "text" if isinstance(frame, str) else "binary"
        try:
            if self._codec is not None:
                return self._codec.decode(frame), "json" if kind == "text" else "binary"
            return (frame, kind) if isinstance(frame, bytes) else (decode_json(frame), "json")
        except Exception as error:  # noqa: BLE001 - a codec may raise anything
            if self._codec is not None or isinstance(error, RecursionError):
                self._tell(error, frame)
            return frame, kind

    def _json_or_text(self, frame: str | bytes) -> bool:
        if isinstance(frame, bytes):
            return self._append(frame, "binary")
        try:
            data = self._decode_json(frame)
        except (ValueError, RecursionError) as error:
            return self._not_json(frame, error)
        if self._requests.waiting and self._is_answer(data):
            return True  # what stands behind it waits: see `Link.end_slice`
        return self._append(data, "json")

    def _not_json(self, text: str, error: Exception) -> bool:
        """Add a text that is not valid JSON, as a message of kind ``"text"``."""
        if isinstance(error, RecursionError):
            return self._undecodable(text, ValueError("the JSON text is nested too deeply"))
        return self._append(text, "text")

    def _decoded(self, frame: str | bytes) -> bool:
        codec = self._codec
        assert codec is not None  # noqa: S101 - this method is chosen for it
        try:
            data = codec.decode(frame)
        except Exception as error:  # noqa: BLE001 - a codec may raise anything
            return self._undecodable(frame, error)
        if self._requests.waiting and self._is_answer(data):
            return True  # what stands behind it waits: see `Link.end_slice`
        return self._append(data, "json" if isinstance(frame, str) else "binary")

    def _undecodable(self, frame: str | bytes, error: Exception) -> bool:
        self._tell(error, frame)
        kind: MessageKind = "text" if isinstance(frame, str) else "binary"
        return self._append(frame, kind)

    def _tell(self, error: Exception, frame: str | bytes) -> None:
        if self._on_error is not None:
            try:
                self._on_error(error, frame)
            except Exception as another:  # noqa: BLE001 - a user's bug never drops the link
                self._report(another, "on_error")
