"""Build the suite "memory": the cost of an idle open connection, and of an import."""

from __future__ import annotations

import statistics
import sys
from functools import partial

from benchmarks.harness.model import Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import REPOSITORY, python, run
from benchmarks.traffic.running import traffic_server

__all__ = ["memory_suite"]

IDLE = 2_000
MANY = 10_000

IDLE_ROW = Row(
    "idle connection",
    "KiB of resident memory",
    "lower",
    (Target(1.5, "websockets"), Target(1.0, "picows")),
)
MANY_ROW = Row(f"one of {MANY:,} that echoed", "KiB of resident memory", "lower")
OPENING_ROW = Row(f"open {MANY:,}", "CPU seconds", "lower")
IMPORT_ROW = Row("import", "CPU milliseconds", "lower", (Target(1.6, "asyncio"),))
FIRST_ROW = Row("import without asyncio, and open the first", "CPU milliseconds", "lower")

ROOM = "sockstore-room"

IMPORTS = {
    "sockstore": "from sockstore import WebSocketStore",
    ROOM: "from sockstore.protocols import Centrifuge",
    "websockets": "from websockets.asyncio.client import connect",
    "picows": "from picows import ws_connect",
    "aiohttp": "from aiohttp import ClientSession",
    "asyncio": "import asyncio",
}
"""The import of the main name of each library; all of them import asyncio."""

IMPORTS_PER_ROUND = 5
"""Fresh interpreters in one round; the figure is their median."""

ABOUT = f"""
The client opens {IDLE:,} connections (then {MANY:,}) to an echo server in another process. It reads
its own resident memory before and after, when no message is under way and the garbage was
collected. Each of the {MANY:,} connections first sends a message and gets it back, so all of them
work. Twenty connections are opened beforehand, so that no import is counted. Each library runs with
its defaults: sockstore and `websockets` send pings, the others do not. Only the compression of
`websockets` is off; it would take another 32 KiB.

An import is the CPU time of the statement in a fresh interpreter with compiled bytecode. The last
column is the CPU time from before the import until the first connection is open, where asyncio is
loaded already; sockstore loads its engine only when it connects.
"""


def memory_suite() -> Suite:
    """Return the suite; building it runs nothing."""
    notes = {
        ROOM: "a room of `Centrifuge` on it",
        "websockets": "compression off, pings on",
        "picows": "core, no pings",
        "aiohttp": "one session, no pings",
    }
    clients = [
        Contender(name, partial(_measure, name), notes.get(name, ""))
        for name in IMPORTS
        if name != "asyncio"
    ]
    floor = Contender("asyncio", partial(_measure_import, "asyncio"), "the import alone")
    return Suite(
        name="memory",
        title="Memory, scale and start-up",
        about=ABOUT,
        rows=(IDLE_ROW, MANY_ROW, OPENING_ROW, IMPORT_ROW, FIRST_ROW),
        contenders=(*clients, floor),
        rounds=3,
    )


def _measure(name: str) -> Figures:
    _open(name, 1)  # writes the bytecode, if it is missing
    idle = _open(name, IDLE)
    many = _open(name, MANY, "--echo")
    return {
        IDLE_ROW.name: idle["KiB"],
        MANY_ROW.name: many["KiB"],
        OPENING_ROW.name: many["CPU seconds"],
        FIRST_ROW.name: _median([_open(name, 1)["first ms"] for _ in range(IMPORTS_PER_ROUND)]),
        **_measure_import(name),
    }


def _open(name: str, count: int, *options: str) -> Figures:
    # A new server each time, so that the ports do not run out.
    with traffic_server() as url:
        program = ("benchmarks.memory.client", name, str(count), f"{url}/echo")
        command = python(*program, *options, needs=(_module(name), "picows"))
        return run(command)


def _measure_import(name: str) -> Figures:
    program = str(REPOSITORY / "benchmarks" / "memory" / "importing.py")
    python("", needs=(_module(name),))
    command = [sys.executable, program, IMPORTS[name]]
    run(command)  # writes the bytecode, if it is missing
    figures = [run(command) for _ in range(IMPORTS_PER_ROUND)]
    if _module(name) == "sockstore" and any(each["engines"] for each in figures):
        raise RuntimeError(f"the import loaded an engine: {figures[0]['engines']}")
    return {IMPORT_ROW.name: _median([each["ms"] for each in figures])}


def _module(name: str) -> str:
    return "sockstore" if name == ROOM else name


def _median(figures: list[float]) -> float:
    return statistics.median(figures)
