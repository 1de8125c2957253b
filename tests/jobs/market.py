"""A market feed with order books, like Binance's combined streams."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Self

from jobs.job_server import JobServer
from sockstore.testing import FakeClient

__all__ = ["Market"]


class Market(JobServer):
    """A feed like Binance's combined streams: books that change, told as deltas U..u.

    A book may be loaded whole, as of a number; a delta that does not follow it is a hole. Streams
    are asked for by name, at most `most` names in a message and `rate` messages a second; more end
    the connection with 1008. A connection lives for `lifetime` seconds, if that is given.

    Args:
        symbols: What is traded.
        every: Seconds between two trades.
        lifetime: Seconds of a connection.

    Attributes:
        history: For each symbol the whole book after each number: what a client must have seen.
        subscribed: For each client, oldest first, the streams that it has.
        snapshots: How often a book was loaded.
    """

    def __init__(
        self, symbols: list[str], *, every: float = 0.005, lifetime: float | None = None
    ) -> None:
        super().__init__()
        self.books: dict[str, dict[int, int]] = {symbol: {} for symbol in symbols}
        self.numbers = dict.fromkeys(symbols, 100)
        self.history: dict[str, dict[int, dict[int, int]]] = {symbol: {} for symbol in symbols}
        self.subscribed: dict[FakeClient, set[str]] = {}
        self.snapshots = 0
        self.most, self.rate = 1024, 5
        self._every, self._lifetime = every, lifetime
        self._random = random.Random(2026)
        self._trading: asyncio.Task[None] | None = None  # set while the block of it runs

    async def __aenter__(self) -> Self:
        self._trading = asyncio.create_task(self._trade(), name="the market")
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._trading is not None:
            self._trading.cancel()
        await super().__aexit__(*error)

    async def load(self, symbol: str) -> dict[str, Any]:
        """Return a whole book, as an HTTP request would: it is old when it arrives."""
        self.snapshots += 1
        await asyncio.sleep(2 * self._every)
        book = {"lastUpdateId": self.numbers[symbol], "bids": [*self.books[symbol].items()]}
        await asyncio.sleep(4 * self._every)
        return book

    async def converse(self, client: FakeClient) -> None:
        mine = self.subscribed[client] = set()
        clock = asyncio.get_running_loop().time
        times: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            if self._lifetime is not None:
                tasks.create_task(self._expire(client, self._lifetime))
            while True:
                command = await self.receive(client)
                times = [at for at in times if at > clock() - 1] + [clock()]
                if len(times) > self.rate or len(command["params"]) > self.most:
                    client.close(1008, "Too many requests")
                    return
                match command["method"]:
                    case "SUBSCRIBE":
                        mine.update(command["params"])
                    case "UNSUBSCRIBE":
                        mine.difference_update(command["params"])
                    case other:
                        error = {"code": 2, "msg": f"Invalid request: unknown method {other}"}
                        await client.send({"error": error, "id": command["id"]})
                        continue
                await client.send({"result": None, "id": command["id"]})

    async def _expire(self, client: FakeClient, seconds: float) -> None:
        await asyncio.sleep(seconds)
        client.close(1008, "the connection has reached its age")

    async def _trade(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            for symbol in self.books:
                self._change(symbol)

    def _change(self, symbol: str) -> None:
        """Change two levels of a book, and tell who has asked for it."""
        book, first = self.books[symbol], self.numbers[symbol] + 1
        levels = [(self._random.randrange(20), self._random.randrange(3)) for _ in range(2)]
        for price, quantity in levels:
            book.pop(price, None)
            if quantity:
                book[price] = quantity
        last = self.numbers[symbol] = first + 1
        self.history[symbol][last] = dict(book)
        stream = f"{symbol}@depth"
        delta = {"e": "depthUpdate", "s": symbol, "U": first, "u": last, "b": levels}
        for client in self.open_connections:
            if stream in self.subscribed.get(client, ()):
                client.send({"stream": stream, "data": delta})
