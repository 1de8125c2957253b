"""Run a server on the core that the clients do not use."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from benchmarks.harness.programs import REPOSITORY, SERVER_CORE, pinned

__all__ = ["Running", "serving"]

SECONDS_TO_END = 20


@dataclass(frozen=True)
class Running:
    """A server that accepts connections.

    Args:
        address: Host and port.
        pid: Its process.
    """

    address: str
    pid: int


@contextmanager
def serving(command: Sequence[str], core: int | None = SERVER_CORE) -> Iterator[Running]:
    """Run a server while a block runs.

    Args:
        command: It prints its ``ws://`` address in its first line once it accepts connections.
        core: The core that it runs on.

    Raises:
        RuntimeError: If it ends without printing its address.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            pinned(command, core), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=said, text=True
        )
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield Running(_address(process.stdout, said), process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=SECONDS_TO_END)


def _address(stdout: IO[str], said: IO[str]) -> str:
    line = stdout.readline()
    if (address := re.search(r"ws://([^/\s]+)", line)) is None:
        said.seek(0)
        raise RuntimeError(f"the server did not start: {line}{said.read()}")
    return address[1]
