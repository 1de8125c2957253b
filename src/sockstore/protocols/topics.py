"""The protocol of servers with subscribe messages of their own: exchanges and other feeds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final

from sockstore.base.checks import is_finite, require_callable, require_count, require_instance
from sockstore.base.codecs import encode
from sockstore.base.errors import InvalidOption, said
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.state import Attempt
from sockstore.base.token_bucket import TokenBucket
from sockstore.protocols.base import (
    BaseProtocol,
    Conversation,
    Ended,
    Frame,
    Output,
    Raised,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
    Write,
    json_copy,
)
from sockstore.protocols.plain import PlainConversation, decoded
from sockstore.protocols.requests import IdField, RequestFormat, error_in, require_format
from sockstore.protocols.routes import Routes, Topic

__all__ = ["TopicAnswer", "Topics"]

LATE: Final = object()
"""What was asked for by a request that nobody waits for any more."""

MOST_LATE = 1000
"""Such requests that are remembered, so that their answers go nowhere."""


@frozen
class TopicAnswer:
    """What a server's answer to a subscribe message says; see `Topics`.

    Args:
        key: The subscription that it answers; None if the id of the request tells.
        route: What the messages of this subscription will carry; None if it is the key.
        error: The server's words if it refused, or ended the subscription; else None.
        is_temporary: Whether to ask again after a while.
    """

    key: Hashable = None
    route: Hashable = None
    error: str | None = None
    is_temporary: bool = False

    def __post_init__(self) -> None:
        hash((self.key, self.route))  # raises `TypeError` in the function that made it


@frozen(kw_only=True)
class Topics(BaseProtocol):
    """Subscriptions by messages of the server's own; three functions say how they look.

    Args:
        key: ``key(data)`` is what a message carries to say which subscription it belongs to, or
            None. It is the key that the program subscribed with, or the `route` of its
            `TopicAnswer`.
        subscribe: ``subscribe(keys)`` is the message that asks for these; None if the server need
            not be asked, so that messages are only routed.
        unsubscribe: ``unsubscribe(routes)`` is the message that takes them back; None if there is
            no such message.
        answers: ``answers(data)`` is the `TopicAnswer` that a message is, or None; what carries the
            id of a request is the answer to that request in any case. Without `answers` a message
            with the id of the question is its answer, and a refusal if it has an `error`.
        requests: How ids are carried; None for servers that know no ids.
        heartbeat: The application's own ping; None without one.
        most: The most keys in one message; None for any number.
        rate: The messages a second to subscribe and unsubscribe that the server allows; None for
            any number.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> exchange = Topics(
        ...     key=lambda data: data.get("stream"),
        ...     subscribe=lambda keys: {"method": "SUBSCRIBE", "params": keys},
        ...     unsubscribe=lambda keys: {"method": "UNSUBSCRIBE", "params": keys},
        ...     most=1024,
        ...     rate=5,
        ... )
    """

    has_subscriptions = has_requests = True

    key: Callable[[Any], Hashable]
    subscribe: Callable[[list[Any]], Any] | None = None
    unsubscribe: Callable[[list[Any]], Any] | None = None
    answers: Callable[[Any], TopicAnswer | None] | None = None
    requests: RequestFormat | None = IdField()
    heartbeat: Heartbeat | None = None
    most: int | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        require_callable("key", self.key)
        for option in ("subscribe", "unsubscribe", "answers"):
            if getattr(self, option) is not None:
                require_callable(option, getattr(self, option))
        require_instance("heartbeat", self.heartbeat, Heartbeat, "a Heartbeat or None")
        if self.most is not None:
            require_count("most", self.most, least=1)
        if self.rate is not None and not (is_finite(self.rate) and self.rate > 0):
            how = "give a positive number of messages a second, or None"
            raise InvalidOption("rate", self.rate, how)
        if self.requests is not None:
            require_format(self.requests)

    def encode_request(self, data: Any) -> Any:
        """Return a copy of the request.

        Raises:
            RuntimeError: If there are no requests, because of ``requests=None``.
            TypeError: If it cannot carry an id, or is not JSON.
        """
        if self.requests is None:
            raise RuntimeError(
                "request() cannot be used with Topics(requests=None); say how ids are carried"
            )
        self.requests.wrap(data, 0)
        return json_copy(data)

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        """Begin a conversation."""
        del memory, attempt
        return _TopicsConversation(self)


@frozen
class _Question:
    """A subscribe or unsubscribe message, and the topics that it names."""

    topics: tuple[Topic, ...]
    is_leaving: bool = False


class _TopicsConversation(PlainConversation):
    """Ask for topics, at the server's pace; route what comes.

    Args:
        protocol: The options.
    """

    def __init__(self, protocol: Topics) -> None:
        # Without ids nothing is ever asked by number, so the format is not used.
        super().__init__(protocol.requests or IdField())
        self._protocol = protocol
        self._routes = Routes()
        # Messages that wait for the pace; `tick` writes them.
        self._queue: deque[_Question] = deque()
        self._pace: TokenBucket | None = None  # made by the first message
        # The ids of requests that nobody waits for, the oldest first; set by `forget`.
        self._late: deque[Hashable] = deque()

    # What the machine calls

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        """Ask for these, `most` in a message."""
        fresh = []
        for subscription in subscriptions:
            if not self._routes.take_over(subscription):
                topic = Topic(subscription, subscription.key)
                self._routes.add(topic)
                fresh.append(topic)
        if self._protocol.subscribe is not None:
            return self._put(fresh, now)
        for topic in fresh:
            self._routes.route(topic, topic.route)
        return self._accept(fresh, None)

    def unsubscribe(
        self, subscriptions: Sequence[WireSubscription], now: float
    ) -> Iterable[Output]:
        """Take these back; one whose route is not known yet is taken back by its answer."""
        topics = [topic for each in subscriptions if (topic := self._routes.find(each)) is not None]
        leaving = []
        for topic in topics:
            if topic in self._routes.unanswered and self._protocol.answers is not None:
                topic.is_released = True
                continue
            self._routes.remove(topic, is_late=topic.is_asked)
            if topic.is_asked:
                leaving.append(topic)
        return [*self._put(leaving, now, is_leaving=True), *self._unclaimed()]

    def forget(self, request: object) -> None:
        """The program waits for this answer no longer; it goes nowhere, if it is not too late."""
        for number, what in self._asked.items():
            if what == request:
                self._asked[number] = LATE
                self._late.append(number)
                break
        if len(self._late) > MOST_LATE:
            self._asked.pop(self._late.popleft(), None)

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        """Return the message with its subscription, or what an answer says."""
        data, protocol = decoded(frame), self._protocol
        try:
            answer = None if protocol.answers is None else protocol.answers(data)
            route = protocol.key(data) if answer is None else None
            topic = None if route is None else self._routes.of(route)
            if answer is not None and not isinstance(answer, TopicAnswer):
                raise TypeError(f"{answer!r} is neither a TopicAnswer nor None")  # noqa: TRY301 - told below
            asks = topic is None and self._asked  # a message with a topic answers nothing
            question = self.take_question(data) if asks else None
        except Exception as error:  # noqa: BLE001 - the user's functions may raise anything
            return [Raised(error, "a function of Topics"), Received(data)]
        if topic is not None:
            if topic.is_released:
                return ()
            # A dict is what a JSON text was decoded into.
            text = frame if isinstance(frame, str) and isinstance(data, dict) else None
            return (Received(data, topic.subscription, None, text),)
        if answer is not None:
            return self._answer(answer, question, data, now)
        if question is not None:
            return self.answered(question, data, now)
        return (Received(data),) if route is None else self._unrouted(route, data)

    def tick(self, now: float) -> Iterable[Output]:
        """Write what the pace allows now."""
        return self._flush(now)

    # Asking

    def _put(
        self, topics: Sequence[Topic], now: float, *, is_leaving: bool = False
    ) -> Iterable[Output]:
        most = self._protocol.most or len(topics) or 1
        groups = range(0, len(topics), most)
        self._queue += [_Question(tuple(topics[n : n + most]), is_leaving) for n in groups]
        return self._flush(now)

    def _flush(self, now: float) -> list[Output]:
        if self._pace is None:
            rate = self._protocol.rate
            burst = None if rate is None else max(1, int(rate))
            self._pace = TokenBucket.below(rate, burst, now)
        outputs: list[Output] = []
        while self._queue:
            topics = [each for each in self._queue[0].topics if self._is_meant(each)]
            if topics and not self._pace.take(now):
                break
            question = self._queue.popleft()
            if topics:
                outputs += self._say(_Question(tuple(topics), question.is_leaving))
        self.deadline = self._pace.next_token if self._queue else None
        return outputs

    def _is_meant(self, topic: Topic) -> bool:
        """Whether a topic that waits for the pace was not released before it was asked for."""
        return topic.is_asked or self._routes.has(topic)

    def _say(self, question: _Question) -> Iterable[Output]:
        protocol, topics = self._protocol, question.topics
        make = protocol.unsubscribe if question.is_leaving else protocol.subscribe
        if make is None:
            return []
        names = [each.route if question.is_leaving else each.subscription.key for each in topics]
        try:
            data = make(names)
            if data is None:
                raise TypeError("it returned None instead of a message")  # noqa: TRY301 - told below
            numbered = protocol.requests is not None
            write = Write(self.ask(data, question) if numbered else encode(data))
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            name = f"Topics({'unsubscribe' if question.is_leaving else 'subscribe'}=)"
            why = f"{name} raised {said(error)}"
            refused = [] if question.is_leaving else self._refuse(topics, why)
            return [Raised(error, name), *refused]
        if question.is_leaving:
            return [write]
        for topic in topics:
            topic.is_asked = True
            self._routes.route(topic, topic.route)  # before the question leaves (SU4)
        if protocol.requests is None and protocol.answers is None:
            return [write, *self._accept(topics, None)]
        self._routes.unanswered.update(topics)
        return [write]

    # Answers

    def answered(self, what: object, data: Any, now: float) -> Iterable[Output]:
        """Return what follows from an answer that carries the id of its question."""
        if what is LATE:
            return []
        if not isinstance(what, _Question):
            return super().answered(what, data, now)
        if what.is_leaving:
            return []
        words = error_in(data)
        if words is None:
            return self._accept(what.topics, data)
        return self._refused(what.topics, words, now)

    def _answer(
        self, answer: TopicAnswer, question: object, data: Any, now: float
    ) -> Iterable[Output]:
        """Return what follows from a message that `answers` recognised."""
        if question is not None and not isinstance(question, _Question):
            return self.answered(question, data, now)  # it has the id of a request of the program
        topics = self._topics_of(answer, question)
        if answer.error is not None:
            words = error_in({"error": answer.error}) or "no reason given"
            return self._refused(topics, words, now, is_temporary=answer.is_temporary)
        if answer.route is not None and len(topics) == 1 and self._routes.has(topics[0]):
            self._routes.route(topics[0], answer.route)
        return [*self._accept(topics, data), *self._leave_late(topics, now)]

    def _topics_of(self, answer: TopicAnswer, question: _Question | None) -> tuple[Topic, ...]:
        if answer.key is not None:
            topic = self._routes.named(answer.key)
            return () if topic is None else (topic,)
        return () if question is None or question.is_leaving else question.topics

    def _refused(
        self, topics: Sequence[Topic], why: str, now: float, *, is_temporary: bool = False
    ) -> Iterable[Output]:
        """One refusal for several topics says nothing about each: ask for them one by one (SU6)."""
        if len(topics) < 2:
            return self._refuse(topics, why, is_temporary=is_temporary)
        current = [each for each in topics if self._routes.has(each)]
        self._routes.unanswered.difference_update(current)
        for topic in current:
            topic.is_asked = False
        self._queue += [_Question((topic,)) for topic in current]
        return self._flush(now)

    def _refuse(
        self, topics: Iterable[Topic], why: str, *, is_temporary: bool = False
    ) -> list[Output]:
        outputs: list[Output] = []
        for topic in topics:
            if not self._routes.has(topic):
                continue
            self._routes.remove(topic)
            subscription = topic.subscription
            if topic.is_released:
                continue
            has_ended = topic.is_active and not is_temporary
            refused = Refused(subscription, why, is_temporary)
            outputs.append(Ended(subscription, why) if has_ended else refused)
        return outputs + self._unclaimed()

    def _accept(self, topics: Iterable[Topic], data: Any) -> list[Output]:
        outputs: list[Output] = []
        for topic in topics:
            if topic.is_active or not self._routes.has(topic):
                continue
            topic.is_active = True
            self._routes.unanswered.discard(topic)
            if not topic.is_released:
                subscription, held = topic.subscription, self._routes.held_for(topic)
                outputs += [
                    Subscribed(subscription, data),
                    *(Received(each, subscription) for each in held),
                ]
        return outputs + self._unclaimed()

    def _leave_late(self, topics: Sequence[Topic], now: float) -> Iterable[Output]:
        """Take back those that were released before they were answered."""
        leaving = [each for each in topics if each.is_released and self._routes.has(each)]
        for topic in leaving:
            self._routes.remove(topic, is_late=True)
        return self._put(leaving, now, is_leaving=True)

    # Messages without a topic

    def _unrouted(self, route: Hashable, data: Any) -> Iterable[Output]:
        if self._routes.was_left(route):
            return ()
        if self._protocol.answers is not None and self._routes.hold(route, data):
            return ()
        return (Received(data),)

    def _unclaimed(self) -> list[Output]:
        return [Received(data) for data in self._routes.unclaimed()]
