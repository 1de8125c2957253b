"""Read the server's answer to a handshake, and check it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from websockets.client import ClientProtocol

from sockstore.transports.answers import Answer, AnswerReader, NotAnAnswerError
from sockstore.transports.base import BODY_SECONDS
from sockstore.transports.native.handshake import (
    SWITCHING_PROTOCOLS,
    check_switch,
    leads_elsewhere,
)

__all__ = ["AwaitedAnswer"]


class AwaitedAnswer:
    """Reads the answer and checks it; a refusal waits a moment for its body, which says why.

    Args:
        loop: The event loop, for that moment.
        protocol: The protocol of the handshake, which knows the request.
        accept: Called once if the answer is a switch to WebSocket, with the protocol, the answer
            and the bytes after it.
        fail: Called once if it is not, with the reason.
    """

    __slots__ = ("_accept", "_fail", "_loop", "_patience", "_reader", "protocol")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: ClientProtocol,
        accept: Callable[[ClientProtocol, Answer, bytes], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self.protocol = protocol
        self._accept = accept
        self._fail = fail
        self._reader = AnswerReader({SWITCHING_PROTOCOLS})
        # Runs while a body is awaited; set by `_wait_for_body`, reset by `stop`.
        self._patience: asyncio.TimerHandle | None = None

    def take(self, data: bytes) -> None:
        """Take received bytes."""
        try:
            answer = self._reader.take(data)
        except NotAnAnswerError as error:
            self._fail(error)
            return
        if answer is not None:
            self._judge(answer, self._reader.rest)
        elif self._reader.awaits_body:
            self._wait_for_body()

    def ended(self, lost: Exception | None = None) -> None:
        """Judge the received bytes: no more come, or the wait for a body is over.

        Args:
            lost: The error that broke the connection, if one did.
        """
        if (answer := self._reader.end()) is not None:
            self._judge(answer, b"")
            return
        try:
            self._reader.judge_end()
        except NotAnAnswerError as error:
            self._fail(lost or error)
        else:
            self._fail(lost or EOFError())

    def stop(self) -> None:
        """Stop waiting for a body."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _judge(self, answer: Answer, rest: bytes) -> None:
        try:
            check_switch(self.protocol, answer)
        except Exception as error:  # noqa: BLE001 - whatever waits for the handshake raises it
            self._fail(error)
        else:
            self._accept(self.protocol, answer, rest)

    def _wait_for_body(self) -> None:
        head = self._reader.head
        if head is not None and leads_elsewhere(head):
            self.ended()  # the head of a redirect says where it leads
        elif self._patience is None:
            self._patience = self._loop.call_later(BODY_SECONDS, self.ended)
