"""Send messages with an id, and return the answers that carry the same id."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Hashable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any, Protocol

from sockstore.base.checks import require_text
from sockstore.base.errors import DeliveryError, OutcomeUnknown, RequestFailed
from sockstore.base.frozen import frozen
from sockstore.base.state import Phase
from sockstore.connection.receipts import Receipt, delivery_of
from sockstore.machine.delivery import Say

__all__ = ["IdField", "JsonRpc", "RequestFormat", "Requests"]


class RequestFormat(Protocol):
    """How a request carries its id, and an answer the id of its request."""

    def wrap(self, data: Any, number: int, /) -> Any:
        """Return the message to send.

        Raises:
            TypeError: If `data` cannot carry an id.
        """

    def number_of(self, data: Any, /) -> object:
        """Return the id that a message carries; None if it is not an answer."""

    def result_of(self, data: Any, /) -> Any:
        """Return what `WebSocketStore.request` returns for this answer.

        Raises:
            RequestFailed: If the answer is an error.
        """


@frozen
class IdField:
    """A JSON object with the id in a field; the answer is an object with the same field.

    Args:
        name: The name of the field.

    Raises:
        InvalidOption: If the name is not text.

    Example:
        >>> IdField("reqId").wrap({"op": "book"}, 7)
        {'op': 'book', 'reqId': 7}
    """

    name: str = "id"

    def __post_init__(self) -> None:
        require_text("name", self.name, "the name of a field")

    def wrap(self, data: Any, number: int, /) -> Any:
        """Return the object with its id."""
        if not isinstance(data, dict):
            raise TypeError(f"a request must be a dict, so that it can carry {self.name!r}")
        return {**data, self.name: number}

    def number_of(self, data: Any, /) -> object:
        """Return the id of an object."""
        return data.get(self.name) if isinstance(data, dict) else None

    def result_of(self, data: Any, /) -> Any:
        """Return the answer as it is."""
        return data


@frozen
class JsonRpc:
    """JSON-RPC 2.0: ``{"method", "params"}`` goes out, the result comes back.

    Source:
        The JSON-RPC 2.0 specification, sections 4 and 5.

    Example:
        >>> JsonRpc().wrap({"method": "add", "params": [1, 2]}, 7)
        {'jsonrpc': '2.0', 'method': 'add', 'params': [1, 2], 'id': 7}
    """

    def wrap(self, data: Any, number: int, /) -> Any:
        """Return the request object."""
        if not isinstance(data, dict) or not isinstance(data.get("method"), str):
            raise TypeError('a JSON-RPC request must be a dict with a "method"')
        return {"jsonrpc": "2.0", **data, "id": number}

    def number_of(self, data: Any, /) -> object:
        """Return the id of a response object."""
        is_response = isinstance(data, dict) and ("result" in data or "error" in data)
        return data.get("id") if is_response else None

    def result_of(self, data: Any, /) -> Any:
        """Return the result, or raise the error."""
        error = data.get("error")
        if error is None:
            return data.get("result")
        details = error if isinstance(error, dict) else {"message": str(error)}
        raise RequestFailed(
            details.get("code"), str(details.get("message", "")), details.get("data")
        )


class _Request:
    """One request.

    Args:
        answer: Gets the answer.
        send: Sends it, now and again.
        is_idempotent: Whether it may be sent again.
    """

    __slots__ = ("_send", "answer", "is_idempotent", "must_repeat", "receipt")

    def __init__(
        self, answer: asyncio.Future[Any], send: Callable[[], Receipt], *, is_idempotent: bool
    ) -> None:
        self.answer = answer
        self._send = send
        self.is_idempotent = is_idempotent
        self.must_repeat = False  # set by `Requests.connection_changed`
        self.receipt = self.send()  # the last one; set by `send`

    def send(self) -> Receipt:
        """Send it, and fail once it is known that it will not be handed over."""
        self.receipt = self._send()
        delivery_of(self.receipt).watch(self._look)
        return self.receipt

    def _look(self) -> None:
        if not self.receipt and not self.answer.done():
            self.answer.set_exception(_undelivered(self.receipt))


class Requests:
    """The requests of one connection that wait for their answers.

    Args:
        format_: How ids are carried.
        encoder: Makes frames of messages.
        send: ``send(draft, say, holder)`` sends one, whose frames `say` makes.
        withdraw: Takes back one that still waits to be sent.
        live: Returns the transport whose messages count.

    Attributes:
        waiting: The requests by the numbers that they have here.
    """

    def __init__(
        self,
        format_: RequestFormat,
        encoder: Callable[[Any], str | bytes],
        send: Callable[[str | bytes, Say, object], Receipt],
        withdraw: Callable[[Receipt], None],
        live: Callable[[], int | None],
    ) -> None:
        self.waiting: dict[object, _Request] = {}
        self._format = format_
        self._encoder = encoder
        self._send = send
        self._withdraw = withdraw
        self._live = live
        self._numbers = itertools.count(1)
        # The ids on the wire begin anew on each transport (OB11): which one it is, the ids that
        # follow, and which request has which of the others. All set by `_next_id`.
        self._transport: int | None = None
        self._ids = itertools.count(1)
        self._asked: dict[object, int] = {}
        self._id_of: dict[int, int] = {}

    async def ask(self, data: Any, holder: object, *, seconds: float, is_idempotent: bool) -> Any:
        """Send a request of a connection without a protocol, and return its answer."""
        draft = self._encoder(self._format.wrap(data, 0))
        asked = [data]  # until it is handed over; the program may change its own

        def send(number: int) -> Receipt:
            def say(talk: object, transport: int) -> Iterable[str | bytes]:
                del talk
                return [
                    self._encoder(self._format.wrap(asked[0], self._next_id(transport, number)))
                ]

            receipt = self._send(draft, say, holder)
            if is_idempotent or receipt.state == "queued":
                asked[0] = deepcopy(asked[0])
            return receipt

        answer = await self.ask_with(send, seconds=seconds, is_idempotent=is_idempotent)
        return self._format.result_of(answer)

    async def ask_with(
        self, send: Callable[[int], Receipt], *, seconds: float, is_idempotent: bool
    ) -> Any:
        """Send a request under a number, and return what `take` or `answered` was given for it."""
        number = next(self._numbers)
        repeat = partial(send, number)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = _Request(answer, repeat, is_idempotent=is_idempotent)
        if not request.receipt:
            raise _undelivered(request.receipt)
        self.waiting[number] = request
        try:
            async with asyncio.timeout(seconds):
                message = await answer
        except TimeoutError:
            raise TimeoutError(f"no answer to the request within {seconds:g} s") from None
        finally:
            self.waiting.pop(number, None)
            self._asked.pop(self._id_of.pop(number, None), None)
            self._withdraw(request.receipt)
        return message

    def answered(self, number: object, data: Any, error: Exception | None) -> None:
        """Give a request its answer, or the error to raise in its caller."""
        request = self.waiting.pop(number, None)
        if request is None or request.answer.done():
            return
        if error is None:
            request.answer.set_result(data)
        else:
            request.answer.set_exception(error)

    def take(self, data: Any) -> bool:
        """Give a message to the request that it answers; return whether there is one."""
        number = self._format.number_of(data)
        if isinstance(number, bool) or not isinstance(number, Hashable):
            return False
        if number not in self._asked or self._live() != self._transport:
            return False
        request = self.waiting.pop(self._asked.pop(number), None)
        if request is None:
            return False
        if not request.answer.done():
            request.answer.set_result(data)
        return True

    def connection_changed(self, phase: Phase) -> None:
        """Send requests again or give them up, because the phase changed."""
        for request in list(self.waiting.values()):
            if request.answer.done():
                continue
            if not request.receipt:
                request.answer.set_exception(_undelivered(request.receipt))
            elif phase == "open":
                if request.must_repeat:
                    request.must_repeat = False
                    request.send()
            elif request.receipt.state != "queued":
                if request.is_idempotent and phase not in {"closing", "closed", "failed"}:
                    request.must_repeat = True
                else:
                    lost = OutcomeUnknown("the connection was lost before the answer came")
                    request.answer.set_exception(lost)

    def _next_id(self, transport: int, request: int) -> int:
        """Number a request that is handed over to this transport."""
        if transport != self._transport:
            self._transport, self._ids = transport, itertools.count(1)
            self._asked, self._id_of = {}, {}
        number = next(self._ids)
        self._asked[number], self._id_of[request] = request, number
        return number


def _undelivered(receipt: Receipt) -> DeliveryError:
    return DeliveryError(receipt.state, receipt.why)
