"""Many rooms over one connection: every message once and in order, over outages too.

Any server that speaks Centrifugo's protocol has such rooms, `sockstore serve` for example. A room
that the server refuses or ends does not concern the others; what a room has lost is told.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable
from typing import Any

from sockstore import Message, Subscription, SubscriptionRefused, WebSocketStore
from sockstore.protocols import Centrifuge

Show = Callable[[Message | SubscriptionRefused], object]


# core
class Rooms:
    """Calls `show` with each message of each room, with its gaps, and with refusals."""

    def __init__(self, url: str, names: Iterable[str], show: Show, **options: Any) -> None:
        self.show = show
        self.link = WebSocketStore(url, protocol=Centrifuge(), **options)
        self.rooms = {name: self.link.subscribe(name) for name in names}

    async def run(self) -> None:
        async with self.link:
            await asyncio.gather(*map(self.read, self.rooms.values()))

    async def read(self, room: Subscription[Any]) -> None:
        try:
            async for message in room:
                self.show(message)
        except SubscriptionRefused as error:
            self.show(error)


# end


def say(shown: Message | SubscriptionRefused) -> None:
    print(shown if isinstance(shown, SubscriptionRefused) else f"{shown.key}: {shown.data}")


async def main(url: str, *names: str) -> None:
    await Rooms(url, names, say).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
