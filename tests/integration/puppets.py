"""A transport on strings: it does what the test says, also what no decent transport would do."""

from __future__ import annotations

import asyncio
import gc

from sockstore import Close, SocketInfo
from sockstore.transports.base import Listener, Target, TransportOptions, deliver_one
from waiting import turns


class Puppet:
    """One transport; what it was told to do is in `orders`."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.heard = 0
        self.reading_paused = False
        self.buffered_amount = 0
        self.orders: list[str] = []
        self.sent: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.target: Target | None = None

    async def open(self, target: Target) -> None:
        self.target = target
        self.decision = asyncio.get_running_loop().create_future()
        await self.decision

    def send(self, data: str | bytes) -> None:
        self.sent.append(data)

    def ping(self, payload: bytes) -> None:
        self.pings.append(payload)

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False

    def close(self, code: int, reason: str) -> None:
        self.orders.append(f"close {code} {reason}".strip())

    def abort(self) -> None:
        self.orders.append("abort")

    # Strings

    def accept(self) -> None:
        """Open; the listener hears it first, as from the native transport."""
        assert self.target is not None
        self.decision.set_result(None)
        self.listener.opened(SocketInfo(self.target.url))

    def refuse(self, error: Exception) -> None:
        self.decision.set_exception(error)

    def deliver(self, *messages: str | bytes) -> bool:
        """Deliver one slice; return whether anyone wanted it."""
        self.heard += 1
        deliver = self.listener.begin_slice()
        if deliver is None:
            return False
        for message in messages:
            deliver_one(deliver, message)
        self.listener.end_slice()
        return True

    def pong(self) -> None:
        self.heard += 1
        deliver = self.listener.begin_slice()
        self.listener.pong_received(self.pings[-1])
        if deliver is not None:
            self.listener.end_slice()

    def end(self, close: Close | None = None, why: str = "the connection broke") -> None:
        self.listener.closed(close or Close(1006), why)
        self.listener.released()


class Puppeteer:
    """Makes puppets; give it as ``transport=``."""

    def __init__(self) -> None:
        self.puppets: list[Puppet] = []

    def __call__(self, listener: Listener, options: TransportOptions, /) -> Puppet:
        self.puppets.append(Puppet(listener))
        return self.puppets[-1]

    @property
    def newest(self) -> Puppet:
        return self.puppets[-1]

    async def opened(self) -> Puppet:
        """Accept the newest handshake, once it has begun."""
        await turns()
        self.newest.accept()
        await turns()
        return self.newest


def let_go(held: list) -> None:
    """Drop the last reference to something, for good."""
    held.clear()
    gc.collect()


def count_objects() -> int:
    """How many objects there are that the test made, once garbage is collected."""
    gc.collect()
    return len(gc.get_objects())
