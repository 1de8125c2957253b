"""Build the suite "roundtrip": round trips, and messages that are only sent."""

from __future__ import annotations

from functools import partial

from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import python, run
from benchmarks.traffic.running import traffic_url

__all__ = ["roundtrip_suite"]

ABOUT = """
Messages for each CPU second of the client process. A round trip encodes a record of 256 B as JSON,
sends it, receives the echo, decodes it, and sends the next one from the callback of the answer;
with one or with 32 in flight. The last column sends without an answer, as fast as the library
allows; each sender waits for its library's backpressure. In a room of Centrifugo's protocol the
server acknowledges each message, and tells it to the sender, too. picows and aiohttp use the codec
that sockstore uses (msgspec), the others `json`.
"""

PER_CPU_SECOND = "messages per CPU second"
OF_WEBSOCKETS = Target(1.8, "websockets")
ROWS = (
    Row("1 in flight", PER_CPU_SECOND, targets=(Target(0.8, "picows"), OF_WEBSOCKETS)),
    Row("32 in flight", PER_CPU_SECOND, targets=(Target(0.65, "picows"), OF_WEBSOCKETS)),
    Row("send only", PER_CPU_SECOND, targets=(OF_WEBSOCKETS,)),
)

CONTENDERS = {
    OURS: (1.0, "sockstore", "receipts, outbox"),
    "sockstore-room": (0.3, "sockstore", "a room of `Centrifuge`: acknowledged"),
    "picows": (1.0, "picows", "bare listener, msgspec"),
    "aiohttp": (1.0, "aiohttp", "msgspec"),
    "websockets": (0.5, "websockets", "json"),
    "websocket-client": (0.3, "websocket", "a thread, json"),
    "centrifuge-python": (0.1, "centrifuge", "publications: acknowledged"),
}
"""For each library: its share of the messages, the module it needs, and a note."""


def roundtrip_suite() -> Suite:
    """Return the suite; building it runs nothing."""
    return Suite(
        name="roundtrip",
        title="Send and round trip",
        about=ABOUT,
        rows=ROWS,
        contenders=tuple(
            Contender(name, partial(_measure, name, share, module), note)
            for name, (share, module, note) in CONTENDERS.items()
        ),
        rounds=5,
    )


def _measure(name: str, share: float, module: str) -> Figures:
    options = (name, traffic_url(), "--share", str(share))
    command = python("benchmarks.roundtrip.client", *options, needs=(module, "picows"))
    return run(command)
