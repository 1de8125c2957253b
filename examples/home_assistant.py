"""A protocol of one's own: Home Assistant's WebSocket API.

The page "How to write a protocol" explains it; `check_protocol` says whether it is right.
"""

import json
from dataclasses import dataclass

from sockstore import RequestFailed
from sockstore.protocols import (
    Answered,
    BaseProtocol,
    Conversation,
    Failed,
    Opened,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
    Write,
)


@dataclass(frozen=True)
class HomeAssistant(BaseProtocol):
    token: str

    has_subscriptions = has_requests = True

    def converse(self, memory, attempt):
        return _Conversation(self.token)


class _Conversation(Conversation):
    def __init__(self, token):
        super().__init__()
        self.token = token
        self.asked = {}  # what each command asked for: a subscription, or a request
        self.events = {}  # the subscriptions, by the id of their commands

    def open(self, given, now):
        return []  # the server speaks first

    def command(self, body, what):
        number = self.next_id()
        self.asked[number] = what
        return number, json.dumps({"id": number, **body})

    def subscribe(self, subscriptions, now):
        for each in subscriptions:
            body = {"type": "subscribe_events", "event_type": each.key}
            number, frame = self.command(body, each)
            self.events[number] = each
            yield Write(frame)

    def unsubscribe(self, subscriptions, now):
        for number in [n for n, each in self.events.items() if each in subscriptions]:
            del self.events[number]
            body = {"type": "unsubscribe_events", "subscription": number}
            yield Write(self.command(body, None)[1])

    def request(self, data, subscription, request):
        return [self.command(data, request)[1]]

    def hear(self, frame, now):
        try:
            said = json.loads(frame)
        except (ValueError, RecursionError):
            return [Received(frame)]
        match said:
            case {"type": "auth_required"}:
                return [Write(json.dumps({"type": "auth", "access_token": self.token}))]
            case {"type": "auth_ok"}:
                return [Opened()]
            case {"type": "auth_invalid", "message": str(why)}:
                return [Failed(why, "unauthorised")]
            case {"type": "event", "id": int(number), "event": event}:
                mine = self.events.get(number)
                return [] if mine is None else [Received(event, mine)]
            case {"type": "result" | "pong", "id": int(number)}:
                return self.answer(self.asked.pop(number, None), said)
            case _:
                return [Received(said)]

    def answer(self, what, said):
        match what, said.get("error"):
            case None, _:
                return []
            case WireSubscription(), None:
                return [Subscribed(what, said)] if what in self.events.values() else []
            case WireSubscription(), error:
                return [Refused(what, str(error.get("message")))]
            case _, None:
                return [Answered(what, said.get("result"))]
            case _, error:
                return [Answered(what, error=RequestFailed(error.get("code"), str(error)))]
