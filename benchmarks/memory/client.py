"""Open many connections and say what they cost: ``... client PEER COUNT URL [--echo]``.

Prints one line of JSON: the resident memory of one connection in KiB, the CPU seconds that it took
to open them all, and the CPU milliseconds from before the library's import (asyncio is there) to
the first open connection. With ``--echo`` each connection sends one message and gets it back
before the memory is read, which proves that all of them live at the same time.

The memory is what `/proc/self/smaps_rollup` says is resident (Rss), which the kernel counts page
by page for each read; the figure in `statm` is only approximate. `tracemalloc` does not count
everything: buffers of C libraries, half-empty arenas and their fragments use memory, too. A few
connections are opened before the first reading, so that neither a library's import nor its first
use is counted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.memory.peers import PEERS, Peer
from benchmarks.traffic.limits import allow_many_files

T = TypeVar("T")

AT_ONCE = 50
"""Connections that are opened at the same time."""

WARM_UP = 20
"""Connections that are opened before anything is read."""

MEMORY = Path("/proc/self/smaps_rollup")

TURNS_TO_SETTLE = 20
"""Turns of the loop in which the work of the last connection ends."""


async def main(name: str, count: int, url: str, *, echo: bool) -> None:
    """Open the connections, read the memory, and print the figures."""
    allow_many_files()
    async with AsyncExitStack() as stack:
        begun = time.process_time()
        peer = await PEERS[name](stack)
        connections = await open_all(peer, url, 1)
        first = time.process_time() - begun
        connections += await open_all(peer, url, WARM_UP - 1)
        if echo:
            await echo_all(peer, connections)
        before = await resident_kib()
        cpu_before = time.process_time()
        connections += await open_all(peer, url, count)
        cpu = time.process_time() - cpu_before
        if echo:
            await echo_all(peer, connections)
        after = await resident_kib()
        figures = {
            "connections": count,
            "KiB": (after - before) / count,
            "CPU seconds": cpu,
            "first ms": 1000 * first,
        }
        print(json.dumps(figures), flush=True)
        # Thousands of closing handshakes are not measured here.
        os._exit(0)


async def open_all(peer: Peer, url: str, count: int) -> list[Any]:
    """Open so many connections, some at a time."""
    return await _gather((peer.connect(url) for _ in range(count)), count)


async def echo_all(peer: Peer, connections: list[Any]) -> None:
    """Let each connection send a message, and wait until each has got its own back."""
    texts = [f"number {number}" for number in range(len(connections))]
    exchanges = (peer.echo(each, text) for each, text in zip(connections, texts, strict=True))
    if await _gather(exchanges, len(connections)) != texts:
        raise RuntimeError("not every connection got its own message back")


async def _gather(work: Iterable[Awaitable[T]], count: int) -> list[T]:
    """Await all of the work, some at a time, and return the results in order."""
    results: dict[int, T] = {}
    numbered = enumerate(work)

    async def worker() -> None:
        for number, awaitable in numbered:
            results[number] = await awaitable

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, count)):
            group.create_task(worker())
    return [results[number] for number in range(count)]


async def resident_kib() -> int:
    """Return the resident memory of this process, after all pending work and garbage collection."""
    for _ in range(TURNS_TO_SETTLE):
        await asyncio.sleep(0)
    gc.collect()
    lines = MEMORY.read_text().splitlines()  # noqa: ASYNC240 - /proc is not a disk
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


if __name__ == "__main__":
    name, count, url, *options = sys.argv[1:]
    asyncio.run(main(name, int(count), url, echo="--echo" in options))
