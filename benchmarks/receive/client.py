"""Receive floods with one library: ``python -m benchmarks.receive.client sockstore URL SHARE``.

Prints the messages per CPU second of this process for each size, and for how long the loop was
blocked at most. CPU time begins with the message that starts the flood and ends in the callback
of its last message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from benchmarks.receive import peers
from benchmarks.traffic.payloads import SIZES

COUNTS = {32: 200_000, 256: 120_000, 2048: 30_000}
"""Messages of a flood for fast peers; a slow peer gets a share of them."""

STREAMS = 10
BURST = "longest block by a burst"

Receive: TypeAlias = Callable[[str, peers.Meter], Coroutine[Any, Any, None]]


class Meter:
    """Count messages, and take the time from the request of the flood to the last message."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seconds = 0.0
        self._left = count

    def begin(self) -> None:
        """Note that the flood is requested now."""
        self._begun = time.process_time()

    def took(self, data: Any) -> bool:
        """Count a decoded message; return whether it was the last."""
        self._left -= 1
        if self._left:
            return False
        self.seconds = time.process_time() - self._begun
        if data["id"] != self.count:
            raise AssertionError(f"the last message is number {data['id']}, not {self.count}")
        return True


def main() -> None:
    """Run the rows that this peer has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=sorted(peers.RECEIVERS))
    parser.add_argument("url")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of messages")
    options = parser.parse_args()
    receive = peers.RECEIVERS[options.peer]
    figures = {}
    for size in SIZES:
        figures[f"{size} B"] = _rate(receive, options.url, size, options.share)
    if options.peer in peers.STREAM_RECEIVERS:
        many = peers.STREAM_RECEIVERS[options.peer]
        figures[f"256 B, {STREAMS} streams"] = _rate(many, options.url, 256, options.share / 4)
    if options.peer in peers.ASYNCHRONOUS:
        figures[BURST] = asyncio.run(_blocked(receive, options.url, options.share))
    print(json.dumps(figures))


def _rate(receive: Receive, url: str, size: int, share: float) -> float:
    meter = Meter(max(100, round(COUNTS[size] * share)))
    asyncio.run(receive(f"{url}/flood?size={size}&count={meter.count}", meter))
    return meter.count / meter.seconds


async def _blocked(receive: Receive, url: str, share: float) -> float:
    """Return milliseconds between two turns of the loop, at most, during a flood of 32 B."""
    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()

    def turn() -> None:
        nonlocal longest, last
        now = loop.time()
        longest, last = max(longest, now - last), now
        handle[0] = loop.call_soon(turn)

    meter = Meter(max(100, round(COUNTS[32] * share)))
    handle = [loop.call_soon(turn)]
    await receive(f"{url}/flood?size=32&count={meter.count}", meter)
    handle[0].cancel()
    return longest * 1000


if __name__ == "__main__":
    main()
