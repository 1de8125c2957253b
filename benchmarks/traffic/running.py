"""Run the traffic server."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.harness.programs import python
from benchmarks.harness.serving import serving

__all__ = ["traffic_server", "traffic_url"]


@contextmanager
def traffic_server() -> Iterator[str]:
    """Run a server while a block runs, and yield its url."""
    with serving(python("benchmarks.traffic.server", needs=("picows",))) as running:
        yield f"ws://{running.address}"


@functools.cache
def traffic_url() -> str:
    """Return the url of the one server that the suites share; it starts with the first call."""
    until_exit = ExitStack()
    atexit.register(until_exit.close)
    return until_exit.enter_context(traffic_server())
