"""Home Assistant: read states, call services, follow events; signed in again after each outage.

The protocol is that of the page "How to write a protocol", `home_assistant.py` in the folder above.
With it the connection numbers the questions, finds their answers, and subscribes anew.
"""

import asyncio
import sys
from typing import Any

from home_assistant import HomeAssistant

from sockstore import WebSocketStore


# core
class Home:
    """A home that answers questions and tells its events, over one connection."""

    def __init__(self, url: str, token: str, **options: Any) -> None:
        self.api = WebSocketStore(url, protocol=HomeAssistant(token), **options)

    async def ask(self, kind: str, **fields: object) -> Any:
        return await self.api.request({"type": kind, **fields})


# end


async def main(url: str, token: str) -> None:
    home = Home(url, token)
    async with home.api, home.api.subscribe("state_changed") as changes:
        print(await home.ask("get_states"))
        await home.ask("call_service", domain="light", service="turn_on")
        async for message in changes:
            print(message.data["data"])
            break


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
