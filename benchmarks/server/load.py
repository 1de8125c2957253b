"""Fill a room with readers, let some of them talk, and say what that cost the server.

``python -m benchmarks.server.load ADDRESS PID``: the server's address and process.
"""

from __future__ import annotations

import argparse
import json
import time

from benchmarks.server.readers import Crowd


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, in all its threads.

    Linux has a clock for every process; its number is computed as by `clock_getcpuclockid`.
    """
    return time.clock_gettime((~pid << 3) | 2)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("pid", type=int)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--senders", type=int, default=16)
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=32)
    options = parser.parse_args()
    senders = min(options.senders, options.readers)
    with Crowd(options.address, "/chat/bench", options.readers, senders, senders) as crowd:
        crowd.talk(options.warm_up)
        cpu, own, wall = cpu_seconds(options.pid), time.process_time(), time.monotonic()
        deliveries = crowd.talk(options.messages)
        figures = {
            "deliveries": deliveries,
            "cpu_seconds": cpu_seconds(options.pid) - cpu,
            "own_cpu_seconds": time.process_time() - own,
            "seconds": time.monotonic() - wall,
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
