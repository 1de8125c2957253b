"""A WebSocket connection as reactive state.

Importing this package does no I/O. Each name is loaded at its first use, so that a program loads
what it uses, and the command ``sockstore`` can handle Ctrl-C before most modules are loaded.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    )
    from sockstore.base.options import Heartbeat, Outbox, Reconnect
    from sockstore.base.outcomes import Classification, Outcome, classify
    from sockstore.base.positions import Gap, Position, Publication
    from sockstore.base.state import Attempt, ConnectionState, Failure, SocketInfo
    from sockstore.base.version import __version__
    from sockstore.connection.inspection.observer import Stats
    from sockstore.connection.inspection.timeline import TimelineEvent
    from sockstore.connection.navigation import Navigation
    from sockstore.connection.receipts import Receipt
    from sockstore.connection.recovery import Resume, Session
    from sockstore.connection.requests import IdField, JsonRpc
    from sockstore.connection.websocket_store import WebSocketStore
    from sockstore.messages.log import MessageView
    from sockstore.messages.message import Message
    from sockstore.messages.stream import MessageStream
    from sockstore.scope.navigator import Navigator
    from sockstore.scope.provider import WebSocketProvider, use_websocket
    from sockstore.scope.scope import Scope
    from sockstore.stores import Readable, Writable, derived, get, readable, readonly, writable

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

_MODULES = {
    "sockstore.base.close": "Close FailureReason",
    "sockstore.base.deflate": "Deflate",
    "sockstore.base.errors": (
        "ConnectionEnded ConnectionLost DeliveryError HandshakeFailed InvalidOption InvalidURI "
        "Lagged OutcomeUnknown ProviderNotFound RequestFailed ScopeClosed SockstoreError "
        "StopReconnecting"
    ),
    "sockstore.base.options": "Heartbeat Outbox Reconnect",
    "sockstore.base.outcomes": "Classification Outcome classify",
    "sockstore.base.positions": "Gap Position Publication",
    "sockstore.base.state": "Attempt ConnectionState Failure SocketInfo",
    "sockstore.base.version": "__version__",
    "sockstore.connection.inspection.observer": "Stats",
    "sockstore.connection.inspection.timeline": "TimelineEvent",
    "sockstore.connection.navigation": "Navigation",
    "sockstore.connection.receipts": "Receipt",
    "sockstore.connection.recovery": "Resume Session",
    "sockstore.connection.requests": "IdField JsonRpc",
    "sockstore.connection.websocket_store": "WebSocketStore",
    "sockstore.messages.log": "MessageView",
    "sockstore.messages.message": "Message",
    "sockstore.messages.stream": "MessageStream",
    "sockstore.scope.navigator": "Navigator",
    "sockstore.scope.provider": "WebSocketProvider use_websocket",
    "sockstore.scope.scope": "Scope",
    "sockstore.stores": "Readable Writable derived get readable readonly writable",
}
"""The modules of these names."""


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - see the docstring of this package

    for module, names in _MODULES.items():
        if name in names.split():
            thing: object = getattr(import_module(module), name)
            globals()[name] = thing
            return thing
    if (module := f"{__name__}.{name}") in _MODULES:
        return import_module(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
