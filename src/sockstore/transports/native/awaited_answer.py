"""The server's answer to a handshake, from its first byte until it is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sockstore.transports.answers import Answer, AnswerReader, NotAnAnswerError
from sockstore.transports.base import BODY_SECONDS
from sockstore.transports.native.handshake import SWITCHING_PROTOCOLS, leads_elsewhere

__all__ = ["AwaitedAnswer"]


class AwaitedAnswer:
    """Read the answer; a refusal waits a moment for its body, which says why.

    Args:
        loop: The event loop, for that moment.
        judge: Called once, with the answer and with the bytes behind the head of a 101.
        fail: Called once, if there is none.
    """

    __slots__ = ("_fail", "_judge", "_loop", "_patience", "_reader")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        judge: Callable[[Answer, bytes], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._judge = judge
        self._fail = fail
        self._reader = AnswerReader(lambda status: status == SWITCHING_PROTOCOLS)
        self._patience: asyncio.TimerHandle | None = None  # set while a body is waited for

    def take(self, data: bytes) -> None:
        """Take what arrived."""
        try:
            answer = self._reader.take(data)
        except NotAnAnswerError as error:
            self._fail(error)
            return
        if answer is not None:
            self.stop()
            self._judge(answer, self._reader.rest)
        elif self._reader.awaits_body:
            self._wait_for_body()

    def ended(self, lost: Exception | None = None) -> None:
        """Nothing more comes, or nothing more is waited for: judge what came.

        Args:
            lost: What broke the connection, if something did.
        """
        if (answer := self._reader.end()) is not None:
            self.stop()
            self._judge(answer, b"")
            return
        try:
            self._reader.judge_end()
        except NotAnAnswerError as error:
            self._fail(lost or error)
        else:
            self._fail(lost or EOFError())

    def stop(self) -> None:
        """Wait for nothing more."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _wait_for_body(self) -> None:
        head = self._reader.head
        if head is not None and leads_elsewhere(head):
            self.ended()  # where a redirect leads is in its head
        elif self._patience is None:
            self._patience = self._loop.call_later(BODY_SECONDS, self.ended)
