"""Make stores of parts of a feed: each calls its subscribers only when its own value changes."""

import asyncio
import sys

from sockstore import WebSocketStore, derived
from sockstore.protocols import Topics

BY_TYPE = Topics(key=lambda data: data.get("type"))  # the server need not be asked


async def main(url: str) -> None:
    async with WebSocketStore(url, protocol=BY_TYPE) as feed:
        price = feed.subscribe("price").latest  # the latest object whose "type" is "price"
        news = feed.subscribe("news").latest
        headline = derived((price, news), lambda price, news: f"{price} | {news}")
        with headline.subscribe(print):
            feed.send({"type": "price", "value": 101})
            feed.send({"type": "weather", "value": "rain"})  # calls no subscriber
            feed.send({"type": "news", "value": "good"})
            await news.wait_for(lambda news: news is not None, timeout=10)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
