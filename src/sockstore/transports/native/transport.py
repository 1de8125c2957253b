"""Connect over TCP or TLS, with our own asyncio Protocol around `websockets`' Sans-I/O layer.

This module imports little. The rest, the engine, takes long to import, so a thread imports it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sockstore.base.codecs import json_decoder
from sockstore.base.errors import HandshakeFailed
from sockstore.base.urls import redact_url
from sockstore.transports.base import Listener, Target, TransportOptions
from sockstore.transports.native.workers import PREPARATIONS

if TYPE_CHECKING:
    from sockstore.transports.native.wire import Wire

__all__ = ["NativeTransport"]

MOST_REDIRECTS = 10

_engine: Any = None
"""The module `attempt`; set by `_load` when it is imported completely."""


class NativeTransport:
    """A WebSocket over TCP or TLS, used once."""

    def __init__(self, listener: Listener, options: TransportOptions) -> None:
        self._listener = listener
        self._options = options
        self._wire: Wire | None = None  # of the latest attempt; set by `_attempt_began`

    @property
    def heard(self) -> int:
        """Reads that brought bytes so far."""
        return 0 if self._wire is None else self._wire.heard

    @property
    def reading_paused(self) -> bool:
        """Whether reading stopped because too much waits to be delivered."""
        return self._wire is not None and self._wire.reading_paused

    @property
    def buffered_amount(self) -> int:
        """Bytes that were handed over and not yet given to the network."""
        return 0 if self._wire is None else self._wire.buffered_amount

    async def open(self, target: Target) -> None:
        """Do the opening handshake, through at most 10 redirects.

        Raises:
            HandshakeFailed: If it failed; its socket is closed then.
            InvalidURI: If the server redirects to a url that is not valid for a WebSocket.
        """
        engine = _engine or await PREPARATIONS.run("load the engine", _load)
        for _ in range(MOST_REDIRECTS + 1):
            failure = await engine.attempt(
                target, self._listener, self._options, self._attempt_began
            )
            if failure is None:
                return
            following = engine.redirect_of(target, failure)
            if following is None:
                raise engine.translate(target, failure)
            target = following
        why = f"the server redirects more than {MOST_REDIRECTS} times"
        raise HandshakeFailed(redact_url(target.url), why, kind="protocol")

    def send(self, data: str | bytes) -> None:
        """Write one message."""
        if self._wire is not None:
            self._wire.send(data)

    def ping(self, payload: bytes) -> None:
        """Write a ping."""
        if self._wire is not None:
            self._wire.ping(payload)

    def pause_reading(self) -> None:
        """Bring no more messages until `resume_reading`."""
        if self._wire is not None:
            self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Bring messages again, from another turn on."""
        if self._wire is not None:
            self._wire.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; returns at once."""
        if self._wire is not None:
            self._wire.close(code, reason)

    def abort(self) -> None:
        """End it at once."""
        if self._wire is not None:
            self._wire.abort()

    def _attempt_began(self, wire: Wire) -> None:
        self._wire = wire


def _load() -> Any:
    global _engine  # noqa: PLW0603 - one for the process, as modules are
    json_decoder()  # the first message needs it, and its library loads as long as all the rest
    _engine = import_module("sockstore.transports.native.attempt")
    return _engine
