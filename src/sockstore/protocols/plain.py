"""The protocol of servers without one: every message is the program's, JSON or text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, final

from sockstore.base.checks import require_instance
from sockstore.base.codecs import decode_json, encode
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.state import Attempt
from sockstore.protocols.base import (
    Answered,
    BaseProtocol,
    Conversation,
    Frame,
    Output,
    Received,
    WireSubscription,
)
from sockstore.protocols.requests import IdField, RequestFormat, require_format

__all__ = ["PLAIN", "Plain", "PlainConversation", "decoded"]


@final
@frozen
class Plain(BaseProtocol):
    """Messages and requests, and nothing else: the default.

    Args:
        requests: How a request carries its id, and an answer the id of its request.
        heartbeat: The application's own ping; None without one.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> Plain(requests=IdField("reqId"))
        Plain(requests=IdField(name='reqId'), heartbeat=None)
    """

    has_requests = is_plain = True

    requests: RequestFormat = IdField()
    heartbeat: Heartbeat | None = None

    def __post_init__(self) -> None:
        require_format(self.requests)
        require_instance("heartbeat", self.heartbeat, Heartbeat, "a Heartbeat or None")

    def encode_request(self, data: Any) -> Any:
        """Return the request itself: the codec of the connection encodes it, not this protocol.

        Raises:
            TypeError: If it cannot carry an id.
        """
        self.requests.wrap(data, 0)
        return data

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        """Begin a conversation."""
        del memory, attempt
        return PlainConversation(self.requests)


PLAIN: Final = Plain()
"""What a connection speaks that was given no protocol; one value serves all."""


class PlainConversation(Conversation):
    """Match answers with requests; every other message belongs to the program.

    Args:
        requests: How ids are carried.
    """

    __slots__ = ("_asked", "_format")

    def __init__(self, requests: RequestFormat) -> None:
        super().__init__()
        self._format = requests
        # What each id that was sent asks for; answers remove them.
        self._asked: dict[Hashable, object] = {}

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        """Return the answer, or the message."""
        data = decoded(frame)
        outputs = self.answers(data, now)
        return [Received(data)] if outputs is None else outputs

    def request(
        self, data: Any, subscription: WireSubscription | None, request: object
    ) -> Iterable[Frame]:
        """Return the request with its id."""
        del subscription
        return [self.ask(data, request)]

    def ask(self, data: Any, what: object, encoder: Callable[[Any], str | bytes] = encode) -> Frame:
        """Return a question with its id, and remember what it asks for.

        Raises:
            TypeError: If it cannot be encoded; nothing is remembered then.
        """
        number = self.next_id()
        question = encoder(self._format.wrap(data, number))
        self._asked[number] = what
        return question

    def answers(self, data: Any, now: float) -> Iterable[Output] | None:
        """Return what follows if a message answers a question; None if it does not."""
        what = self.take_question(data)
        return None if what is None else self.answered(what, data, now)

    def match(self, data: Any) -> Answered | None:
        """Return the answer to a request that a message is; None if it is none."""
        what = self.take_question(data)
        return None if what is None else self._answer_to(what, data)

    def take_question(self, data: Any) -> object:
        """Return what the question asked for that this message answers; None if it answers none."""
        number = self._format.number_of(data)
        if isinstance(number, bool) or not isinstance(number, Hashable):
            return None
        return self._asked.pop(number, None)

    def forget(self, request: object) -> None:
        """The program waits for this answer no longer: it will be a message like others."""
        for number, what in self._asked.items():
            if what == request:
                del self._asked[number]
                return

    def answered(self, what: object, data: Any, now: float) -> Iterable[Output]:
        """Return what follows from the answer to a question."""
        del now
        return [self._answer_to(what, data)]

    def _answer_to(self, request: object, data: Any) -> Answered:
        try:
            return Answered(request, self._format.result_of(data))
        except Exception as error:  # noqa: BLE001 - the format may be the user's, and raise anything
            return Answered(request, error=error)


def decoded(frame: Frame) -> Any:
    """Return the JSON of a text frame, or the frame as it is if it is not JSON."""
    if isinstance(frame, bytes):
        return frame
    try:
        return decode_json(frame)
    except (ValueError, RecursionError):
        return frame
