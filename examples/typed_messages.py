"""Get messages as your own types, decoded and validated by msgspec or by pydantic."""

import asyncio
import sys

import msgspec
import pydantic

from sockstore import WebSocketStore


class Trade(msgspec.Struct):
    symbol: str
    price: float


class Order(pydantic.BaseModel):
    symbol: str
    amount: int = pydantic.Field(gt=0)


def rejected(error: Exception, frame: str | bytes) -> None:
    print("rejected:", frame)  # the message stays in the log, undecoded


async def exchange(url: str, kind: type, *messages: object) -> None:
    async with WebSocketStore(url, codec=kind, on_error=rejected) as feed:
        for message in messages:
            feed.send(message)
        seen = await feed.messages.wait_for(lambda view: len(view) == len(messages), timeout=10)
        for message in seen:
            if message.kind == "json":
                print(repr(message.data))


async def main(url: str) -> None:
    await exchange(url, Trade, Trade("BTC", 101.5), {"symbol": "BTC", "price": "high"})
    await exchange(url, Order, Order(symbol="BTC", amount=3), {"symbol": "BTC", "amount": -1})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
