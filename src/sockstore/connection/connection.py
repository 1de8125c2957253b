"""Act on a connection: connect, close and give hints, for one holder."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, Self, TypeVar

from sockstore.base.checks import require_text
from sockstore.base.close import check_close
from sockstore.base.errors import InvalidOption
from sockstore.base.state import ConnectionState, Hint
from sockstore.connection.endpoint import PerAttempt, check_endpoint_url, shown_url
from sockstore.connection.engine import Engine
from sockstore.connection.navigation import CloseOnNavigate
from sockstore.connection.talking import TalkingSide
from sockstore.machine import events as fact
from sockstore.stores import Readable

__all__ = ["Connection", "begin"]

T = TypeVar("T")
P = ParamSpec("P")


class Connection(TalkingSide):
    """A connection as one holder has it: a `WebSocketStore`, or a share of one (PV7).

    It is the type to annotate with where either will do; make a `WebSocketStore` to get one.

    Args:
        engine: The connection's parts, which holders may share.
        state: The snapshot that this holder sees.
        navigation: Calls `close` at the next navigation, if that is wanted.

    Example:
        >>> from sockstore import Connection, WebSocketStore
        >>> def is_up(connection: Connection) -> bool:
        ...     return connection.connected.value
        >>> is_up(WebSocketStore("ws://localhost"))
        False
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
