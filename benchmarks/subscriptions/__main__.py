"""Measure subscriptions: what routing costs, what a turn sends, and whether memory is flat.

Run it with ``python -m benchmarks.subscriptions``; NOTES.md says what the figures mean.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sockstore import Message, SocketInfo, WebSocketStore
from sockstore.protocols import Topics
from sockstore.transports.base import Listener, Target, TransportOptions

SLICE = 300
"""Messages that are read together, as from one read of a socket."""

ROUNDS = 60
KEYS = 300


class Wire:
    """A transport without a network: the program says what is read."""

    heard = 0
    reading_paused = False
    buffered_amount = 0

    def __init__(self, listener: Listener, options: TransportOptions, /) -> None:
        del options
        self.listener = listener
        self.sent: list[str | bytes] = []
        newest.append(self)

    async def open(self, target: Target) -> None:
        self.listener.opened(SocketInfo(target.url))

    def send(self, data: str | bytes) -> None:
        self.sent.append(data)

    def ping(self, payload: bytes) -> None:
        del payload

    def pause_reading(self) -> None:
        raise AssertionError("nothing is held back for so long")

    def resume_reading(self) -> None:
        raise AssertionError("reading was never paused")

    def close(self, code: int, reason: str) -> None:
        del code, reason
        self.abort()

    def abort(self) -> None:
        self.listener.released()

    def read(self, messages: list[str]) -> None:
        """Read messages in one slice."""
        waiting = iter(messages)
        while deliver := self.listener.begin_slice():
            is_over = deliver.texts(waiting)
            self.listener.end_slice()
            if not is_over:
                break


newest: list[Wire] = []


def topics() -> Topics:
    """Return a protocol whose messages carry their key."""
    return Topics(
        key=lambda data: data.get("stream"),
        subscribe=lambda keys: {"method": "SUBSCRIBE", "params": keys},
        unsubscribe=lambda keys: {"method": "UNSUBSCRIBE", "params": keys},
        requests=None,
    )


def message(key: int, number: int) -> str:
    """Return a trade as an exchange tells it, about 130 bytes."""
    trade = {"e": "trade", "E": 1700000000000 + number, "s": f"S{key}", "p": "101.25", "q": "3.5"}
    return json.dumps({"stream": f"{key}@trade", "data": {**trade, "t": number, "m": True}})


def interleaved(keys: int) -> list[str]:
    """Return one slice, in which each key has its turn."""
    return [message(number % keys, number) for number in range(SLICE)]


async def opened(**options: Any) -> tuple[WebSocketStore, Wire]:
    """Return an open connection and its wire."""
    connection = WebSocketStore("ws://bench", transport=Wire, ping_interval=None, **options)
    connection.connect()
    await connection.ready(5)
    return connection, newest[-1]


async def seconds_per_message(keys: int | None, read: Callable[[Any], object] | None) -> float:
    """Return the median over rounds; without keys, on a plain connection."""
    if keys is None:
        connection, wire = await opened()
        readers: list[Any] = [connection]
    else:
        connection, wire = await opened(protocol=topics())
        readers = [connection.subscribe(f"{key}@trade") for key in range(keys)]
    stops = [each.messages.on_append(read) for each in readers if read is not None]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    slice_ = interleaved(keys or 1)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(10):
            wire.read(slice_)
        times.append((time.perf_counter() - began) / 10 / SLICE)
    if readers[0].messages.total < ROUNDS * 10 * (SLICE // (keys or 1)):
        raise RuntimeError("messages were not delivered")
    for stop in stops:
        stop()
    if keys is not None:
        for each in readers:
            each.unsubscribe()
    await connection.aclose()
    return statistics.median(times)


async def what_a_turn_sends() -> tuple[int, float]:
    """Return how many frames 1,000 pairs of subscribe and release and one more key cost."""
    connection, wire = await opened(protocol=topics())
    connection.subscribe("loads what the first one needs").unsubscribe()
    await asyncio.sleep(0)
    began = time.perf_counter()
    for number in range(1000):
        connection.subscribe(number).unsubscribe()
    kept = connection.subscribe("kept")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    seconds = time.perf_counter() - began
    if wire.sent != ['{"method":"SUBSCRIBE","params":["kept"]}']:
        raise RuntimeError(f"it sent {wire.sent}")
    kept.unsubscribe()
    await connection.aclose()
    return len(wire.sent), seconds


async def memory() -> list[float]:
    """Return the resident MiB at each tenth of 1,000,000 messages on 100 keys."""
    connection, wire = await opened(protocol=topics())
    handles = [connection.subscribe(f"{key}@trade") for key in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    figures = []
    for tenth in range(10):
        for number in range(0, 100_000, SLICE):
            wire.read(
                [
                    message(each % 100, tenth * 100_000 + each)
                    for each in range(number, number + SLICE)
                ]
            )
        gc.collect()
        figures.append(_resident())
    for each in handles:
        each.unsubscribe()
    await connection.aclose()
    return figures


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def len_of(message: Message) -> int:
    """Read a message, as a callback of a program does."""
    return len(message.data)


def main() -> None:
    """Print all figures."""
    if sys.argv[1:] == ["memory"]:
        print(json.dumps(asyncio.run(memory())))
        return
    for name, read in (("kept", None), ("on_append", len_of)):
        gc.collect()
        plain = asyncio.run(seconds_per_message(None, read))
        one = asyncio.run(seconds_per_message(1, read))
        many = asyncio.run(seconds_per_message(KEYS, read))
        print(
            f"{name:10} plain {plain * 1e6:5.2f} us   1 key {one * 1e6:5.2f} us   "
            f"{KEYS} keys {many * 1e6:5.2f} us   ratio {many / one:4.2f}"
        )
    frames, seconds = asyncio.run(what_a_turn_sends())
    print(f"1,000 pairs in a turn: {frames} frame, {seconds * 1e3:.1f} ms")
    command = [sys.executable, "-m", "benchmarks.subscriptions", "memory"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures = json.loads(ran.stdout)
    print("1,000,000 messages on 100 keys, MiB:", " ".join(f"{each:.1f}" for each in figures))


if __name__ == "__main__":
    main()
