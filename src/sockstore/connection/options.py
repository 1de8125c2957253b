"""List the options of a connection, for callers that pass them on."""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable
from typing import TypedDict

from sockstore.base.codecs import CodecLike
from sockstore.base.deflate import Deflate
from sockstore.base.outcomes import Outcome
from sockstore.base.sending import Outbox
from sockstore.connection.endpoint import Headers, PerAttempt, Subprotocols
from sockstore.connection.navigation import Navigates
from sockstore.connection.opening import Opening
from sockstore.protocols.base import BaseProtocol
from sockstore.transports.base import TransportFactory

__all__ = ["ConnectionOptions"]


class ConnectionOptions(TypedDict, total=False):
    """The options of `WebSocketStore` that others pass on as they are.

    They stand in its constructor, too, and a test holds both equal: `Unpack` there would hide the
    defaults from editors and from `help()`.
    """

    headers: PerAttempt[Headers]
    subprotocols: PerAttempt[Subprotocols]
    connect_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float
    idle_timeout: float | None
    max_message_bytes: int
    history: int | None
    outbox: Outbox | None
    protocol: BaseProtocol | None
    lazy: bool
    codec: CodecLike | None
    on_open: Callable[[Opening], object] | None
    on_error: Callable[[Exception, str | bytes], object] | None
    should_reconnect: Callable[[Outcome], object] | None
    ssl: tls.SSLContext | None
    compression: bool | Deflate
    proxy: str | bool | None
    close_on_navigate: Navigates | None
    transport: TransportFactory
