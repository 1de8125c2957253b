"""`WebSocketStore`: a WebSocket connection that is kept open, as a set of stores."""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, Self, TypeVar

from sockstore.base.checks import require_callable, require_instance, require_seconds
from sockstore.base.close import check_close
from sockstore.base.codecs import CodecLike
from sockstore.base.deflate import Deflate
from sockstore.base.errors import InvalidOption
from sockstore.base.options import Heartbeat, Outbox, Reconnect, reconnect_policy
from sockstore.base.outcomes import Outcome
from sockstore.base.state import Hint
from sockstore.connection.endpoint import (
    Endpoint,
    Headers,
    PerAttempt,
    Subprotocols,
    check_endpoint_url,
    shown_url,
)
from sockstore.connection.engine import Engine
from sockstore.connection.navigation import CloseOnNavigate, Navigates
from sockstore.connection.receipts import Receipt
from sockstore.connection.recovery import Opening, Resume, Session, check_recovery
from sockstore.connection.requests import IdField, RequestFormat
from sockstore.connection.view import ConnectionView
from sockstore.machine import events as fact
from sockstore.machine.memory import Settings
from sockstore.transports import PING_INTERVAL, default_transport, is_browsers_own
from sockstore.transports.base import TransportFactory, TransportOptions
from sockstore.transports.browser_limits import refuse_in_browser

__all__ = ["WebSocketStore"]

T = TypeVar("T")
P = ParamSpec("P")

DEFAULT_OUTBOX = Outbox()
DEFAULT_FORMAT = IdField()


class WebSocketStore(ConnectionView):
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
        connect_timeout: Seconds for one attempt: DNS, TCP, proxy, TLS and opening handshake.
        close_timeout: Seconds for the closing handshake, after which the transport is aborted.
        ping_interval: Seconds between pings; None for none, as in a browser, which has no pings.
        ping_timeout: Seconds an inbound byte may take after a ping before the peer counts as gone.
        idle_timeout: Seconds without a new message that end a connection; None for never.
        heartbeat: A `Heartbeat`, for a server that wants a ping of the application.
        max_message_bytes: A larger message closes the connection with 1009.
        history: Messages kept in `messages`; None keeps all, 0 none.
        outbox: An `Outbox` for messages while the connection is not open; None refuses them.
        session: A `Session`, for a room of a server that speaks it: nothing is lost over a
            reconnection, and nothing comes twice.
        resume: A `Resume`, for a server that has its own way to send missed messages.
        request_format: How `request` and the answers carry an id: an `IdField` or `JsonRpc`.
        codec: A type to decode JSON into (a `msgspec.Struct`, a dataclass, a pydantic model), a
            pair of functions (decode, encode), or a codec; None decodes JSON and keeps other text.
        on_open: A sync or async callable that is called with the connection after each opening
            handshake, before the connection is open for everyone; what it sends goes first. A
            `stream` that it makes misses nothing; `ready` would wait for `on_open` itself.
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
        heartbeat: Heartbeat | None = None,
        max_message_bytes: int = 2**20,
        history: int | None = 1000,
        outbox: Outbox | None = DEFAULT_OUTBOX,
        session: Session | None = None,
        resume: Resume | None = None,
        request_format: RequestFormat = DEFAULT_FORMAT,
        codec: CodecLike | None = None,
        on_open: Callable[[WebSocketStore], object] | None = None,
        on_error: Callable[[Exception, str | bytes], object] | None = None,
        should_reconnect: Callable[[Outcome], object] | None = None,
        ssl: tls.SSLContext | None = None,
        compression: bool | Deflate = False,
        proxy: str | bool | None = True,
        close_on_navigate: Navigates | None = None,
        transport: TransportFactory = default_transport,
    ) -> None:
        require_instance("outbox", outbox, Outbox, "an Outbox or None")
        check_recovery(session, resume, heartbeat)
        require_callable("on_open", on_open, may_await=True)
        require_callable("on_error", on_error)
        require_callable("should_reconnect", should_reconnect, may_await=True)
        require_callable("transport", transport)
        token = None if session is None else session.token
        endpoint = Endpoint(url, headers, subprotocols, token)
        transport_options = TransportOptions(
            max_message_bytes=max_message_bytes, ssl=ssl, compression=compression, proxy=proxy
        )
        if in_browser := is_browsers_own(transport):
            refuse_in_browser(transport_options, headers, ping_interval)
        opening = Opening(session, resume, on_open)
        settings = Settings(
            reconnect=reconnect_policy(reconnect),
            outbox=outbox,
            connect_timeout=connect_timeout,
            close_timeout=close_timeout,
            can_ping=not in_browser,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            idle_timeout=idle_timeout,
            heartbeat=heartbeat,
            channel=None if session is None else session.channel,
            since=None if session is None else session.since,
            has_on_open=bool(opening),
            has_fetch_state=opening.has_fetch_state,
            has_predicate=should_reconnect is not None,
            can_refresh=callable(headers) or callable(token),
        )
        self._navigation = CloseOnNavigate(close_on_navigate, self.close)
        engine = Engine(
            self,
            settings,
            endpoint,
            opening,
            self._navigation,
            transport=transport,
            transport_options=transport_options,
            codec=codec,
            on_error=on_error,
            should_reconnect=should_reconnect,
            request_format=request_format,
            history=history,
        )
        super().__init__(engine, engine.snapshot)

    # Connecting and closing

    def connect(self, url: PerAttempt[str] | None = None) -> None:
        """Connect and stay connected; returns at once.

        If it is in use with the same url already, nothing happens; with another url the old socket
        is retired first. After ``closed`` and ``failed`` it starts again and keeps the messages.

        Args:
            url: Where to, if it is not the url given before.

        Raises:
            InvalidURI: If the url cannot be used.
            InvalidOption: If no url was given.
            RuntimeError: If no event loop runs here.
            ScopeClosed: If its provider has been left.
        """
        self._gate.check("connect")
        url = self._engine.endpoint.url if url is None else check_endpoint_url(url)
        if url is None:
            raise InvalidOption("url", None, "give one to WebSocketStore() or to connect()")
        self._engine.bind("connect")
        self._engine.endpoint.url = url
        self._navigation.listen()
        self._driver.dispatch(fact.ConnectRequested(url))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and stay closed; returns at once, and the closing handshake goes on behind it.

        When it returns, ``connected`` is False, ``socket`` and ``error`` are None, and no message
        will be delivered any more. It is legal in every phase and in every callback.

        Args:
            code: The close code: 1000, or 3000 to 4999.
            reason: The close reason, at most 123 UTF-8 bytes.

        Raises:
            ValueError: If code or reason cannot be sent; nothing has happened then.
            RuntimeError: If it is called from another thread.

        Source:
            RFC 6455 sections 5.5.1 and 7.4; the browsers' ``WebSocket.close()``.

        Example:
            >>> connection = WebSocketStore("ws://localhost")
            >>> connection.close()
            >>> connection.phase.value
            'closed'
        """
        check_close(code, reason)
        self._driver.own.check_thread()
        self._driver.dispatch(fact.CloseRequested(code, reason))

    disconnect = close

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait until nothing is left: at most `close_timeout`.

        A `connect` in the meantime ends the waiting too.

        Args:
            code: The close code: 1000, or 3000 to 4999.
            reason: The close reason, at most 123 UTF-8 bytes.

        Raises:
            ValueError: If code or reason cannot be sent.
        """
        self.close(code, reason)
        await self._driver.wait_for_rest()

    def reconnect(self) -> None:
        """Open a new connection now: a wait is skipped, a live socket is retired.

        It is not counted as a retry and resets the count. It also works after `failed` and
        `closed`.

        Raises:
            InvalidOption: If no url was given.
            RuntimeError: If no event loop runs here.
            ScopeClosed: If its provider has been left.
        """
        self._gate.check("reconnect")
        if self._engine.endpoint.url is None:
            raise InvalidOption("url", None, "give one to WebSocketStore() or to connect()")
        self._engine.bind("reconnect")
        self._navigation.listen()
        self._driver.dispatch(fact.ReconnectRequested(self._engine.endpoint.url))

    def hint(self, hint: Hint) -> None:
        """Pass on a hint of the platform about the network; legal in every phase.

        Args:
            hint: ``"offline"`` pauses retries until it is online again, or for 30 s at most, and
                never closes an open socket; ``"online"`` and ``"resume"`` (the machine is awake
                again) end a wait at once and ping an open connection at once.

        Raises:
            InvalidOption: If it is another word.
            RuntimeError: If it is called from another thread.

        Source:
            The browsers' events ``online``, ``offline`` and ``resume``.
        """
        if hint not in ("online", "offline", "resume"):
            raise InvalidOption("hint", hint, "give 'online', 'offline' or 'resume'")
        self._driver.own.check_thread()
        self._driver.hint(hint)

    async def __aenter__(self) -> Self:
        self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Messages

    def send(self, data: Any) -> Receipt:
        """Send a message now, or as soon as the connection is open; never blocks.

        Args:
            data: `str` goes as text, bytes as binary, everything else as JSON (or as the codec
                encodes it).

        Returns:
            A receipt; it is true if the message was handed over or queued.

        Raises:
            TypeError: If the data cannot be encoded; nothing was sent.
            RuntimeError: If it is called from another thread.
            ScopeClosed: If its provider has been left.

        Example:
            >>> WebSocketStore("ws://localhost").send({"content": "sent when it is open"})
            <Receipt queued>
        """
        if self._gate.is_left:  # before the call, as every message comes here
            self._gate.check("send")
        return self._driver.send(self._engine.encoder(data))

    async def request(
        self,
        data: Any,
        timeout: float = 10.0,  # noqa: ASYNC109 - CONTRACT OB5
        *,
        idempotent: bool = False,
    ) -> Any:
        """Send a request, and wait for the answer that carries its id.

        The id is added to the request; the answer is not put into `messages`.

        Args:
            data: The request; a dict for the formats that come with this package.
            timeout: Seconds to wait at most. A request not sent by then is never sent.
            idempotent: Whether it may be done twice: then it is sent again after a loss.

        Returns:
            The answer: the object itself for `IdField`, the result for `JsonRpc`.

        Raises:
            TimeoutError: If no answer came in time.
            OutcomeUnknown: If the connection was lost after it was handed over.
            RequestFailed: If the answer is an error (`JsonRpc`).
            DeliveryError: If it could not be sent.
            TypeError: If the data cannot be encoded, or cannot carry an id.
            RuntimeError: If the connection has a session: a room does not answer requests.
            ScopeClosed: If its provider has been left.

        Example:
            >>> from sockstore.testing import FakeServer, VirtualClock, accept, echo
            >>> async def main(server: FakeServer) -> None:
            ...     async with WebSocketStore("ws://localhost", transport=server) as connection:
            ...         print(await connection.request({"op": "time"}))
            >>> VirtualClock().run(main(FakeServer(accept(), echo())))
            {'op': 'time', 'id': 1}
        """
        if self._engine.machine.session is not None:
            raise RuntimeError(
                "request() cannot be used with a session: a room does not answer requests"
            )
        require_seconds("timeout", timeout)
        return await self._engine.requests.ask(
            self.send, data, seconds=timeout, is_idempotent=idempotent
        )

    def call_threadsafe(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function on the connection's event loop, from any thread.

        Args:
            fn: For example ``connection.send``.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Returns:
            A `concurrent.futures.Future` of its result or error.

        Raises:
            RuntimeError: If the connection has not been connected on any loop.
            TypeError: If it is a coroutine function.

        Example:
            ::

                receipt = connection.call_threadsafe(connection.send, "hello").result()
        """
        return self._driver.own.call_threadsafe(fn, *args, **kwargs)

    def __repr__(self) -> str:
        shown = shown_url(self._engine.endpoint.url)
        return f"<WebSocketStore {shown} {self._state.value.phase}>"
