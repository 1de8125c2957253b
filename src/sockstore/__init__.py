"""A WebSocket connection as reactive state.

Importing this package loads no user interface framework, no WebSocket engine, and does no I/O.
What few programs use is loaded when it is used first.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sockstore._version import __version__
from sockstore.connection import WebSocketStore
from sockstore.deflate import Deflate
from sockstore.errors import (
    ConnectionEnded,
    ConnectionLost,
    DeliveryError,
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    Lagged,
    OutcomeUnknown,
    ProviderNotFound,
    RequestFailed,
    ScopeClosed,
    SockstoreError,
    StopReconnecting,
)
from sockstore.heartbeat import Heartbeat
from sockstore.machine.state import Attempt, ConnectionState, Failure, SocketInfo
from sockstore.navigation import Navigation
from sockstore.options import Outbox, Reconnect
from sockstore.outcomes import Classification, Close, FailureReason, Outcome, classify
from sockstore.positions import Gap, Position, Publication
from sockstore.receipts import Receipt
from sockstore.recovery import Resume, Session
from sockstore.requests import IdField, JsonRpc
from sockstore.stats import Stats
from sockstore.stores import Readable, Writable, derived, get, readable, readonly, writable
from sockstore.timeline import TimelineEvent

if TYPE_CHECKING:
    from sockstore.messages import MessageView
    from sockstore.navigator import Navigator
    from sockstore.provider import WebSocketProvider, use_websocket
    from sockstore.records import Message
    from sockstore.scope import Scope
    from sockstore.streams import MessageStream

__all__ = [
    "Attempt",
    "Classification",
    "Close",
    "ConnectionEnded",
    "ConnectionLost",
    "ConnectionState",
    "Deflate",
    "DeliveryError",
    "Failure",
    "FailureReason",
    "Gap",
    "HandshakeFailed",
    "Heartbeat",
    "IdField",
    "InvalidOption",
    "InvalidURI",
    "JsonRpc",
    "Lagged",
    "Message",
    "MessageStream",
    "MessageView",
    "Navigation",
    "Navigator",
    "Outbox",
    "Outcome",
    "OutcomeUnknown",
    "Position",
    "ProviderNotFound",
    "Publication",
    "Readable",
    "Receipt",
    "Reconnect",
    "RequestFailed",
    "Resume",
    "Scope",
    "ScopeClosed",
    "Session",
    "SocketInfo",
    "SockstoreError",
    "Stats",
    "StopReconnecting",
    "TimelineEvent",
    "WebSocketProvider",
    "WebSocketStore",
    "Writable",
    "__version__",
    "classify",
    "derived",
    "get",
    "readable",
    "readonly",
    "use_websocket",
    "writable",
]

_LATER = {
    "Message": "sockstore.records",
    "MessageStream": "sockstore.streams",
    "MessageView": "sockstore.messages",
    "Navigator": "sockstore.navigator",
    "Scope": "sockstore.scope",
    "WebSocketProvider": "sockstore.provider",
    "use_websocket": "sockstore.provider",
}
"""The names that are loaded when they are used first, and where they are."""


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    thing: object = getattr(import_module(module), name)
    globals()[name] = thing
    return thing


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
