"""Test the protocol of `home_assistant.py`: `check_protocol` needs a model of its server."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from home_assistant import HomeAssistant

from sockstore.protocols import Frame
from sockstore.testing import check_protocol


class House:
    """The server's side of one connection: it speaks first, and an event has its command's id."""

    def __init__(self) -> None:
        self.subscribed: dict[Hashable, int] = {}

    def greet(self) -> Iterable[Frame]:
        return ['{"type": "auth_required"}']

    def hear(self, frame: Frame) -> Iterable[Frame]:
        return [json.dumps(self.answer(json.loads(frame)))]

    def answer(self, said: dict[str, Any]) -> dict[str, Any]:
        if said["type"] == "auth":
            is_known = said["access_token"] == Harness.given["token"]
            return {"type": "auth_ok" if is_known else "auth_invalid"}
        done = {"id": said["id"], "type": "result", "success": True, "result": None}
        if said["type"] == "unsubscribe_events":
            left = said["subscription"]
            self.subscribed = {key: n for key, n in self.subscribed.items() if n != left}
        elif said["event_type"] == "forbidden":
            error = {"code": "unauthorized", "message": "Unauthorized"}
            return {**done, "success": False, "error": error}
        else:
            self.subscribed[said["event_type"]] = said["id"]
        return done

    def publish(self, key: Hashable, data: Any) -> Iterable[Frame]:
        return [json.dumps({"id": self.subscribed[key], "type": "event", "event": data})]


class Harness:
    protocol = HomeAssistant("secret")
    given: ClassVar[Mapping[str, Any]] = {"token": "secret"}
    keys: Sequence[Hashable] = ("state_changed", "call_service", "time_changed")
    refused_key = "forbidden"
    server = House


def test_the_protocol_keeps_the_contract_of_protocols() -> None:
    check_protocol(Harness())
