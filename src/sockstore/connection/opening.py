"""Let ``on_open`` speak with the server before anybody sees the connection open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sockstore.base.errors import HandshakeFailed, InvalidOption
from sockstore.base.options import Heartbeat
from sockstore.base.outcomes import Word
from sockstore.base.state import Attempt
from sockstore.connection.inspection.explain import where_to
from sockstore.connection.user_tasks import OpeningRefused
from sockstore.machine import events as fact

if TYPE_CHECKING:
    from sockstore.base.records import Message
    from sockstore.connection.connection import Connection
    from sockstore.connection.driver import Driver
    from sockstore.connection.link import Link
    from sockstore.connection.receipts import Receipt
    from sockstore.connection.receiver import Receiver

__all__ = ["Opening"]


class Opening:
    """The argument of ``on_open``: a connection that is not open for anybody else yet.

    What it sends leaves before everything else. When ``on_open`` has returned, the subscriptions
    are asked for, the outbox leaves, and the messages that it did not `receive` are delivered, once
    and in order. All of the opening has `connect_timeout` seconds; an exception is a failed
    attempt.

    Attributes:
        connection: The `WebSocketStore`; its `ready`, `request` and streams cannot be used yet.
        attempt: Which attempt this is; ``attempt.refresh`` says that the last credentials were
            refused.
        is_reconnection: Whether this `WebSocketStore` had a connection before.

    Example:
        >>> from sockstore import Opening, WebSocketStore
        >>> from sockstore.testing import FakeServer, VirtualClock, accept, receive, send
        >>> async def sign_in(opening: Opening) -> None:
        ...     hello = await opening.receive()
        ...     opening.send({"token": f"for {hello.data['user']}"})
        ...     if (await opening.receive()).data != "welcome":
        ...         raise opening.unauthorised("the token is not valid")
        >>> async def main() -> None:
        ...     server = FakeServer(accept(), send({"user": "ann"}), receive(), send("welcome"))
        ...     async with WebSocketStore("ws://test", transport=server, on_open=sign_in) as feed:
        ...         await feed.ready()
        ...         print(server.received)
        >>> VirtualClock().run(main())
        ['{"token":"for ann"}']
    """

    __slots__ = (
        "_driver", "_link", "_receiver", "attempt", "connection", "is_reconnection",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        driver: Driver,
        receiver: Receiver,
        link: Link,
        *,
        is_reconnection: bool,
    ) -> None:
        self.connection: Connection = connection
        self.attempt: Attempt = link.attempt
        self.is_reconnection: bool = is_reconnection
        self._driver = driver
        self._receiver = receiver
        self._link = link
        if link.inbox is not None:
            link.inbox.stage = "read"

    def send(self, data: Any) -> Receipt:
        """Send a message now, before everything that waits.

        Args:
            data: As for `WebSocketStore.send`.

        Returns:
            Its receipt.

        Raises:
            TypeError: If the data cannot be encoded.
            RuntimeError: If the opening is over.

        Example:
            >>> from sockstore import WebSocketStore
            >>> WebSocketStore("ws://localhost", on_open=lambda opening: opening.send("hello"))
            <WebSocketStore ws://localhost idle>
        """
        self._check("send")
        with self._driver.callables.in_opening(self._link.number):
            return self.connection.send(data)

    async def receive(self) -> Message:
        """Wait for the next message of this connection, and take it: nobody else gets it.

        The first one is the server's first message, however early it came. With a protocol, only
        messages that belong to no subscription come here.

        Returns:
            The message; its number is 0, since the connection's messages do not hold it.

        Raises:
            RuntimeError: If the opening is over, if another task waits here, or if the protocol
                has no messages that belong to no subscription.

        Example:
            ::

                async def sign_in(opening):
                    hello = await opening.receive()
                    opening.send({"op": "sign in", "user": hello.data["user"]})
        """
        self._check("receive")
        self._check_messages("receive")
        while True:
            self._check("receive")
            inbox = self._link.inbox
            assert inbox is not None  # noqa: S101 - `attend` made it, and the opening is not over
            if (held := inbox.take()) is not None:
                return self._receiver.message_of(held)
            self._link.tell_end()  # the server has closed, and all that it said was read
            await inbox.wait()

    async def request(self, data: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - OB5
        """Send a request now, and wait for the answer that carries its id.

        Args:
            data: As for `WebSocketStore.request`.
            timeout: Seconds to wait at most; None waits as long as the opening may take.

        Returns:
            The answer, as `WebSocketStore.request` returns it.

        Raises:
            TimeoutError: If no answer came in `timeout`.
            RequestFailed: If the answer is an error.
            TypeError: If the data cannot be encoded, or cannot carry an id.
            RuntimeError: If the opening is over, or the connection has no requests.

        Example:
            ::

                async def sign_in(opening):
                    if not (await opening.request({"op": "sign in", "token": token}))["ok"]:
                        raise opening.unauthorised("the server refused the token")
        """
        self._link.tell_end()
        self._check("request")
        if timeout is None:
            timeout = 2 * self._driver.machine.settings.connect_timeout  # the opening's ends before
        with (
            self._driver.callables.in_opening(self._link.number),
            self._link.awaiting("the answer to a request (opening.request())"),
        ):
            return await self.connection.request(data, timeout)

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send a heartbeat while this connection is open, in place of the one of the options.

        Args:
            heartbeat: The message, its reply and their times; a server may have asked for them.

        Raises:
            InvalidOption: If it is not a `Heartbeat`.
            RuntimeError: If the opening is over, or if the protocol has a heartbeat of its own, as
                it has no messages that belong to no subscription.

        Example:
            ::

                async def hello(opening):
                    seconds = (await opening.receive()).data["heartbeat_interval"] / 1000
                    opening.heartbeat(Heartbeat({"op": 1}, {"op": 11}, interval=seconds))
        """
        self._check("heartbeat")
        if not isinstance(heartbeat, Heartbeat):
            raise InvalidOption("heartbeat", heartbeat, "give a Heartbeat")
        self._check_messages("heartbeat")
        self._driver.dispatch(fact.HeartbeatGiven(self._link.number, heartbeat))

    def _check_messages(self, action: str) -> None:
        protocol = self._driver.machine.settings.protocol
        if protocol is not None and not protocol.has_messages:
            name = type(protocol).__name__
            raise RuntimeError(
                f"opening.{action}() cannot be used with {name}: all of its messages belong to "
                "subscriptions"
            )

    def unauthorised(self, why: str) -> HandshakeFailed:
        """Return the error to raise if the server refused the credentials.

        The next attempt follows at once, with ``attempt.refresh``; if that is refused as well, the
        connection fails.

        Args:
            why: The sentence that users see.

        Example:
            ::

                raise opening.unauthorised("the server refused the token")
        """
        return self._error(why, "unauthorised")

    def refused(self, why: str) -> HandshakeFailed:
        """Return the error to raise if the server will not let this program in: it fails.

        Args:
            why: The sentence that users see.

        Example:
            ::

                raise opening.refused("this account is closed")
        """
        return self._error(why, "fatal")

    if not TYPE_CHECKING:  # type checkers refuse what is not there

        def __getattr__(self, name: str) -> Any:
            """Say what to use instead of what connections have, and openings have not."""
            instead, is_own = "", name.startswith("_") or name in Opening.__slots__
            if not is_own and hasattr(type(self.connection), name):
                instead = (
                    "; here use its send(), receive() and request(), "
                    f"and opening.connection.{name} when the connection is open"
                )
            raise AttributeError(f"an Opening has no {name!r}{instead}", name=name, obj=self)

    def _error(self, why: str, meaning: Word) -> HandshakeFailed:
        return OpeningRefused(where_to(self._driver.machine), why, meaning)

    def _check(self, action: str) -> None:
        if not self._driver.machine.prepares(self._link.number):
            raise RuntimeError(
                f"opening.{action}() was called after this opening had ended; "
                "use its connection instead"
            )
