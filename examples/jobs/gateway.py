"""A gateway like Discord's: it says the pace of heartbeats, and its sessions are resumed.

`on_open` is the whole opening: the server's hello, who we are, and what we missed. The connection
sends heartbeats at the server's pace, notices a server that answers no more, and comes back by its
schedule.
"""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from sockstore import Attempt, Opening, Reconnect, WebSocketStore
from sockstore.protocols import Heartbeat

FATAL, NEW_SESSION = {4004, 4010, 4011, 4012, 4013, 4014}, {4007, 4009}

FindUrl = Callable[[], Awaitable[dict[str, str]]]
Listen = Callable[[Any], object]


# core
class Gateway:
    """Calls `listen` with the data of each message, once and in order, over outages too."""

    def __init__(self, token: str, find_url: FindUrl, listen: Listen, **options: Any) -> None:
        self.token, self.find_url, self.listen = token, find_url, listen
        self.session, self.resume_url, self.seq = None, None, None
        policy = Reconnect.exponential(classify=dict.fromkeys(FATAL, "fatal"))
        self.feed = WebSocketStore(self.url, on_open=self.hello, reconnect=policy, **options)
        self.feed.messages.on_append(lambda message: self.take(message.data))

    async def url(self, attempt: Attempt) -> str:
        closed = attempt.previous and attempt.previous.close
        if closed and closed.code in NEW_SESSION:
            self.session = None
        return self.resume_url if self.session else (await self.find_url())["url"]

    async def hello(self, opening: Opening) -> None:
        seconds = (await opening.receive()).data["d"]["heartbeat_interval"] / 1000
        opening.heartbeat(Heartbeat(self.beat, {"op": 11}, interval=seconds, timeout=seconds))
        opening.send(self.introduction())
        while (event := (await opening.receive()).data).get("t") not in {"READY", "RESUMED"}:
            self.take(event)
            if event["op"] == 9:  # the session cannot be resumed
                self.session = None
                await asyncio.sleep(random.uniform(1, 5))
                opening.send(self.introduction())
        self.take(event)

    def introduction(self) -> dict[str, Any]:
        if self.session is None:
            return {"op": 2, "d": {"token": self.token, "intents": 513}}
        return {"op": 6, "d": {"token": self.token, "session_id": self.session, "seq": self.seq}}

    def beat(self) -> dict[str, Any]:
        return {"op": 1, "d": self.seq}

    def take(self, event: dict[str, Any]) -> None:
        self.seq = event.get("s") or self.seq
        match event:
            case {"op": 1}:
                self.feed.send(self.beat())
            case {"op": 7}:
                self.feed.reconnect()
            case {"t": "READY", "d": ready}:
                self.session, self.resume_url = ready["session_id"], ready["resume_gateway_url"]
            case {"t": "MESSAGE_CREATE", "d": message}:
                self.listen(message)


# end


async def main(url: str, token: str) -> None:
    async def find_url() -> dict[str, str]:
        return {"url": url}

    async with Gateway(token, find_url, print).feed as feed:
        await feed.phase.wait_for(lambda phase: phase == "failed")
        print(feed.explain())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
