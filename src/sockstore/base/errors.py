"""Define every error that sockstore raises.

::

    SockstoreError
    ├── InvalidURI(ValueError)            uri, why
    ├── InvalidOption(ValueError)         option, value, why
    ├── HandshakeFailed                   url, why, kind, status, retry_after, code, headers, body
    ├── ConnectionLost                    why, close
    ├── ConnectionEnded                   why, reason, close
    ├── DeliveryError                     state, why
    ├── OutcomeUnknown                    why
    ├── RequestFailed                     code, message, data
    ├── SubscriptionRefused               key, why, has_ended
    ├── Lagged                            missed
    ├── ProviderNotFound(LookupError)     name, in_scope, why
    └── ScopeClosed                       action

    StopReconnecting(Exception)           why    (a signal that *your* callable raises)

Each error has its facts as attributes, and its text is one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from sockstore.base.close import Close, FailureReason

__all__ = [
    "ConnectionEnded",
    "ConnectionLost",
    "DeliveryError",
    "HandshakeFailed",
    "InvalidOption",
    "InvalidURI",
    "Lagged",
    "OutcomeUnknown",
    "ProviderNotFound",
    "RequestFailed",
    "ScopeClosed",
    "SockstoreError",
    "StopReconnecting",
    "SubscriptionRefused",
]

HandshakeFailureKind = Literal[
    "certificate",  # the server's TLS certificate could not be verified
    "http",  # the server answered with an HTTP status other than 101
    "network",  # DNS, refused, reset, end of file
    "on_open",  # the on_open callable raised, or did not return in time
    "option",  # a url, headers, subprotocols or token callable raised, or returned a wrong value
    "protocol",  # the answer is not a valid WebSocket handshake
    "refused",  # the server does not let us in, says its protocol
    "subprotocol",  # the server speaks none of the subprotocols that were offered
    "timeout",  # connect_timeout passed
]


class SockstoreError(Exception):
    """Base of every error of this package; never raised itself."""


class InvalidURI(SockstoreError, ValueError):
    """A WebSocket url cannot be used.

    Args:
        uri: The url as it was given, without its secrets.
        why: The problem with it, as the end of a sentence.
    """

    def __init__(self, uri: str, why: str) -> None:
        super().__init__(uri, why)
        self.uri = uri
        self.why = why

    def __str__(self) -> str:
        return f"{self.uri!r} is not a WebSocket url: {self.why}"


class InvalidOption(SockstoreError, ValueError):
    """An option has a value that cannot work; raised at construction, before any I/O.

    Args:
        option: The name of the option.
        value: The value that was given.
        why: Which value to give, as the end of a sentence.
    """

    def __init__(self, option: str, value: object, why: str) -> None:
        super().__init__(option, value, why)
        self.option = option
        self.value = value
        self.why = why

    def __str__(self) -> str:
        return f"{self.option}={self.value!r} cannot be used: {self.why}"


class HandshakeFailed(SockstoreError):
    """One attempt to open a connection failed.

    Args:
        url: The url, without its secrets.
        why: The reason, as the end of a sentence.
        kind: The kind of failure, for `classify`.
        status: The HTTP status of the server's answer, if there was one.
        retry_after: Seconds to wait before the next attempt, if the server asked for that.
        headers: The headers of the answer that refused, as (name, value) pairs.
        body: The first 4 KiB of the answer's body, unchanged; it may be HTML or compressed.
    """

    def __init__(
        self,
        url: str,
        why: str,
        *,
        kind: HandshakeFailureKind = "network",
        status: int | None = None,
        retry_after: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(url, why)
        self.url = url
        self.why = why
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.headers = headers
        self.body = body

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.why}"


class ConnectionLost(SockstoreError):
    """An open connection ended, without a request from this side.

    It is a value of `WebSocketStore.error`, and is not raised: the connection usually comes back.

    Args:
        why: The reason, for example ``"no answer to ping"``.
        close: The close code and reason, if the WebSocket was closed with one.
    """

    def __init__(self, why: str, close: Close | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.close = close


class ConnectionEnded(SockstoreError):
    """The connection was closed, or it failed and will not be retried.

    Args:
        why: The whole sentence.
        reason: Why it failed; None if it was closed.
        close: The close code and reason, if there was one.
    """

    def __init__(
        self, why: str, *, reason: FailureReason | None = None, close: Close | None = None
    ) -> None:
        super().__init__(why)
        self.why = why
        self.reason = reason
        self.close = close


class DeliveryError(SockstoreError):
    """A message was not delivered, or it is unknown whether it was.

    Args:
        state: The state its receipt ended in.
        why: The reason, as the end of a sentence.
    """

    def __init__(self, state: str, why: str) -> None:
        super().__init__(state, why)
        self.state = state
        self.why = why

    def __str__(self) -> str:
        return f"the message is {self.state}: {self.why}"


class OutcomeUnknown(SockstoreError):
    """A request was handed over, then the connection was lost: the server may have done it or not.

    Args:
        why: The reason, as the end of a sentence.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"the outcome of the request is unknown: {self.why}"


class RequestFailed(SockstoreError):
    """The server answered a request with an error.

    Args:
        code: The server's code of the error: a number, a text, or None.
        message: The server's message.
        data: Further data from the server, or None.
    """

    def __init__(self, code: object, message: str, data: object = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        message = f": {self.message}" if self.message else ""
        return f"the server answered the request with error {self.code}{message}"


class SubscriptionRefused(SockstoreError):
    """The server refused a subscription, or ended it.

    Args:
        key: What was subscribed to.
        why: The server's words; empty if it said none.
        has_ended: Whether it ended the subscription, and did not refuse it.
    """

    def __init__(
        self,
        key: object,
        why: str,
        has_ended: bool = False,  # noqa: FBT001, FBT002 - an error is pickled by place
    ) -> None:
        super().__init__(key, why, has_ended)
        self.key = key
        self.why = why
        self.has_ended = has_ended

    def __str__(self) -> str:
        did = "ended" if self.has_ended else "refused"
        words = f": {self.why}" if self.why else ""
        return f"the server {did} the subscription {self.key!r}{words}"


class Lagged(SockstoreError):
    """A reader of a stream fell behind by more than the stream's limit.

    Args:
        missed: How many messages this reader will not see.
    """

    def __init__(self, missed: int) -> None:
        super().__init__(missed)
        self.missed = missed

    def __str__(self) -> str:
        return (
            f"this reader fell behind and missed {self.missed} messages; read faster, "
            "raise the stream's limit, or choose overflow='drop_oldest'"
        )


class ProviderNotFound(SockstoreError, LookupError):
    """No provider of that name surrounds the caller.

    Args:
        name: The name that was looked up.
        in_scope: The names that are visible from there, nearest first.
        why: How to solve the usual cause, as the end of a sentence.
    """

    def __init__(self, name: str, in_scope: Sequence[str] = (), why: str = "") -> None:
        super().__init__(name, in_scope, why)
        self.name = name
        self.in_scope: Final = tuple(in_scope)
        self.why = why

    def __str__(self) -> str:
        names = ", ".join(map(repr, self.in_scope)) or "none"
        text = f"no WebSocketProvider named {self.name!r} surrounds this code (in scope: {names})"
        return f"{text}; {self.why}" if self.why else text


class ScopeClosed(SockstoreError):
    """A scope, or a connection that it owned, was used after the scope had been left.

    Args:
        action: The refused action, for example ``"send"``.
    """

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return f"cannot {self.action}: the scope that this belongs to has been left"


class StopReconnecting(Exception):
    """Raise it in a `url`, `headers`, `subprotocols` or `on_open` callable to end the connection.

    Args:
        why: The sentence that `WebSocketStore.error` will show.
    """

    def __init__(self, why: str = "a callable asked to stop reconnecting") -> None:
        super().__init__(why)
        self.why = why


def said(error: BaseException) -> str:
    """Return the text of another library's or a user's error, for use in a sentence.

    The `repr` of an error about encoding or decoding contains the whole text, which may be a token.

    Example:
        >>> said(LookupError("no token"))
        "LookupError('no token')"
        >>> said(UnicodeEncodeError("ascii", "s3cret\u200b", 6, 7, "ordinal not in range(128)"))
        'UnicodeEncodeError (ordinal not in range(128))'
    """
    if isinstance(error, UnicodeEncodeError | UnicodeDecodeError | UnicodeTranslateError):
        return f"{type(error).__name__} ({error.reason})"
    return repr(error)
