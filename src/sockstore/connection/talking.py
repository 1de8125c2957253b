"""Speak with the server, for one holder: requests, replies, subscriptions and handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from sockstore.base.checks import (
    require_at_least,
    require_callable,
    require_count,
    require_instance,
    require_seconds,
)
from sockstore.base.errors import DeliveryError, InvalidOption
from sockstore.base.positions import Position
from sockstore.connection.engine import caller
from sockstore.connection.receipts import Receipt
from sockstore.connection.sending import SendingSide

if TYPE_CHECKING:
    from sockstore.base.records import Message
    from sockstore.connection.subscription import Subscription
    from sockstore.connection.talks import Talks
    from sockstore.protocols.base import Ask

__all__ = ["NO_PARAMS", "TalkingSide", "Token", "subscribe_from"]

T = TypeVar("T")

Token: TypeAlias = "str | Callable[[Ask], str | Awaitable[str]] | None"  # noqa: S105 - a type
"""A token, or what makes one."""

NO_PARAMS: Final[Mapping[str, Any]] = MappingProxyType({})

NEEDS: Final = {
    "subscribe": ("has_subscriptions", "subscriptions", "Topics(...)"),
    "handle": ("has_calls", "calls by the server", "JsonRpc()"),
    "request": ("has_requests", "requests", "Plain()"),
    "reply": ("has_messages", "messages of its own to answer", "Plain()"),
}
"""What a method needs: the attribute of `BaseProtocol`, its words, and a protocol that has it."""


class TalkingSide(SendingSide):
    """What a connection says to its server beside messages, for one holder."""

    async def request(
        self,
        data: Any,
        timeout: float | None = 10.0,  # noqa: ASYNC109 - CONTRACT OB5
        *,
        idempotent: bool = False,
    ) -> Any:
        """Send a request, and wait for the answer that carries its id.

        The id is added to the request; the answer is not put into `messages`.

        Args:
            data: The request; a dict for the protocols that come with this package.
            timeout: Seconds to wait at most; None sets no limit. A request not sent by then is
                never sent.
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
        require_seconds("timeout", timeout, optional=True)
        self._driver.callables.refuse_in_opening("request()", "use opening.request()")
        if self._gate.why_unused is not None:
            raise DeliveryError("refused", self._gate.why_unused)
        users = self._engine.users
        leave = None if users is None else users.stay()
        try:
            return await self._engine.requests.ask(
                data, self._gate, seconds=timeout, is_idempotent=idempotent
            )
        finally:
            if leave is not None:
                leave()

    def reply(self, message: Message, data: Any) -> Receipt:
        """Answer a message on the connection that it came on, or not at all; never blocks.

        So an answer that comes too late never reaches a server that did not ask.

        Args:
            message: A message of `messages`, of `stream` or of ``on_append`` of this connection,
                and not of a subscription, whose messages are counted by themselves.
            data: The answer, as for `send`.

        Returns:
            A receipt; it is ``dropped`` if that connection is gone, or goes before it can leave.

        Raises:
            TypeError: If the data cannot be encoded, or `message` is no message of the connection;
                nothing was sent.
            RuntimeError: If it is called from another thread, or the protocol has no messages that
                belong to no subscription.
            ScopeClosed: If its provider has been left.

        Example:
            ::

                async for message in connection.stream():
                    if message.data["op"] == "ping":
                        connection.reply(message, {"op": "pong", "id": message.data["id"]})
        """
        self._gate.require_use("reply")
        self._require("reply")
        number = getattr(message, "number", None)
        if not isinstance(number, int):
            raise TypeError(f"reply() takes the message that it answers first, not {message!r:.80}")
        if message.key is not None:
            raise TypeError(
                f"reply() cannot know the connection of a message of the subscription "
                f"{message.key!r}; send(data, now=True) sends at once, or not at all"
            )
        return self._driver.sender.reply(self._engine.encoder(data), number, self._gate)

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
        token: Token = None,
        since: Position | None = None,
    ) -> Subscription[T]: ...
    @overload
    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        type: Any = None,
        history: int | None = 100,
        limit: int = 256,
        snapshot: Callable[[], object] | None = None,
        linger: float = 0.0,
        token: Token = None,
        since: Position | None = None,
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
        token: Token = None,
        since: Position | None = None,
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
            token: A token for this subscription, or a sync or async callable that makes one; it is
                called again, with an `Ask` whose ``refresh`` is true, if the server refuses it or
                before it expires. For servers of `Centrifuge`.
            since: The position of the last message that the program has: what came after it is
                delivered first. None begins with what comes now. For servers of `Centrifuge`.

        Returns:
            The handle, at once; its `ready` waits for the server.

        Raises:
            RuntimeError: If the protocol has no subscriptions, or from another thread.
            InvalidOption: If the key is in use with other parameters, or a value cannot be used.
            TypeError: If the key is None, a callable or not hashable, or the parameters are not
                JSON.
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
        return self._subscribe(
            key,
            params,
            type=type,
            history=history,
            limit=limit,
            snapshot=snapshot,
            linger=linger,
            token=token,
            since=since,
            where=caller(),
        )

    def _subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any],
        *,
        type: Any,  # noqa: A002 - as `subscribe`
        history: int | None,
        limit: int,
        snapshot: Callable[[], object] | None,
        linger: float,
        token: Token,
        since: Position | None,
        where: str,
    ) -> Subscription[Any]:
        talks = self._talks("subscribe")
        if key is None:
            raise TypeError("subscribe() takes a key: None names nothing")
        if callable(key):
            raise TypeError(
                "subscribe() takes a key: a connection is not a store. To be told of its state "
                "use connection.state.subscribe(function)"
            )
        if not isinstance(params, Mapping):
            raise InvalidOption("params", params, "give a mapping: what else the server is asked")
        require_count("limit", limit, least=1)
        require_at_least("linger", linger, 0)
        require_callable("snapshot", snapshot, may_await=True)
        require_instance("since", since, Position, "a Position or None")
        self._check_extras(talks, token=token, since=since)
        from sockstore.connection.subscription import Subscription  # noqa: PLC0415 - as `talks`

        feed = talks.subscribe(
            key,
            params,
            owner=self,
            gate=self._gate,
            convert=self._engine.receiver.payload_reader(type),
            read=self._engine.receiver.read_payload,
            history=history,
            limit=limit,
            snapshot=snapshot,
            linger=linger,
            token=token,
            since=since,
        )
        return Subscription(talks, feed, self, where)

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
            TypeError: If it is no function, or has a yield, so that it could never answer.
            RuntimeError: If the protocol has no calls by the server.
            ScopeClosed: If its provider has been left.

        Example:
            >>> from sockstore import WebSocketStore
            >>> from sockstore.protocols import JsonRpc
            >>> connection = WebSocketStore("ws://localhost", protocol=JsonRpc())
            >>> stop = connection.handle("add", lambda a, b: a + b)
        """
        return self._talks("handle").handle(name, fn)

    def _check_extras(self, talks: Talks, **extras: object) -> None:
        """Refuse a token or a position that the protocol could not give to its server."""
        protocol = talks.protocol
        for option, value in extras.items():
            if value is not None and option not in protocol.subscribes_with:
                how = f"{type(protocol).__name__} does not take it; Centrifuge() does"
                raise InvalidOption(option, "***" if option == "token" else value, how)
        token = extras["token"]
        if token is not None and not isinstance(token, str):
            require_callable("token", token, may_await=True)

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
        assert protocol is not None  # noqa: S101 - a connection has one
        if not getattr(protocol, attribute):
            from sockstore.protocols.base import how_to_say  # noqa: PLC0415 - as `talks`

            raise RuntimeError(
                f"{action}() cannot be used with {type(protocol).__name__}, which has no {words}; "
                f"give protocol={other}, or another one that has them"
                f"{how_to_say(protocol, attribute)}"
            )


def subscribe_from(
    where: str, connection: TalkingSide, key: Hashable, params: Mapping[str, Any], **options: Any
) -> Subscription[Any]:
    """Subscribe for code that runs in another thread.

    Args:
        where: The place of that code, for the warning about a handle that was dropped.
        connection: The connection.
        key: As for `TalkingSide.subscribe`.
        params: As for `TalkingSide.subscribe`.
        options: All other arguments of `TalkingSide.subscribe`.
    """
    return connection._subscribe(key, params, **options, where=where)  # noqa: SLF001 - no name for users
