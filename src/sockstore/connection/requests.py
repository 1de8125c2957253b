"""Send requests, and give their answers to those who wait for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from sockstore.base.codecs import encode
from sockstore.base.errors import DeliveryError, OutcomeUnknown
from sockstore.base.state import Phase
from sockstore.connection.receipts import Receipt, delivery_of
from sockstore.machine.delivery import Say

if TYPE_CHECKING:
    from sockstore.machine.machine import Machine
    from sockstore.protocols.base import BaseProtocol, Conversation, WireSubscription
    from sockstore.protocols.plain import PlainConversation

__all__ = ["Requests", "RequestsKeeper"]


class RequestSender(Protocol):
    """What requests need of the sender."""

    def send_request(
        self,
        draft: Callable[[], str | bytes],
        say: Say,
        holder: object,
        subscription: WireSubscription | None,
    ) -> Receipt:
        """Send a request, whose frames `say` makes when it is handed over."""


class RequestsKeeper(Protocol):
    """What requests need of the driver."""

    machine: Machine

    @property
    def sender(self) -> RequestSender:
        """Sends them."""

    def give_up(self, receipt: Receipt, request: object) -> None:
        """Take back a request that still waits; else tell the conversation to forget it."""


class _Request:
    """One request.

    Args:
        answer: Gets the answer.
        send: Sends it; ``send(again=True)`` sends it once more.
        is_idempotent: Whether it may be sent again.
    """

    __slots__ = ("_send", "answer", "is_idempotent", "is_repeated", "receipt")

    def __init__(
        self, answer: asyncio.Future[Any], send: Callable[..., Receipt], *, is_idempotent: bool
    ) -> None:
        self.answer = answer
        self._send = send
        self.is_idempotent = is_idempotent
        self.is_repeated = False  # set by `repeat`
        self.receipt = self._sent()  # the last one; set by `repeat`, too

    def repeat(self) -> None:
        """Send it again, before anything that was not sent yet: the connection was lost."""
        self.is_repeated = True
        self.receipt = self._sent(again=True)

    def fail(self) -> None:
        """Tell the caller that it was not handed over; whether it was before is unknown."""
        self.answer.set_exception(_lost() if self.is_repeated else _undelivered(self.receipt))

    def _sent(self, **how: bool) -> Receipt:
        receipt = self._send(**how)
        delivery_of(receipt).watch(self._look)
        return receipt

    def _look(self) -> None:
        if not self.receipt and not self.answer.done():
            self.fail()


class Requests:
    """The requests of one connection that wait for their answers.

    Args:
        protocol: Says how a request looks; its conversations number requests, and find the answers.
        encoder: Encodes the requests of a plain connection.
        keeper: The driver.

    Attributes:
        waiting: The requests, by what the conversation names them.
    """

    __slots__ = (
        "__weakref__", "_encoder", "_keeper", "_names", "_protocol", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        protocol: BaseProtocol,
        encoder: Callable[[Any], str | bytes],
        keeper: RequestsKeeper,
    ) -> None:
        self.waiting: dict[object, _Request] = {}
        self._protocol = protocol
        self._encoder = encoder
        self._keeper = keeper
        self._names = itertools.count(1)

    async def ask(
        self,
        data: Any,
        holder: object,
        subscription: WireSubscription | None = None,
        *,
        seconds: float | None,
        is_idempotent: bool,
    ) -> Any:
        """Send a request, and return its answer."""
        name = next(self._names)
        asked = [data if self._protocol.is_plain else self._protocol.encode_request(data)]
        draft, say = self._saying(asked, subscription, name)
        send = partial(self._keeper.sender.send_request, draft, say, holder, subscription)
        request = self._begun(send, is_idempotent=is_idempotent)
        if self._protocol.is_plain and (is_idempotent or request.receipt.state == "queued"):
            asked[0] = deepcopy(data)  # it is encoded later, and the program may change its own
        return await self._answer(name, request, seconds)

    async def ask_by(
        self,
        say: Callable[[Conversation, object], Iterable[str | bytes]],
        holder: object,
        subscription: WireSubscription,
        *,
        seconds: float | None,
    ) -> Any:
        """Send a question of a subscription, which may be asked twice, and return its answer.

        Args:
            say: Makes the frames, given the conversation and what it names the request.
            holder: Whose it is.
            subscription: The subscription.
            seconds: How long to wait for the answer; None for any time.
        """
        name = next(self._names)
        frames: Say = lambda talk: say(talk, name)  # noqa: E731 - a type that a def cannot name
        send = partial(self._keeper.sender.send_request, str, frames, holder, subscription)
        return await self._answer(name, self._begun(send, is_idempotent=True), seconds)

    def _begun(self, send: Callable[..., Receipt], *, is_idempotent: bool) -> _Request:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = _Request(answer, send, is_idempotent=is_idempotent)
        if not request.receipt:
            raise _undelivered(request.receipt)
        return request

    async def _answer(self, name: object, request: _Request, seconds: float | None) -> Any:
        self.waiting[name] = request
        try:
            async with asyncio.timeout(seconds):
                return await request.answer
        except TimeoutError:
            raise TimeoutError(f"no answer to the request within {seconds or 0:g} s") from None
        finally:
            if self.waiting.pop(name, None) is not None:
                self._keeper.give_up(request.receipt, name)

    def answered(self, name: object, data: Any, error: Exception | None) -> None:
        """Give a request its answer, or the error to raise in its caller."""
        request = self.waiting.pop(name, None)
        if request is None or request.answer.done():
            return
        if error is None:
            request.answer.set_result(data)
        else:
            request.answer.set_exception(error)

    def take(self, data: Any) -> bool:
        """Give a plain message to the request that it answers; return whether there is one."""
        answer = self._keeper.machine.match(data)
        if answer is None:
            return False
        self.answered(answer.request, answer.data, answer.error)
        return True

    def connection_changed(self, phase: Phase) -> None:
        """Send requests again or give them up, because the phase changed."""
        for request in list(self.waiting.values()):
            if request.answer.done():
                continue
            if not request.receipt:
                request.fail()
            elif phase == "open" or request.receipt.state == "queued":
                continue
            elif request.is_idempotent and phase not in {"closing", "closed", "failed"}:
                request.repeat()
            else:
                request.answer.set_exception(_lost())

    def _saying(
        self, asked: list[Any], subscription: WireSubscription | None, name: object
    ) -> tuple[Callable[[], str | bytes], Say]:
        """Return what makes a draft of a request, and what makes its frames.

        Both raise `TypeError` if it cannot be encoded.

        Args:
            asked: What is asked; one entry, which may be replaced by a copy.
            subscription: Whose request it is; None if it is the connection's.
            name: What the conversation names it.
        """
        if not self._protocol.is_plain:

            def say(talk: Conversation) -> Iterable[str | bytes]:
                return talk.request(asked[0], subscription, name)

            return lambda: encode(asked[0]), say
        check, encoder = self._protocol.encode_request, self._encoder

        def say_plainly(talk: Conversation) -> Iterable[str | bytes]:
            return [cast("PlainConversation", talk).ask(asked[0], name, encoder)]

        return lambda: encoder(check(asked[0])), say_plainly


def _lost() -> OutcomeUnknown:
    return OutcomeUnknown("the connection was lost before the answer came")


def _undelivered(receipt: Receipt) -> DeliveryError:
    return DeliveryError(receipt.state, receipt.why)
