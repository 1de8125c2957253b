"""Start the traffic server once, on the core that the clients do not use."""

from __future__ import annotations

import atexit
import functools
import subprocess

from benchmarks.harness.programs import REPOSITORY, SERVER_CORE, pinned, python

__all__ = ["traffic_url"]


@functools.cache
def traffic_url() -> str:
    """Return where the server listens, for example ``"ws://127.0.0.1:4711"``; it starts once."""
    command = pinned(python("benchmarks.traffic.server", needs=("picows",)), SERVER_CORE)
    server = subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(_end, server)
    assert server.stdout is not None  # noqa: S101 - a pipe was asked for
    port = server.stdout.readline().strip()
    if not port:
        raise RuntimeError("the traffic server did not start")
    return f"ws://127.0.0.1:{port}"


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    server.communicate()
