"""Send with one library: ``python -m benchmarks.roundtrip.client sockstore URL SHARE``.

Prints messages per CPU second of this process. A round trip is: encode a record of 256 B as JSON,
send it, receive it back, decode it; the next one is sent in the callback of the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

from benchmarks.roundtrip import peers
from benchmarks.traffic.payloads import record

SIZE = 256
IN_FLIGHT = {"1 in flight": (1, 20_000), "32 in flight": (32, 60_000)}
SENDS = 100_000
"""Messages of each kind that fast peers exchange; a slow peer gets a share of them."""


class Exchange:
    """Choose the next message, and take the time from the first message to the last answer."""

    def __init__(self, count: int, in_flight: int) -> None:
        self.count = count
        self.in_flight = in_flight
        self.seconds = 0.0
        self.data = record(SIZE, 123)
        self._to_send = count - in_flight
        self._to_come = count

    def begin(self) -> None:
        """Note that the first messages are sent now."""
        self._begun = time.process_time()

    def came(self, data: Any) -> bool:
        """Count an answer; return whether another message is to be sent."""
        self._to_come -= 1
        if not self._to_come:
            self.seconds = time.process_time() - self._begun
            if data != self.data:
                raise AssertionError("the last answer is not what was sent")
        self._to_send -= 1
        return self._to_send >= 0

    @property
    def is_over(self) -> bool:
        """Whether the last answer has come."""
        return not self._to_come


def main() -> None:
    """Run the rows that this peer has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=sorted(peers.EXCHANGERS))
    parser.add_argument("url")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of messages")
    options = parser.parse_args()
    figures = {}
    for row, (in_flight, count) in IN_FLIGHT.items():
        exchange = Exchange(max(in_flight, round(count * options.share)), in_flight)
        asyncio.run(peers.EXCHANGERS[options.peer](f"{options.url}/echo", exchange))
        figures[row] = exchange.count / exchange.seconds
    if options.peer in peers.SENDERS:
        count = max(10, round(SENDS * options.share))
        sending = Exchange(count, 1)
        asyncio.run(peers.SENDERS[options.peer](f"{options.url}/sink?count={count}", sending))
        figures["send only"] = count / sending.seconds
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
