"""Build the suites "server" and "history"."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import python, run
from benchmarks.harness.serving import serving
from benchmarks.server.running import sockstore_serve

__all__ = ["history_suite", "server_suite"]

READERS = 1000
STARLETTE = "Starlette broadcast"
NO_LIMIT = 1e6
"""Messages a second of one sender; so high that this limit does not decide the figures."""

DELIVERIES = "deliveries, 1,000 readers"
DELIVERIES_BY_THE_CLOCK = "deliveries by the clock, 1,000 readers"
SENDERS = (1, 16, 256)
SYNCHRONOUS = ("FULL", "NORMAL")

ABOUT_SERVER = f"""
A room of {READERS:,} readers; 16 of them send, with one message each under way. A message has about
180 bytes, and each server delivers it in its own way: ours first stores it, in SQLite on the disk
with an fsync, and adds sender, id and offset. Server and readers have a core each; the readers
count a mark in the bytes and parse nothing. The target compares the CPU time of the server's whole
process; the rate by the clock may also be limited by the readers. Ours is `sockstore serve` with
its defaults, except for the rate that one client may send. Starlette's is the `ConnectionManager`
of FastAPI's documentation on uvicorn with its defaults. No server compresses, because the readers
do not offer it.
"""
ABOUT_HISTORY = """
Senders append messages to one room of a history in a SQLite file, each sender as soon as its last
message is stored. Ours stores all waiting messages in one transaction; beside it, the same code
commits each message by itself. `FULL` is the server's setting: each commit waits for an fsync, so
no acknowledged message is lost when the machine crashes. With `NORMAL` the last ones would be lost.
"""


def server_suite() -> Suite:
    """Return the suite of the deliveries."""
    return Suite(
        name="server",
        title="The server: deliveries",
        about=ABOUT_SERVER,
        rows=(
            Row(DELIVERIES, "deliveries per CPU second", targets=(Target(1.0, STARLETTE),)),
            Row(DELIVERIES_BY_THE_CLOCK, "deliveries per second"),
        ),
        contenders=(
            Contender(OURS, _measure_ours, "with history on the disk"),
            Contender(STARLETTE, partial(_measure_peer, "starlette_broadcast"), "no history"),
            Contender(
                "websockets.broadcast", partial(_measure_peer, "websockets_broadcast"), "no history"
            ),
        ),
    )


def history_suite() -> Suite:
    """Return the suite of the group commit."""
    return Suite(
        name="history",
        title="The server: the group commit",
        about=ABOUT_HISTORY,
        rows=tuple(
            Row(_row(synchronous, senders), "messages per second")
            for synchronous in SYNCHRONOUS
            for senders in SENDERS
        ),
        contenders=(
            Contender(OURS, partial(_measure_history, ()), "group commit"),
            Contender("one commit a message", partial(_measure_history, ("--one-by-one",))),
        ),
        rounds=3,
    )


def _measure_ours() -> Figures:
    with _folder() as folder, serving(sockstore_serve(folder, rate=NO_LIMIT)) as server:
        return _load(server.address, server.pid)


def _measure_peer(module: str) -> Figures:
    with serving(python(f"benchmarks.server.{module}", needs=("uvicorn", "websockets"))) as server:
        return _load(server.address, server.pid)


def _load(address: str, pid: int) -> Figures:
    command = python("benchmarks.server.load", address, str(pid), "--readers", str(READERS))
    measured = run(command)
    return {
        DELIVERIES: measured["deliveries"] / measured["cpu_seconds"],
        DELIVERIES_BY_THE_CLOCK: measured["deliveries"] / measured["seconds"],
    }


def _measure_history(options: tuple[str, ...]) -> Figures:
    figures = {}
    for synchronous in SYNCHRONOUS:
        for senders in SENDERS:
            with _folder() as folder:
                measured = run(
                    python(
                        "benchmarks.server.history",
                        str(folder / "history.db"),
                        "--synchronous",
                        synchronous,
                        "--senders",
                        str(senders),
                        *options,
                    )
                )
            figures[_row(synchronous, senders)] = measured["messages"] / measured["seconds"]
    return figures


def _row(synchronous: str, senders: int) -> str:
    return f"{synchronous}, {senders} sender{'s' if senders > 1 else ''}"


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder on a disk: /tmp may be in memory, where an fsync costs nothing."""
    with tempfile.TemporaryDirectory(prefix="sockstore-bench-", dir="/var/tmp") as name:
        yield Path(name)
