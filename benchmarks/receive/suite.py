"""Build the suite "receive": messages that are decoded, kept and delivered."""

from __future__ import annotations

from functools import partial

from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import node_command, python, run
from benchmarks.receive.client import BURST, STREAMS
from benchmarks.traffic.running import traffic_url

__all__ = ["receive_suite"]

ABOUT = """
Messages for each CPU second of the client process, which has a core of its own. The server, on the
other core, sends frames that were built before. Each message is a JSON text: it is decoded, kept if
the library keeps messages, and delivered to one callback, which counts. sockstore is a reconnecting
connection with its defaults (it keeps 1,000 messages). picows and aiohttp decode with the codec
that sockstore uses (msgspec), the others with `json`, as their users do; Socket.IO and Centrifugo
clients decode messages themselves.

With ten streams, ten independent readers each read every message with `async for`. The other
libraries have no such streams, so their column repeats their rate at 256 B. The longest block is
the longest time between two turns of the event loop during a flood of messages of 32 B.
"""

PER_CPU_SECOND = "messages per CPU second"
STREAMS_ROW = f"256 B, {STREAMS} streams"


def _row(size: int, *, of_picows: float, of_websockets: float) -> Row:
    targets = (
        Target(of_picows, "picows"),
        Target(of_websockets, "websockets"),
        Target(1.0, "aiohttp"),
    )
    return Row(f"{size} B", PER_CPU_SECOND, targets=targets)


ROWS = (
    _row(32, of_picows=0.6, of_websockets=4),
    _row(256, of_picows=0.75, of_websockets=4),
    _row(2048, of_picows=0.75, of_websockets=2.8),
    Row(STREAMS_ROW, PER_CPU_SECOND, targets=(Target(0.3, "picows"),)),
    Row(BURST, "milliseconds", "lower"),
)

PYTHON = {
    OURS: (1.0, "sockstore", ""),
    "sockstore-room": (0.5, "sockstore", "a room of `Centrifuge`: offsets checked"),
    "sockstore-room-16": (0.5, "sockstore", "the same, 16 publications in a frame"),
    "picows": (1.0, "picows", "bare listener, msgspec"),
    "aiohttp": (1.0, "aiohttp", "msgspec"),
    "websockets": (0.3, "websockets", "json"),
    "websockets-reconnecting": (0.3, "websockets", "`async for connect()`, json"),
    "websocket-client": (0.05, "websocket", "a thread, json"),
    "python-socketio": (0.05, "socketio", "Socket.IO events"),
    "centrifuge-python": (0.15, "centrifuge", "publications; offsets not checked"),
    "centrifuge-python-16": (0.15, "centrifuge", "the same, 16 publications in a frame"),
}
"""For each library: its share of the messages, the module it needs, and a note."""

NODE = {
    "ws": (1.0, "Node, JSON.parse"),
    "partysocket": (1.0, "Node, over ws, JSON.parse"),
    "reconnecting-websocket": (1.0, "Node, over ws, JSON.parse"),
}


def receive_suite() -> Suite:
    """Return the suite; building it runs nothing."""
    return Suite(
        name="receive",
        title="Receive",
        about=ABOUT,
        rows=ROWS,
        contenders=(
            *(
                Contender(name, partial(_in_python, name, share, module), note)
                for name, (share, module, note) in PYTHON.items()
            ),
            *(
                Contender(name, partial(_in_node, name, share), note)
                for name, (share, note) in NODE.items()
            ),
        ),
        rounds=5,
    )


def _in_python(name: str, share: float, module: str) -> Figures:
    options = (name, traffic_url(), "--share", str(share))
    figures: dict[str, float] = run(
        python("benchmarks.receive.client", *options, needs=(module, "picows"))
    )
    if name != OURS and "256 B" in figures:
        figures.setdefault(STREAMS_ROW, figures["256 B"])  # their bare loop, to compare with
    return figures


def _in_node(name: str, share: float) -> Figures:
    return run(node_command("receive.mjs", name, traffic_url(), str(share)))
