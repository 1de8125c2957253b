"""`WebSocketStore`: a WebSocket connection that is kept open, as a set of stores."""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sockstore.base.checks import (
    require_at_least,
    require_callable,
    require_flag,
    require_instance,
)
from sockstore.base.codecs import CodecLike
from sockstore.base.deflate import Deflate
from sockstore.base.errors import InvalidOption
from sockstore.base.options import Reconnect, reconnect_policy
from sockstore.base.outcomes import Outcome
from sockstore.base.sending import Outbox
from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import Endpoint, Headers, PerAttempt, Subprotocols
from sockstore.connection.engine import Engine
from sockstore.connection.navigation import CloseOnNavigate, Navigates
from sockstore.machine.memory import Settings
from sockstore.transports import PING_INTERVAL, default_transport, is_browsers_own
from sockstore.transports.base import TransportFactory, TransportOptions
from sockstore.transports.browser_limits import refuse_in_browser

if TYPE_CHECKING:
    from sockstore.connection.opening import Opening
    from sockstore.protocols.base import BaseProtocol

__all__ = ["WebSocketStore"]

DEFAULT_OUTBOX = Outbox()


class WebSocketStore(Connection):
    """A WebSocket connection as reactive state: it is kept open, and everyone sees it the same.

    Constructing it does no input or output and needs no event loop.

    Args:
        url: ``ws://`` or ``wss://``; or a sync or async callable that is asked with an `Attempt`
            before each attempt; or None if it comes with `connect`.
        reconnect: True for `Reconnect.exponential`, False for never, or a `Reconnect`. After a
            goodbye of the server (1000 or 1005) it returns too, by the schedule, unless you say
            ``Reconnect(after_goodbye=False)``.
        headers: Handshake headers to add, or a callable as for `url`.
        subprotocols: Subprotocols to offer, the preferred one first, or a callable as for `url`.
        connect_timeout: Seconds for one attempt: DNS, TCP, proxy, TLS and opening handshake; and as
            many again for the opening, `on_open` included.
        close_timeout: Seconds for the closing handshake, after which the transport is aborted.
        ping_interval: Seconds between pings; None for none, as in a browser, which has no pings.
        ping_timeout: Seconds an inbound byte may take after a ping before the peer counts as gone.
        idle_timeout: Seconds without a new message that end a connection; None for never.
        max_message_bytes: A larger message closes the connection with 1009.
        history: Messages kept in `messages`; None keeps all, 0 none.
        outbox: An `Outbox` for messages while the connection is not open; None refuses them.
        protocol: What frames mean on the server, of ``sockstore.protocols``: `Centrifuge`,
            `Topics`, `JsonRpc` or one of your own. None is ``Plain()``: they are your messages.
        lazy: Whether it connects only for the first subscriber of its messages, stream,
            subscription, send or request, and closes once nobody uses it. Inside ``async with``, or
            after `connect`, which connects at once; `close` ends it until then.
        linger: Seconds that a lazy connection stays open after its last use.
        codec: A type to decode JSON into (a `msgspec.Struct`, a dataclass, a pydantic model), a
            pair of functions (decode, encode), or a codec; None decodes JSON and keeps other text.
        on_open: A sync or async callable that is called with an `Opening` after each opening
            handshake, before the connection is open for everyone: it sends, receives and asks.
        on_error: Called with an exception and the raw frame that could not be decoded.
        should_reconnect: A sync or async callable that is asked with an `Outcome` before each
            retry; if it returns false, the connection fails.
        ssl: The TLS context for ``wss://``, for your own CA or a client certificate.
        compression: Whether to offer permessage-deflate, or a `Deflate` with its parameters.
        proxy: The url of an HTTP or SOCKS proxy (the latter with the extra ``proxy``); True for
            the proxy of the environment (``HTTPS_PROXY``, ``NO_PROXY``...), None for no proxy.
        close_on_navigate: A `Navigator`, whose next navigation closes the connection.
        transport: Makes the transports; for tests, a `sockstore.testing.FakeServer`.

    Attributes:
        messages: The last `history` messages, a store and a log.

    Raises:
        InvalidURI: If the url cannot be used.
        InvalidOption: If another option cannot be used.

    Source:
        The guide's store pattern (``initWebSocket``, ``closeWebSocket``, ``sendMessage``).

    Example:
        >>> from sockstore.testing import FakeServer, VirtualClock, accept, echo
        >>> async def main(server: FakeServer) -> None:
        ...     async with WebSocketStore("ws://localhost", transport=server) as connection:
        ...         connection.send({"content": "hello"})
        ...         async for message in connection.stream():
        ...             print(message.data)
        ...             break
        >>> VirtualClock().run(main(FakeServer(accept(), echo())))
        {'content': 'hello'}
    """

    def __init__(
        self,
        url: PerAttempt[str] | None = None,
        *,
        reconnect: bool | Reconnect = True,
        headers: PerAttempt[Headers] = (),
        subprotocols: PerAttempt[Subprotocols] = (),
        connect_timeout: float = 10.0,
        close_timeout: float = 5.0,
        ping_interval: float | None = PING_INTERVAL,
        ping_timeout: float = 20.0,
        idle_timeout: float | None = None,
        max_message_bytes: int = 2**20,
        history: int | None = 1000,
        outbox: Outbox | None = DEFAULT_OUTBOX,
        protocol: BaseProtocol | None = None,
        lazy: bool = False,
        linger: float = 0.0,
        codec: CodecLike | None = None,
        on_open: Callable[[Opening], object] | None = None,
        on_error: Callable[[Exception, str | bytes], object] | None = None,
        should_reconnect: Callable[[Outcome], object] | None = None,
        ssl: tls.SSLContext | None = None,
        compression: bool | Deflate = False,
        proxy: str | bool | None = True,
        close_on_navigate: Navigates | None = None,
        transport: TransportFactory = default_transport,
    ) -> None:
        require_instance("outbox", outbox, Outbox, "an Outbox or None")
        protocol = _checked(protocol)
        require_flag("lazy", lazy)
        require_at_least("linger", linger, 0)
        if linger and not lazy:
            raise InvalidOption("linger", linger, "give lazy=True, too")
        require_callable("on_open", on_open, may_await=True)
        require_callable("on_error", on_error)
        require_callable("should_reconnect", should_reconnect, may_await=True)
        require_callable("transport", transport)
        adds = None if protocol.is_plain else protocol
        endpoint = Endpoint(url, headers, subprotocols, adds)
        transport_options = TransportOptions(
            max_message_bytes=max_message_bytes, ssl=ssl, compression=compression, proxy=proxy
        )
        if in_browser := is_browsers_own(transport):
            refuse_in_browser(transport_options, headers, ping_interval)
        settings = Settings(
            reconnect=reconnect_policy(reconnect),
            outbox=outbox,
            connect_timeout=connect_timeout,
            close_timeout=close_timeout,
            can_ping=not in_browser,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            idle_timeout=idle_timeout,
            heartbeat=protocol.heartbeat,
            protocol=protocol,
            linger=linger if lazy else None,
            has_on_open=on_open is not None,
            has_predicate=should_reconnect is not None,
            can_refresh=on_open is not None or endpoint.has_callable,
        )
        navigation = CloseOnNavigate(close_on_navigate, self.close)
        engine = Engine(
            self,
            settings,
            endpoint,
            on_open,
            navigation,
            make_opening=_make_opening,
            transport=transport,
            transport_options=transport_options,
            codec=codec,
            on_error=on_error,
            should_reconnect=should_reconnect,
            protocol=protocol,
            history=history,
        )
        super().__init__(engine, engine.snapshot, navigation)


def _checked(protocol: BaseProtocol | None) -> BaseProtocol:
    """Return the protocol, or the usual one; both are loaded with the first connection (CN1)."""
    from sockstore.protocols.base import BaseProtocol  # noqa: PLC0415 - see above
    from sockstore.protocols.plain import PLAIN  # noqa: PLC0415 - see above

    require_instance("protocol", protocol, BaseProtocol, "a protocol or None")
    return PLAIN if protocol is None else protocol


def _make_opening(*parts: Any, is_reconnection: bool) -> Opening:
    from sockstore.connection.opening import Opening  # noqa: PLC0415 - few programs need it

    return Opening(*parts, is_reconnection=is_reconnection)
