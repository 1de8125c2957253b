"""Act on a connection: connect, close, send and ask, for one holder."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, overload

from sockstore.base.checks import (
    require_at_least,
    require_callable,
    require_count,
    require_seconds,
    require_text,
)
from sockstore.base.close import check_close
from sockstore.base.errors import DeliveryError, InvalidOption
from sockstore.base.state import ConnectionState, Hint
from sockstore.connection.endpoint import PerAttempt, check_endpoint_url, shown_url
from sockstore.connection.engine import Engine, caller
from sockstore.connection.navigation import CloseOnNavigate
from sockstore.connection.receipts import Receipt
from sockstore.connection.sending import SendingSide
from sockstore.machine import events as fact
from sockstore.stores import Readable

if TYPE_CHECKING:
    from sockstore.connection.subscription import Subscription
    from sockstore.connection.talks import Talks
    from sockstore.messages.message import Message

__all__ = ["Connection", "begin"]

T = TypeVar("T")
P = ParamSpec("P")


NO_PARAMS: Final[Mapping[str, Any]] = MappingProxyType({})

NEEDS: Final = {
    "subscribe": ("has_subscriptions", "subscriptions", "Topics(...)"),
    "handle": ("has_calls", "calls by the server", "JsonRpc()"),
    "request": ("has_requests", "requests", "Plain()"),
    "reply": (None, "questions to answer", "Plain()"),
}
"""What a method needs: the attribute of `BaseProtocol` (None: any protocol), its words, and a
protocol that has it."""


class Connection(SendingSide):
    """A connection as one holder has it: a `WebSocketStore`, or a share of one (PV7).

    It is the type to annotate with where either will do; make a `WebSocketStore` to get one.

    Args:
        engine: The connection's parts, which holders may share.
        state: The snapshot that this holder sees.
        navigation: Calls `close` at the next navigation, if that is wanted.
    """

    def __init__(
        self, engine: Engine, state: Readable[ConnectionState], navigation: CloseOnNavigate
    ) -> None:
        super().__init__(engine, state)
        self._navigation = navigation

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
            >>> from sockstore import WebSocketStore
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
        begin(self)
        return self

    def _begin(self) -> None:
        """Connect; a lazy connection does so as soon as it is used."""
        if self._engine.users is None or self._engine.endpoint.url is None:
            self.connect()
            return
        self._gate.check("connect")
        self._engine.await_use()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Messages

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
            data: The request; a dict for the protocols that come with this package.
            timeout: Seconds to wait at most. A request not sent by then is never sent.
            idempotent: Whether it may be done twice: then it is sent again after a loss.

        Returns:
            The answer: the object itself for `Plain` and `Topics`, the result for `JsonRpc`.

        Raises:
            TimeoutError: If no answer came in time.
            OutcomeUnknown: If the connection was lost after it was handed over.
            RequestFailed: If the answer is an error (`JsonRpc`).
            DeliveryError: If it could not be sent.
            TypeError: If the data cannot be encoded, or cannot carry an id.
            RuntimeError: If the protocol has no requests, or if ``on_open`` would wait here for its
                own end.
            ScopeClosed: If its provider has been left.

        Example:
            >>> from sockstore import WebSocketStore
            >>> from sockstore.testing import FakeServer, VirtualClock, accept, echo
            >>> async def main(server: FakeServer) -> None:
            ...     async with WebSocketStore("ws://localhost", transport=server) as connection:
            ...         print(await connection.request({"op": "time"}))
            >>> VirtualClock().run(main(FakeServer(accept(), echo())))
            {'op': 'time', 'id': 1}
        """
        self._require("request")
        require_seconds("timeout", timeout)
        self._driver.callables.refuse_in_opening("request()", "use opening.request()")
        users = self._engine.users
        leave = None if users is None else users.stay()
        try:
            return await self._ask(data, timeout, is_idempotent=idempotent)
        finally:
            if leave is not None:
                leave()

    async def _ask(self, data: Any, seconds: float, *, is_idempotent: bool) -> Any:
        if self._gate.why_unused is not None:
            raise DeliveryError("refused", self._gate.why_unused)
        requests = self._engine.requests
        return await requests.ask(data, self._gate, seconds=seconds, is_idempotent=is_idempotent)

    def reply(self, message: Message, data: Any) -> Receipt:
        """Answer a message on the connection that it came on, or not at all; never blocks.

        So an answer that comes too late never reaches a server that did not ask.

        Args:
            message: A message of `messages`, of `stream` or of ``on_append`` of this connection; a
                subscription's messages are counted by themselves, so they cannot be given.
            data: The answer, as for `send`.

        Returns:
            A receipt; it is ``dropped`` if that connection is gone, or goes before it can leave.

        Raises:
            TypeError: If the data cannot be encoded; nothing was sent.
            RuntimeError: If it is called from another thread, or with a session.
            ScopeClosed: If its provider has been left.

        Example:
            ::

                async for message in connection.stream():
                    if message.data["op"] == "ping":
                        connection.reply(message, {"op": "pong", "id": message.data["id"]})
        """
        self._gate.require_use("reply")
        self._require("reply")
        data = self._engine.encoder(data)
        return self._driver.sender.reply(data, message.number, self._gate)

    @overload
    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        type: type[T],
        history: int | None = 100,
        limit: int = 256,
        snapshot: Callable[[], object] | None = None,
        linger: float = 0.0,
    ) -> Subscription[T]: ...
    @overload
    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        type: UnionType | None = None,
        history: int | None = 100,
        limit: int = 256,
        snapshot: Callable[[], object] | None = None,
        linger: float = 0.0,
    ) -> Subscription[Any]: ...
    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        type: Any = None,  # noqa: A002 - CONTRACT SU3
        history: int | None = 100,
        limit: int = 256,
        snapshot: Callable[[], object] | None = None,
        linger: float = 0.0,
    ) -> Subscription[Any]:
        """Ask the server to tell about something, now and on each connection that follows.

        It is legal in every phase, and in callbacks. What is asked for in one turn of the event
        loop goes to the server together. Subscriptions with the same key and parameters share one
        of the server, if the protocol says so; each is a handle with messages of its own.

        Args:
            key: What to subscribe to, as the protocol names it.
            params: What else the server is asked with: JSON.
            type: A type that its messages are decoded into, or a union of types; None leaves that
                to the connection's `codec`.
            history: Messages kept in its `messages`; None keeps all, 0 none.
            limit: Messages that may wait for a reader, and those that are held back at most while
                the snapshot is loaded.
            snapshot: A sync or async callable that loads the state that the messages change. It is
                called once the server has accepted the subscription, and again after each gap;
                what follows is delivered after it has returned. What it returns, unless None,
                comes first, as a `Message` of kind ``"snapshot"``. If it raises or takes over
                `connect_timeout`, it is called again, by the schedule of `reconnect`.
            linger: Seconds for which the server is not told that the last handle was released.

        Returns:
            The handle, at once; its `ready` waits for the server.

        Raises:
            RuntimeError: If the protocol has no subscriptions, or from another thread.
            InvalidOption: If the key is in use with other parameters, or a value cannot be used.
            TypeError: If the key is a callable or not hashable, or the parameters are not JSON.
            ScopeClosed: If its provider has been left.

        Example:
            >>> from sockstore import WebSocketStore
            >>> from sockstore.protocols import Topics
            >>> from sockstore.testing import FakeServer, VirtualClock, accept, pause, send
            >>> async def main(server: FakeServer) -> None:
            ...     by_type = Topics(key=lambda data: data.get("type"))
            ...     async with WebSocketStore(
            ...         "ws://localhost", protocol=by_type, transport=server
            ...     ) as connection, connection.subscribe("price") as prices:
            ...         async for message in prices:
            ...             print(message.data["value"])
            ...             break
            >>> VirtualClock().run(
            ...     main(FakeServer(accept(), pause(1), send({"type": "price", "value": 101})))
            ... )
            101
        """
        talks = self._talks("subscribe")
        if callable(key):
            raise TypeError(
                "subscribe() takes a key: a connection is not a store. To be told of its state "
                "use connection.state.subscribe(function)"
            )
        require_count("limit", limit, least=1)
        require_at_least("linger", linger, 0)
        require_callable("snapshot", snapshot, may_await=True)
        from sockstore.connection.subscription import Subscription  # noqa: PLC0415 - as `talks`

        feed = talks.subscribe(
            key,
            params,
            owner=self,
            gate=self._gate,
            convert=self._engine.receiver.payload_reader(type),
            history=history,
            limit=limit,
            snapshot=snapshot,
            linger=linger,
        )
        return Subscription(talks, feed, self, caller())

    def handle(self, name: str, fn: Callable[..., object]) -> Callable[[], None]:
        """Answer the server's calls of this name with what a function returns.

        The answer leaves on the connection that the call came on, and on no other. At most 100
        calls are answered at once.

        Args:
            name: The name of the method or event.
            fn: A sync or async function. It gets a list of parameters by position, an object by
                name. A `RequestFailed` that it raises is the server's answer.

        Returns:
            How to stop.

        Raises:
            ValueError: If another function answers this name.
            TypeError: If it is no function.
            RuntimeError: If the protocol has no calls by the server.
            ScopeClosed: If its provider has been left.

        Example:
            >>> from sockstore import WebSocketStore
            >>> from sockstore.protocols import JsonRpc
            >>> connection = WebSocketStore("ws://localhost", protocol=JsonRpc())
            >>> stop = connection.handle("add", lambda a, b: a + b)
        """
        return self._talks("handle").handle(name, fn)

    def lose(self, why: str) -> None:
        """End the live connection as a loss, as if the network had done it.

        It is for a program that knows better than the network: the messages make no sense any
        more, a sequence number is missing, the server answers nothing useful. The reconnection
        schedule decides what follows. Without a live connection nothing happens.

        Args:
            why: The reason, as the end of a sentence; `error` and the timeline show it.

        Raises:
            InvalidOption: If it is not text, or is empty.
            RuntimeError: If it is called from another thread.
            ScopeClosed: If its provider has been left.

        Example:
            ::

                if message.data["seq"] != expected:
                    connection.lose("the server left out a message")
        """
        self._gate.require_use("lose")
        require_text("why", why, "a reason in words")
        self._driver.own.check_thread()
        self._driver.dispatch(fact.LossDeclared(why))

    def _talks(self, action: str) -> Talks:
        self._gate.require_use(action)
        self._require(action)
        talks = self._engine.talks
        assert talks is not None  # noqa: S101 - only a plain connection has none
        self._driver.own.check_thread()
        return talks

    def _require(self, action: str) -> None:
        """Raise a `RuntimeError` if the protocol has no room for this (CN22)."""
        self._gate.check(action)
        attribute, words, other = NEEDS[action]
        protocol = self._engine.machine.settings.protocol
        if protocol is None or not (attribute is None or getattr(protocol, attribute)):
            name = "a session" if protocol is None else type(protocol).__name__
            raise RuntimeError(
                f"{action}() cannot be used with {name}, which has no {words}; "
                f"give protocol={other}, or another one that has them"
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
        return f"<{type(self).__name__} {shown} {self._state.value.phase}>"


def begin(connection: Connection) -> None:
    """Connect as an ``async with`` block does: if it is lazy, only once it is used."""
    connection._begin()  # noqa: SLF001 - no name for users
