"""A protocol with acknowledgements, versions, answers in parts, and calls by the server."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sockstore import Attempt
from sockstore.protocols import (
    Answered,
    BaseProtocol,
    Called,
    CallFailure,
    Conversation,
    Ended,
    Frame,
    Missed,
    Output,
    Publication,
    Received,
    Refused,
    Settled,
    Subscribed,
    WireSubscription,
    Write,
)


@dataclass(frozen=True)
class Boards(BaseProtocol):
    """Boards of cards: what is said on a board has the board's name, and a number."""

    has_subscriptions = has_requests = has_calls = True
    addresses_subscriptions = acknowledges_messages = True

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        return _Talk()

    def not_delivered(self, output: Received | Missed) -> None:
        # The program has not seen this change: the next connection asks for it again.
        place = output.publication if isinstance(output, Received) else None
        if place is not None and place.offset is not None and output.subscription is not None:
            output.subscription.memory = place.offset - 1


class _Talk(Conversation):
    def __init__(self) -> None:
        super().__init__()
        self.boards: dict[Hashable, WireSubscription] = {}  # by key
        self.waiting: dict[int, object] = {}  # messages and requests without an answer, by number

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        for each in subscriptions:
            self.boards[each.key] = each
            # The version that was seen last, also on the connection before this one.
            yield Write(json.dumps({"join": each.key, "after": each.memory, **each.params}))

    def unsubscribe(
        self, subscriptions: Sequence[WireSubscription], now: float
    ) -> Iterable[Output]:
        for each in subscriptions:
            if self.boards.pop(each.key, None) is not None:
                yield Write(json.dumps({"leave": each.key}))

    def send(
        self, data: Frame, subscription: WireSubscription | None, entry: object
    ) -> list[Frame]:
        return self._number("say", json.loads(data), subscription, entry)

    def request(
        self, data: Any, subscription: WireSubscription | None, request: object
    ) -> list[Frame]:
        return self._number("ask", data, subscription, request)

    def _number(
        self, op: str, data: Any, board: WireSubscription | None, waiting: object
    ) -> list[Frame]:
        number = self.next_id()
        self.waiting[number] = waiting
        return [json.dumps({op: data, "n": number, "board": board and board.key})]

    def reply(self, call: object, result: Any, failure: CallFailure | None) -> list[Frame]:
        said = {"result": result} if failure is None else {"failed": str(failure)}
        return [json.dumps({"call": call, **said})]

    def forget(self, request: object) -> None:
        self.waiting = {n: each for n, each in self.waiting.items() if each is not request}

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        try:
            said = json.loads(frame)
        except ValueError:
            return [Received(frame)]
        match said:
            case {"acknowledged": int(n)} if n in self.waiting:
                return [Settled(self.waiting.pop(n), "acknowledged")]
            case {"rejected": int(n), "why": str(why)} if n in self.waiting:
                return [Settled(self.waiting.pop(n), "refused", why)]
            case {"answer": data, "n": int(n)} if n in self.waiting:
                return [Answered(self.waiting.pop(n), data)]
            case {"call": call, "name": str(name), "data": data}:
                return [Called(name, data, call, self.boards.get(said.get("board")), said)]
            case {"board": str(key)} if key in self.boards:
                return self._hear_of(self.boards[key], said)
        return [] if isinstance(said, dict) and "board" in said else [Received(said)]

    def _hear_of(self, board: WireSubscription, said: Mapping[str, Any]) -> list[Output]:
        match said:
            case {"joined": int(version), "recovered": bool() | None as recovered}:
                board.memory = version
                gap = [Missed(board, "unavailable")] if recovered is False else []
                return [Subscribed(board, said, recovered=recovered), *gap]
            case {"refused": str(why)}:
                del self.boards[board.key]
                return [Refused(board, why)]
            case {"ended": str() | None as why}:
                del self.boards[board.key]
                return [Ended(board, why)]
            case {"version": int(version), "change": change} if board.memory is not None:
                gap = [] if version == board.memory + 1 else [Missed(board, "unavailable")]
                board.memory = version
                return [*gap, Received(change, board, Publication(version))]
        return [Received(said, board)]
