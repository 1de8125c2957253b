"""Build the suite "storm"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import python, run
from benchmarks.storm.busiest import ATTEMPTS, shares
from benchmarks.storm.peers import PEERS, Waits, arrivals

__all__ = ["storm_suite"]

CLIENTS = 10_000
UNIT = "% of all clients in the busiest second"
ABOUT = f"""
{CLIENTS:,} clients are connected. The server drops them all at once, and refuses every attempt
immediately, until their tenth retry. For each retry in a row, the figure is the share of clients in
the busiest second, wherever that second begins. Ours are {CLIENTS:,} `WebSocketStore` with their
defaults, on the virtual clock of the test kit. The others wait by their own functions if Python can
call them, else by their default formulas. A dot (·) means that the client had given up.
"""


def storm_suite(clients: int = CLIENTS) -> Suite:
    """Return the suite.

    Args:
        clients: The number of clients that are dropped.
    """
    return Suite(
        name="storm",
        title="A storm: everybody comes back",
        about=ABOUT,
        rows=tuple(
            Row(f"attempt {attempt}", UNIT, "lower", (Target(15, None),) if attempt == 5 else ())
            for attempt in ATTEMPTS
        ),
        contenders=(
            Contender(OURS, _ours(clients), "half of each wait at random; the first wholly"),
            *(
                Contender(name, partial(_measure, waits, clients), note)
                for name, (waits, note) in PEERS.items()
            ),
        ),
        # Nothing is timed; with so many clients a second round would give the same figures.
        rounds=1,
    )


def _ours(clients: int) -> Callable[[], Figures]:
    def measure() -> Figures:
        figures: Figures = run(python("benchmarks.storm.ours", "--clients", str(clients)))
        return figures

    return measure


def _measure(waits: Waits, clients: int) -> Figures:
    return shares(arrivals(waits, clients), clients)
