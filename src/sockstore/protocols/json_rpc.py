"""The protocol JSON-RPC 2.0, both ways."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final

from sockstore.base.checks import require_instance, require_text
from sockstore.base.codecs import encode, encode_json
from sockstore.base.errors import RequestFailed
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.state import Attempt
from sockstore.protocols.base import (
    Answered,
    BaseProtocol,
    Called,
    CallFailure,
    Conversation,
    Frame,
    Output,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
    Write,
    json_copy,
)
from sockstore.protocols.plain import decoded
from sockstore.protocols.requests import error_in
from sockstore.protocols.routes import Routes, Topic

__all__ = ["Call", "JsonRpc"]

_FAILURES: Final = {
    "unknown": (-32601, "Method not found"),
    "arguments": (-32602, "Invalid params"),
    "raised": (-32603, "Internal error"),
    "busy": (-32000, "Too many calls at once"),
}
"""JSON-RPC 2.0 section 5.1; the last is of the range that it leaves to implementations."""

INTERNAL = _FAILURES["raised"]


@frozen
class Call:
    """The key of a subscription that a call begins, and that its result names.

    Args:
        method: The method that subscribes; its result is the id that notifications carry as
            ``params.subscription``.
        params: Its parameters, a list or an object.
        unsubscribe: The method that takes the subscription back, called with that id; None if there
            is none.

    Example:
        >>> Call("eth_subscribe", ["newHeads"], unsubscribe="eth_unsubscribe")
        Call(method='eth_subscribe', params=['newHeads'], unsubscribe='eth_unsubscribe')
    """

    method: str
    params: Any = ()
    unsubscribe: str | None = None

    def __post_init__(self) -> None:
        require_text("method", self.method, "the name of a method")
        if self.unsubscribe is not None:
            require_text("unsubscribe", self.unsubscribe, "the name of a method or None")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and self._as_json() == other._as_json()

    def __hash__(self) -> int:
        return hash(self._as_json())

    def _as_json(self) -> str:
        """Compared as JSON, so that lists are welcome as parameters."""
        return encode_json([self.method, self.params, self.unsubscribe])


@frozen
class JsonRpc(BaseProtocol):
    """JSON-RPC 2.0 both ways: requests, notifications, batches, and calls by the server.

    A subscription's key is the name of a method, for notifications that come unasked, or a `Call`,
    for servers that answer with the id of a subscription.

    Args:
        heartbeat: The application's own ping; None without one.

    Raises:
        InvalidOption: If a value cannot work.

    Source:
        The JSON-RPC 2.0 specification.

    Example:
        >>> JsonRpc().encode_request({"method": "add", "params": [1, 2]})
        {'jsonrpc': '2.0', 'method': 'add', 'params': [1, 2]}
    """

    has_subscriptions = has_requests = has_calls = True

    heartbeat: Heartbeat | None = None

    def __post_init__(self) -> None:
        require_instance("heartbeat", self.heartbeat, Heartbeat, "a Heartbeat or None")

    def encode_request(self, data: Any) -> Any:
        """Return a copy of the request object.

        Raises:
            TypeError: If it has no method, or is not JSON.
        """
        if not isinstance(data, dict) or not isinstance(data.get("method"), str):
            raise TypeError('a JSON-RPC request must be a dict with a "method"')
        return json_copy({"jsonrpc": "2.0", **data})

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        """Begin a conversation."""
        del memory, attempt
        return _JsonRpcConversation()


class _Batch:
    """Several calls that came in one message; their replies leave in one message, too.

    Args:
        calls: How many of them expect a reply.
    """

    __slots__ = ("missing", "replies")

    def __init__(self, calls: int) -> None:
        self.missing = calls  # counted down by `_JsonRpcConversation.reply`
        self.replies: list[Any] = []


class _JsonRpcConversation(Conversation):
    """Match responses with requests, notifications with subscriptions; take calls."""

    def __init__(self) -> None:
        super().__init__()
        # What each id that was sent asks for; responses remove them. A topic, or a request's name.
        self._asked: dict[object, tuple[Topic | None, object]] = {}
        self._by_id = Routes()
        self._by_method: dict[str, WireSubscription] = {}

    # What the machine calls

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        """Call the methods that subscribe; nothing is asked for the name of a method."""
        del now
        outputs: list[Output] = []
        for subscription in subscriptions:
            key = subscription.key
            if isinstance(key, str):
                self._by_method[key] = subscription
                outputs.append(Subscribed(subscription))
            elif not isinstance(key, Call):
                why = "the key of a JSON-RPC subscription is the name of a method, or a Call"
                outputs.append(Refused(subscription, why))
            elif not self._by_id.take_over(subscription):
                topic = Topic(subscription)
                self._by_id.add(topic)
                self._by_id.unanswered.add(topic)
                outputs.append(self._ask(key.method, key.params, (topic, None)))
        return outputs

    def unsubscribe(
        self, subscriptions: Sequence[WireSubscription], now: float
    ) -> Iterable[Output]:
        """Take these back; one whose id is not known yet is taken back by its response."""
        del now
        outputs: list[Output] = []
        for subscription in subscriptions:
            if self._by_method.get(str(subscription.key)) is subscription:
                del self._by_method[str(subscription.key)]
            elif (topic := self._by_id.find(subscription)) is not None:
                if topic.is_active:
                    outputs += self._leave(topic)
                topic.is_released = True
        return outputs

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        """Return what a message says; a batch says several things."""
        del now
        data = decoded(frame)
        if not isinstance(data, list) or not data:
            return self._one(data, None)
        batch = _Batch(sum(map(_is_call, data)))
        return [output for each in data for output in self._one(each, batch)]

    def request(
        self, data: Any, subscription: WireSubscription | None, request: object
    ) -> Iterable[Frame]:
        """Return the request object."""
        del subscription
        number = self.next_id()
        self._asked[number] = (None, request)
        return [encode({**data, "id": number})]

    def forget(self, request: object) -> None:
        """The program waits for this response no longer; it goes nowhere."""
        for number, (topic, name) in self._asked.items():
            if topic is None and name == request:
                del self._asked[number]
                return

    def reply(self, call: object, result: Any, failure: CallFailure | None) -> Iterable[Frame]:
        """Return the response object; those of a batch leave together.

        Raises:
            TypeError: If the result cannot be encoded; reply with a failure instead.
        """
        assert isinstance(call, tuple)  # noqa: S101 - it was made by `_one`
        batch, number = call
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": number}
        body |= {"result": result} if failure is None else {"error": _error_object(failure)}
        frame = encode(body)
        if batch is None:
            return [frame]
        batch.replies.append(body)
        batch.missing -= 1
        return [] if batch.missing else [encode(batch.replies)]

    # What a message says

    def _one(self, data: Any, batch: _Batch | None) -> Iterable[Output]:
        if not isinstance(data, dict):
            return [Received(data)]
        if _is_call(data):
            return [Called(data["method"], data.get("params"), (batch, data["id"]))]
        if isinstance(data.get("method"), str):
            return self._notified(data)
        if "result" in data or "error" in data:
            return self._responded(data)
        return [Received(data)]

    def _notified(self, data: dict[str, Any]) -> Iterable[Output]:
        method, params = data["method"], data.get("params")
        if (subscription := self._by_method.get(method)) is not None:
            return [Received(params, subscription)]
        route = params.get("subscription") if isinstance(params, dict) else None
        if isinstance(params, dict) and route is not None and isinstance(route, Hashable):
            news = params.get("result", params)
            if (topic := self._by_id.of(route)) is not None:
                return [Received(news, topic.subscription)]
            # A notification may come before the response that names its subscription.
            if self._by_id.was_left(route) or self._by_id.hold(route, (data, news)):
                return []
        return [Called(method, params, message=data)]

    def _responded(self, data: dict[str, Any]) -> Iterable[Output]:
        number = data.get("id")
        if number is None:
            return [Received(data)]  # the server could not read what we sent
        if isinstance(number, bool) or not isinstance(number, Hashable):
            return []
        topic, request = self._asked.pop(number, (None, None))
        if topic is not None:
            return [*self._subscribed(topic, data), *self._unclaimed()]
        if request is None:
            return []  # a late response
        if "error" in data and data["error"] is not None:
            return [Answered(request, error=_failed(data["error"]))]
        return [Answered(request, data.get("result"))]

    def _subscribed(self, topic: Topic, data: dict[str, Any]) -> Iterable[Output]:
        subscription, words = topic.subscription, error_in(data)
        route = data.get("result")
        if words is None and not isinstance(route, (str, int)):
            words = "the response has no id of a subscription"
        if words is not None:
            self._by_id.remove(topic)
            return [] if topic.is_released else [Refused(subscription, words)]
        topic.is_active = True
        self._by_id.unanswered.discard(topic)
        self._by_id.route(topic, route)
        if topic.is_released:
            return self._leave(topic)
        held = self._by_id.held_for(topic)
        return [
            Subscribed(subscription, route),
            *(Received(news, subscription) for _, news in held),
        ]

    def _unclaimed(self) -> Iterable[Output]:
        return [
            Called(data["method"], data.get("params"), message=data)
            for data, _ in self._by_id.unclaimed()
        ]

    # Asking

    def _ask(self, method: str, params: Any, what: tuple[Topic | None, object]) -> Write:
        number = self.next_id()
        self._asked[number] = what
        params = list(params) if isinstance(params, tuple) else params
        return Write(encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))

    def _leave(self, topic: Topic) -> Iterable[Output]:
        self._by_id.remove(topic, is_late=True)
        key = topic.subscription.key
        if not isinstance(key, Call) or key.unsubscribe is None:
            return []
        return [self._ask(key.unsubscribe, [topic.route], (None, None))]


def _is_call(data: Any) -> bool:
    """Whether a message expects a reply."""
    return isinstance(data, dict) and isinstance(data.get("method"), str) and "id" in data


def _failed(error: Any) -> RequestFailed:
    details = error if isinstance(error, dict) else {"message": str(error)}
    return RequestFailed(details.get("code"), str(details.get("message", "")), details.get("data"))


def _error_object(failure: CallFailure) -> dict[str, Any]:
    if not isinstance(failure, RequestFailed):
        code, message = _FAILURES[failure]
        return {"code": code, "message": message}
    code = failure.code if type(failure.code) is int else INTERNAL[0]
    body = {"code": code, "message": failure.message}
    return body if failure.data is None else {**body, "data": failure.data}
