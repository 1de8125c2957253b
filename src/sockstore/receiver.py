"""The receiver: frames in, messages into the log."""

from __future__ import annotations

from collections.abc import Callable

from sockstore.codecs import Codec, decode_json
from sockstore.messages import MessageLog, Report
from sockstore.streams import MessageKind

__all__ = ["Receiver"]


class Receiver:
    """Decode what a transport delivers, one slice after another.

    A frame that cannot be decoded never ends the connection and is never lost: it is a message of
    kind ``"text"`` or ``"binary"``, and `on_error` is told.

    Args:
        log: Where messages go.
        codec: How frames are decoded; None decodes JSON and keeps other text as text.
        on_error: Called with an exception and the raw frame.
        report: Told what a user's callable raised.
    """

    __slots__ = ("_codec", "_log", "_on_error", "_report", "deliver")

    def __init__(
        self,
        log: MessageLog,
        codec: Codec | None,
        on_error: Callable[[Exception, str | bytes], object] | None,
        report: Report,
    ) -> None:
        self._log = log
        self._codec = codec
        self._on_error = on_error
        self._report = report
        self.deliver = self._json_or_text if codec is None else self._decoded

    def begin_slice(self) -> Callable[[str | bytes], bool]:
        """Return what takes the messages of one slice."""
        self._log.begin_slice()
        return self.deliver

    def end_slice(self) -> None:
        """Notify subscribers about the messages of the slice."""
        try:
            self._log.end_slice()
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, "a subscriber of the messages")

    def stop_slice(self) -> None:
        """Nothing more of this slice is wanted."""
        self._log.stop_slice()

    def _json_or_text(self, frame: str | bytes) -> bool:
        if isinstance(frame, bytes):
            return self._log.append(frame, "binary")
        try:
            data = decode_json(frame)
        except ValueError:
            return self._log.append(frame, "text")
        except RecursionError:
            return self._undecodable(frame, ValueError("the JSON text is nested too deeply"))
        return self._log.append(data, "json")

    def _decoded(self, frame: str | bytes) -> bool:
        codec = self._codec
        assert codec is not None  # noqa: S101 - this method is chosen for it
        try:
            data = codec.decode(frame)
        except Exception as error:  # noqa: BLE001 - a codec may raise anything
            return self._undecodable(frame, error)
        return self._log.append(data, "json" if isinstance(frame, str) else "binary")

    def _undecodable(self, frame: str | bytes, error: Exception) -> bool:
        if self._on_error is not None:
            try:
                self._on_error(error, frame)
            except Exception as another:  # noqa: BLE001 - a user's bug never drops the link
                self._report(another, "on_error")
        kind: MessageKind = "text" if isinstance(frame, str) else "binary"
        return self._log.append(frame, kind)
