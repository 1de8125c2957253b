"""Order books of many symbols over one connection: no state of them is wrong.

`Topics` says how a market of Binance's kind is asked for its streams, and at which pace. A book is
subscribed to while somebody watches it; `snapshot=` loads it at first and after each outage, and
holds back the changes that follow.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.request import urlopen

from sockstore import Message, Readable, WebSocketStore, readable
from sockstore.protocols import Topics

Load = Callable[[str], Awaitable[Any]]
Show = Callable[[Any], None]


# core   ("#!" marks plumbing: a connection is replaced before it is too old)
STREAMS = Topics(
    key=lambda data: data.get("stream"),
    subscribe=lambda names: {"method": "SUBSCRIBE", "params": names},
    unsubscribe=lambda names: {"method": "UNSUBSCRIBE", "params": names},
    rate=5,
)


class Books:
    """Books over one connection; `load` returns the snapshot of a symbol."""

    def __init__(self, url: str, load: Load, **options: Any) -> None:
        self.new_feed = partial(WebSocketStore, url, protocol=STREAMS, outbox=None, **options)
        self.feed, self.load = self.new_feed(), load
        self.followed: set[Book] = set()  #!

    def book(self, symbol: str) -> Readable[Any]:
        """Return a store of (number, levels), kept up to date while somebody watches it."""
        return readable(None, lambda show, _: Book(self, symbol, show).close)

    async def rotate(self) -> None:  #! make before break
        """Go over to a new connection; the old one is followed until the new one is ready."""
        old, self.feed = self.feed, self.new_feed()  #!
        for book in self.followed:  #!
            book.before = book.subscription  #!
            book.follow()  #!
        self.feed.connect()  #!
        await self.feed.ready(10)  #!
        answers = [book.subscription.ready(10) for book in self.followed]  #!
        await asyncio.gather(*answers, return_exceptions=True)  #! one may be released meanwhile
        await old.aclose()  #!


class Book:
    """A snapshot, and the changes that follow it; after a hole it is loaded again."""

    def __init__(self, books: Books, symbol: str, show: Show) -> None:
        self.books, self.symbol, self.show = books, symbol, show
        self.last, self.levels, self.before = 0, {}, None
        self.follow()
        books.followed.add(self)  #!

    def follow(self) -> None:
        self.subscription = self.books.feed.subscribe(f"{self.symbol}@depth", snapshot=self.load)
        self.subscription.messages.on_append(self.take)

    async def load(self) -> Any:
        if self.before and self.before.state.value.phase == "subscribed":  #! on the old connection
            return None  #!
        return await self.books.load(self.symbol)

    def take(self, message: Message) -> None:
        if message.kind == "snapshot":
            self.last, self.levels = message.data["lastUpdateId"], dict(message.data["bids"])
        elif (change := message.data["data"])["U"] > self.last + 1:  # a hole
            self.subscription.unsubscribe()
            self.follow()
        elif change["u"] > self.last:
            for price, quantity in change["b"]:
                self.levels.update({price: quantity}) if quantity else self.levels.pop(price, None)
            self.last = change["u"]
            self.show((self.last, dict(self.levels)))

    def close(self) -> None:
        self.books.followed.remove(self)  #!
        self.subscription.unsubscribe()


# end


async def main(url: str, snapshots: str, *symbols: str) -> None:
    async def load(symbol: str) -> Any:
        with await asyncio.to_thread(urlopen, f"{snapshots}?symbol={symbol}") as answer:
            return json.load(answer)

    books = Books(url, load)
    async with books.feed:
        for symbol in symbols:
            books.book(symbol).subscribe(lambda state, symbol=symbol: print(symbol, state))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
