"""Signs of life of a session: the first command, and pings that must be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sockstore.server.client import Client
from sockstore.server.limits import Limits
from sockstore.server.session.replies import PING

__all__ = ["Heartbeat"]

NO_CONNECT = (3502, "no connect in time")
NO_PONG = (3012, "no pong")


class Heartbeat:
    """One timer: at first for ``connect``, then for pings and for their answers.

    Args:
        client: The client.
        limits: How long it has.
        is_busy: Whether the server itself holds up what the client has sent; then a pong may be
            waiting behind it.
    """

    def __init__(self, client: Client, limits: Limits, is_busy: Callable[[], bool]) -> None:
        self._client = client
        self._limits = limits
        self._is_busy = is_busy
        self._loop = asyncio.get_running_loop()
        self._is_asked = False
        self._timer = self._loop.call_later(limits.connect_seconds, client.end, *NO_CONNECT)

    def start(self) -> None:
        """The client has said ``connect``: ping it from now on."""
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.ping_seconds, self._ask)

    def take_pong(self) -> bool:
        """Note an answer; False if nothing was asked."""
        was_asked, self._is_asked = self._is_asked, False
        return was_asked

    def stop(self) -> None:
        """Watch it no more."""
        self._timer.cancel()

    def _ask(self) -> None:
        self._is_asked = True
        self._client.offer(PING)
        self._timer = self._loop.call_later(self._limits.pong_seconds, self._judge)

    def _judge(self) -> None:
        limits = self._limits
        if self._is_asked and self._is_busy():
            self._timer = self._loop.call_later(limits.pong_seconds, self._judge)
        elif self._is_asked:
            self._client.end(*NO_PONG)
        else:
            rest = max(0.0, limits.ping_seconds - limits.pong_seconds)
            self._timer = self._loop.call_later(rest, self._ask)
