"""A protocol of one's own: Home Assistant's WebSocket API.

The page "How to write a protocol" explains it; `check_protocol` says whether it is right.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sockstore import Attempt, RequestFailed
from sockstore.protocols import (
    Answered,
    BaseProtocol,
    Conversation,
    Failed,
    Frame,
    Opened,
    Output,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
    Write,
)


@dataclass(frozen=True)
class HomeAssistant(BaseProtocol):
    token: str | Callable[[Attempt], str]
    has_subscriptions = has_requests = True

    def parameters(self) -> Mapping[str, object]:
        return {"token": self.token}

    def converse(self, memory: object, attempt: Attempt) -> Conversation:
        return _Conversation()


class _Conversation(Conversation):
    token: str
    asked: dict[int, object]  # what each command asked for: a subscription, or a request
    events: dict[int, WireSubscription]  # by the ids of their commands

    def open(self, given: Mapping[str, Any], now: float) -> Iterable[Output]:
        self.token, self.asked, self.events = given["token"], {}, {}
        return []  # the server speaks first

    def command(self, body: Mapping[str, Any], what: object) -> Write:
        number = self.next_id()
        self.asked[number] = what
        if isinstance(what, WireSubscription):
            self.events[number] = what
        return Write(json.dumps({"id": number, **body}))

    def subscribe(self, wanted: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        ask = {"type": "subscribe_events"}
        return [self.command({**ask, "event_type": each.key}, each) for each in wanted]

    def unsubscribe(self, left: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        for number in [number for number, each in self.events.items() if each in left]:
            del self.events[number]
            yield self.command({"type": "unsubscribe_events", "subscription": number}, None)

    def request(self, data: Any, subscription: object, request: object) -> Iterable[Frame]:
        return [self.command(data, request).frame]

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        try:
            said = json.loads(frame)
        except (ValueError, RecursionError):
            return [Received(frame)]
        match said:
            case {"type": "auth_required"}:
                return [Write(json.dumps({"type": "auth", "access_token": self.token}))]
            case {"type": "auth_ok"}:
                return [Opened()]
            case {"type": "auth_invalid"}:
                return [Failed(str(said.get("message")), "unauthorised")]
            case {"type": "event", "id": int(number)}:
                mine = self.events.get(number)
                return [] if mine is None else [Received(said.get("event"), mine)]
            case {"type": "result" | "pong", "id": int(number)}:
                return self.answer(number, said.get("error"), said.get("result"))
            case _:
                return [Received(said)]

    def answer(self, number: int, error: Any, result: Any) -> Iterable[Output]:
        what = self.asked.pop(number, None)  # None is a late answer
        said = error if isinstance(error, dict) else {"message": error}
        why = str(said.get("message"))
        if not isinstance(what, WireSubscription):
            failed = RequestFailed(said.get("code"), why) if error else None
            return [] if what is None else [Answered(what, result, failed)]
        if self.events.get(number) is not what:
            return []  # it was released before it was answered
        return [Refused(what, why)] if error else [Subscribed(what, result)]
