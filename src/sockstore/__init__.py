"""A WebSocket connection as reactive state.

Importing this package loads no user interface framework and no WebSocket engine, and does no I/O.
Names that few programs use are loaded at their first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sockstore.base.close import Close, FailureReason
from sockstore.base.deflate import Deflate
from sockstore.base.errors import (
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
    SubscriptionRefused,
)
from sockstore.base.options import Reconnect
from sockstore.base.outcomes import Classification, Outcome, classify
from sockstore.base.positions import Gap, Position
from sockstore.base.sending import Outbox
from sockstore.base.state import Attempt, ConnectionState, Failure, SocketInfo
from sockstore.base.version import __version__
from sockstore.connection.connection import Connection
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.navigation import Navigation
from sockstore.connection.receipts import Receipt
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.stores import Readable, Writable, derived, get, readable, readonly, writable

if TYPE_CHECKING:
    from sockstore.base.records import Message
    from sockstore.connection.opening import Opening
    from sockstore.connection.subscription import Subscription
    from sockstore.messages.log import MessageView
    from sockstore.messages.stream import MessageStream
    from sockstore.scope.navigator import Navigator
    from sockstore.scope.provider import WebSocketProvider, use_websocket
    from sockstore.scope.scope import Scope
    from sockstore.scope.subscription_provider import SubscriptionProvider, use_subscription

__all__ = [
    "Attempt",
    "Classification",
    "Close",
    "Connection",
    "ConnectionEnded",
    "ConnectionLost",
    "ConnectionState",
    "Deflate",
    "DeliveryError",
    "Failure",
    "FailureReason",
    "Gap",
    "HandshakeFailed",
    "InvalidOption",
    "InvalidURI",
    "Lagged",
    "Message",
    "MessageStream",
    "MessageView",
    "Navigation",
    "Navigator",
    "Opening",
    "Outbox",
    "Outcome",
    "OutcomeUnknown",
    "Position",
    "ProviderNotFound",
    "Readable",
    "Receipt",
    "Reconnect",
    "RequestFailed",
    "Scope",
    "ScopeClosed",
    "SocketInfo",
    "SockstoreError",
    "Stats",
    "StopReconnecting",
    "Subscription",
    "SubscriptionProvider",
    "SubscriptionRefused",
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
    "use_subscription",
    "use_websocket",
    "writable",
]

_LATER = {
    "Subscription": "sockstore.connection.subscription",
    "Message": "sockstore.base.records",
    "MessageStream": "sockstore.messages.stream",
    "MessageView": "sockstore.messages.log",
    "Navigator": "sockstore.scope.navigator",
    "Opening": "sockstore.connection.opening",
    "Scope": "sockstore.scope.scope",
    "SubscriptionProvider": "sockstore.scope.subscription_provider",
    "WebSocketProvider": "sockstore.scope.provider",
    "use_subscription": "sockstore.scope.subscription_provider",
    "use_websocket": "sockstore.scope.provider",
}
"""The names that are loaded at their first use, and their modules."""


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    thing: object = getattr(import_module(module), name)
    globals()[name] = thing
    return thing


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
