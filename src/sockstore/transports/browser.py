"""Use the browser's own WebSocket, for Python that runs in a page (Pyodide, PyScript).

No other module imports `js`: a module that needs the page imports `window` from here.

A browser reports less than a socket: a refused port, HTTP 404 and a wrong subprotocol look the
same. It cannot send pings, and reading cannot be paused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar, cast

import js as window
from pyodide.ffi import JsException, create_proxy, to_js

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed, InvalidURI
from sockstore.base.state import Hint, SocketInfo
from sockstore.base.urls import redact_url
from sockstore.transports.base import HIGH_WATER, SLICE_SECONDS, Listener, Target, TransportOptions
from sockstore.transports.browser_limits import NO_HEADERS, sendable
from sockstore.transports.words import cause_without_secrets, quoted

__all__ = ["BrowserTransport", "Listening", "unwatch_page", "watch_page", "window"]

T = TypeVar("T", str, bytes)

JsObject: TypeAlias = Any
"""A JavaScript object; Python does not know its type."""

POLL_SECONDS = 0.02
"""How often to look at a full send buffer: a browser reports no change of it."""

UNKNOWN_FAILURE = (
    "the browser does not say why; is a WebSocket server there, does it know this address and "
    "subprotocol, and does it admit this page's origin?"
)


class BrowserTransport:
    """A WebSocket of the browser, used once."""

    reading_paused = False

    def __init__(self, listener: Listener, options: TransportOptions) -> None:
        self._listener = listener
        self._limit = options.max_message_bytes
        self._socket: JsObject = None  # set by `open`
        self._arrived: JsObject = None  # a JavaScript array of messages; set by `_listen`
        self._events: list[Listening] = []  # set by `_listen`, stopped by `_end`
        # Messages that were taken from that array; changed by `_take_what_arrived` and `_next`.
        self._undelivered: deque[str | bytes] = deque()
        # The next slice; set by `_deliver_soon`, reset by `_deliver`.
        self._delivering: asyncio.Handle | None = None
        # The next look at a full send buffer; set by `send`, reset when it has room again.
        self._polling: asyncio.Handle | None = None
        self._has_opened = False  # set by `_opened`
        self._ending: tuple[Close, str] | None = None  # set by `_end`, reported by `_deliver`
        self.heard: int = 0  # counted by `_wake`

    @property
    def buffered_amount(self) -> int:
        """Bytes that were handed over and not yet given to the network."""
        return 0 if self._socket is None else int(self._socket.bufferedAmount)

    async def open(self, target: Target) -> None:
        """Do the opening handshake.

        Raises:
            HandshakeFailed: If it failed; a browser does not say why.
            InvalidURI: If the browser refuses the url, for example ``ws://`` in an HTTPS page.
        """
        if target.headers:
            raise HandshakeFailed(redact_url(target.url), NO_HEADERS, kind="option")
        # These three are set here, since they need the loop and the target.
        self._loop = asyncio.get_running_loop()
        self._url = target.url
        self._opening: asyncio.Future[None] = self._loop.create_future()
        self._socket = _new_socket(target)
        self._listen()
        try:
            await self._opening
        except BaseException:
            self.abort()
            raise

    def send(self, data: str | bytes) -> None:
        """Write one message."""
        if not self._is_usable:
            return
        # A browser would send the text representation of Python's bytes.
        self._socket.send(data if isinstance(data, str) else to_js(data))
        if self._polling is None and self.buffered_amount > HIGH_WATER:
            self._poll_send_buffer()
            self._listener.writing_paused()

    def ping(self, payload: bytes) -> None:
        """Do nothing: a browser answers pings, and cannot send them."""

    def pause_reading(self) -> None:
        """Do nothing: a browser cannot stop reading."""

    def resume_reading(self) -> None:
        """Do nothing, as `pause_reading`."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; returns at once."""
        if self._is_usable:
            self._socket.close(sendable(code), reason)

    def abort(self) -> None:
        """End it at once; the browser may keep the TCP socket open for some time."""
        if self._is_usable:
            self._undelivered.clear()
            self._end(Close(1006), "the connection was aborted")
            self._socket.close()

    @property
    def _is_usable(self) -> bool:
        return self._socket is not None and self._ending is None

    # Called by the browser

    def _listen(self) -> None:
        socket = self._socket
        socket.binaryType = "arraybuffer"
        # The browser collects messages in an array: one call into Python takes all of them.
        self._arrived = window.Array.new()
        socket.onmessage = self._arrived.push.bind(self._arrived)
        self._waking = Listening(socket, "message", self._wake, once=True)
        opened = Listening(socket, "open", self._opened)
        closed = Listening(socket, "close", self._closed)
        self._events = [self._waking, opened, closed]

    def _opened(self, event: JsObject) -> None:
        del event
        if not self._opening.done():
            self._has_opened = True
            self._opening.set_result(None)
            self._listener.opened(SocketInfo(self._url, self._socket.protocol or None))

    def _wake(self, event: JsObject) -> None:
        """Deliver in the next turn: messages that arrive together are in the array by then."""
        del event
        self.heard += 1
        self._deliver_soon()

    def _closed(self, event: JsObject) -> None:
        close = Close(event.code, event.reason, clean=event.wasClean)
        why = (
            f"the server closed the connection with {close}"
            if close.clean
            else "the connection broke without a close frame"
        )
        if not (self._has_opened or self._opening.done()):
            failure = HandshakeFailed(redact_url(self._url), UNKNOWN_FAILURE)
            self._opening.set_exception(failure)
        self._take_what_arrived()
        if self._ending is None:
            self._end(close, why)

    def _end(self, close: Close, why: str) -> None:
        """Stop all listeners, and report the end when everything is delivered."""
        self._ending = close, why
        self._socket.onmessage = None
        for event in self._events:
            event.stop()
        self._events.clear()
        if self._polling is not None:
            self._polling.cancel()
        if self._has_opened:
            self._deliver_soon()

    # Delivering

    def _deliver_soon(self) -> None:
        if self._delivering is None:
            self._delivering = self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Deliver one slice; the rest, if any, in the loop's next turn."""
        self._delivering = None
        if self._ending is None:
            self._take_what_arrived()
        if self._undelivered:
            self._deliver_slice(monotonic() + SLICE_SECONDS)
        if self._undelivered:
            self._deliver_soon()
        elif self._ending is None:
            self._waking.again()
        elif self._delivering is None:
            self._listener.closed(*self._ending)
            self._listener.released()

    def _take_what_arrived(self) -> None:
        for data in _data_of(self._arrived.splice(0)):
            if _is_larger(data, self._limit):
                why = f"a message is larger than max_message_bytes={self._limit}"
                self._socket.close(sendable(1009), "message too big")
                self._end(Close(1009), why)
                return
            self._undelivered.append(data)

    def _deliver_slice(self, until: float) -> None:
        deliver = self._listener.begin_slice()
        if deliver is None:
            self._undelivered.clear()
            return
        try:
            is_over = False
            while self._undelivered and not is_over and monotonic() < until:
                if isinstance(self._undelivered[0], str):
                    is_over = deliver.texts(self._next(str, until))
                else:
                    is_over = deliver.binaries(self._next(bytes, until))
        finally:
            self._listener.end_slice()

    def _next(self, kind: type[T], until: float) -> Iterator[T]:
        """Yield the next messages of a kind; messages that are not taken stay in the queue."""
        waiting = self._undelivered
        while waiting and isinstance(waiting[0], kind) and monotonic() < until:
            yield cast("T", waiting.popleft())

    # The send buffer

    def _poll_send_buffer(self) -> None:
        self._polling = self._loop.call_later(POLL_SECONDS, self._look_at_send_buffer)

    def _look_at_send_buffer(self) -> None:
        if self.buffered_amount > HIGH_WATER // 2:
            self._poll_send_buffer()
        else:
            self._polling = None
            self._listener.writing_resumed()


def _new_socket(target: Target) -> JsObject:
    try:
        return window.WebSocket.new(target.url, to_js(list(target.subprotocols)))
    except JsException as error:
        # The error quotes the url.
        why = f"the browser says {quoted(target, error)}"
        raise InvalidURI(redact_url(target.url), why) from cause_without_secrets(target, error)


def _data_of(events: JsObject) -> Iterator[str | bytes]:
    """Yield the data of messages; one call crosses into Python for all of them."""
    if not events.length:
        return
    # The getter as a plain function: a page's policy may forbid code that is made from text.
    kind = window.Object.getPrototypeOf(events[0])
    get = window.Object.getOwnPropertyDescriptor(kind, "data").get
    for data in events.map(window.Function.prototype.call.bind(get)).to_py():
        yield data if isinstance(data, str) else bytes(data)


def _is_larger(data: str | bytes, limit: int) -> bool:
    """Whether a message has more bytes than the limit; of a text its UTF-8 counts."""
    if len(data) * 3 <= limit or len(data) > limit or isinstance(data, bytes):
        return len(data) > limit
    return len(data.encode()) > limit


class Listening:
    """A listener of the browser's events, and the proxy that its calls come through.

    The browser calls in an empty context; `handle` runs in the context that created the listener.

    Args:
        target: A window, an element, a socket.
        event: The name of the event.
        handle: Called with the event.
        options: As for ``addEventListener``.
    """

    def __init__(
        self, target: JsObject, event: str, handle: Callable[[Any], object], **options: bool
    ) -> None:
        context = copy_context()
        self._target = target
        self._event = event
        self._options = to_js(options, dict_converter=window.Object.fromEntries)
        # A copy: while one event waits, another one may come.
        self._proxy = create_proxy(lambda happened: context.copy().run(handle, happened))
        self.again()

    def again(self) -> None:
        """Listen again, after the one event of a listener with ``once=True``."""
        self._target.addEventListener(self._event, self._proxy, self._options)

    def stop(self) -> None:
        """Stop listening; a second call does nothing."""
        if self._proxy is not None:
            self._target.removeEventListener(self._event, self._proxy, self._options)
            self._proxy.destroy()
            self._proxy = None


# The page


class _Page:
    """Tells connections about the network, as the page sees it, while one of them is in use."""

    def __init__(self) -> None:
        self._watchers: set[Callable[[Hint], object]] = set()  # changed by `add` and `discard`
        self._events: list[Listening] = []  # listeners while there are watchers

    def add(self, tell: Callable[[Hint], object]) -> None:
        if not self._watchers:
            self._listen()
        self._watchers.add(tell)

    def discard(self, tell: Callable[[Hint], object]) -> None:
        self._watchers.discard(tell)
        if not self._watchers:
            for event in self._events:
                event.stop()
            self._events.clear()

    def _listen(self) -> None:
        if hasattr(window, "addEventListener"):  # some versions of Node have none
            self._events.append(Listening(window, "online", lambda _: self._tell("online")))
            self._events.append(Listening(window, "offline", lambda _: self._tell("offline")))
        if hasattr(window, "document"):  # a worker has none
            changed = Listening(window.document, "visibilitychange", lambda _: self._look())
            self._events.append(changed)

    def _look(self) -> None:
        """A page that is shown again may have slept, and its timers may be late."""
        if window.document.visibilityState == "visible":
            self._tell("resume")

    def _tell(self, hint: Hint) -> None:
        for tell in list(self._watchers):
            tell(hint)


_page = _Page()
watch_page: Final = _page.add
unwatch_page: Final = _page.discard
