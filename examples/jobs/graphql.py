"""GraphQL subscriptions over one connection: the subprotocol graphql-transport-ws.

The protocol says what its messages mean. The connection does the rest: after an outage it asks
again for what is still read, a refused token is asked for anew, and what nobody reads any more is
taken back.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sockstore import Attempt, Classification, WebSocketStore
from sockstore.protocols import (
    Address,
    BaseProtocol,
    Conversation,
    Ended,
    Frame,
    Opened,
    Output,
    Received,
    Subscribed,
    WireSubscription,
    Write,
)

FATAL = {4004, 4005, 4400, 4406, 4409, 4429, 4500}


# core
@dataclass(frozen=True)
class GraphQL(BaseProtocol):
    """The key of a subscription is a query, its parameters are the variables."""

    token: Callable[[Attempt], str]
    has_subscriptions = True
    shares_subscriptions = False

    def parameters(self) -> Mapping[str, object]:
        return {"token": self.token}

    def address(self, url: str, given: Mapping[str, Any]) -> Address:
        return Address(url, ("graphql-transport-ws",))

    def converse(self, memory: object, attempt: Attempt) -> Conversation:
        return Operations()

    def classify(self, code: int) -> Classification | None:
        return Classification.FATAL if code in FATAL else None


class Operations(Conversation):
    """The operations that run on one connection, by their ids."""

    def open(self, given: Mapping[str, Any], now: float) -> Iterable[Output]:
        self.running: dict[str, WireSubscription] = {}
        return [tell("connection_init", payload={"token": given["token"]})]

    def subscribe(self, wanted: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        for each in wanted:
            key = str(self.next_id())
            self.running[key] = each
            payload = {"query": each.key, "variables": {**each.params}}
            yield tell("subscribe", id=key, payload=payload)
            yield Subscribed(each)

    def unsubscribe(self, left: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        for key in [key for key, each in self.running.items() if each in left]:
            del self.running[key]
            yield tell("complete", id=key)

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        try:
            message = json.loads(frame)
        except (ValueError, RecursionError):
            message = None
        match message:
            case {"type": "connection_ack"}:
                yield Opened()
            case {"type": "ping"}:
                yield tell("pong")
            case {"type": "next", "id": str(key), "payload": result} if key in self.running:
                yield Received(result, self.running[key])
            case {"type": "error", "id": str(key)} if key in self.running:
                yield Ended(self.running.pop(key), json.dumps(message.get("payload")))
            case {"type": "complete", "id": str(key)} if key in self.running:
                yield Ended(self.running.pop(key))


def tell(kind: str, **fields: object) -> Write:
    return Write(json.dumps({"type": kind, **fields}))


# end


async def main(url: str, token: str, query: str) -> None:
    server = WebSocketStore(url, protocol=GraphQL(lambda _: token))
    async with server, server.subscribe(query) as results:
        async for message in results:
            print(message.data["data"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
