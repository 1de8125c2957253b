"""Measure one library: ``python -m benchmarks.stores.client PEER [--quick]``.

Prints a line of JSON: for each row that the library has a figure in, that figure.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import suppress

from benchmarks.stores.cases import CASES, Case
from benchmarks.stores.guarantees import count_all
from benchmarks.stores.peer import Peer, Unavailable
from benchmarks.stores.peers import PEERS
from benchmarks.stores.timing import TooSlow, at_most, nanoseconds

SECONDS_FOR_A_CASE = 1.0
"""To build a case, and to do it once; a slower case has no figure."""


def main() -> None:
    """Print the figures of the library that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--quick", action="store_true", help="do each operation a few times only")
    options = parser.parse_args()
    batches, seconds = (1, 0.0001) if options.quick else (5, 0.02)
    print(json.dumps(_figures(PEERS[options.peer](), batches, seconds)))


def _figures(peer: Peer, batches: int, seconds: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    # Counted first: a case that was stopped in the middle may leave a library in disorder.
    with suppress(Unavailable):
        figures |= count_all(peer)
    for name, build in CASES.items():
        case = _built(build, peer)
        if case is not None:
            figures[name] = nanoseconds(case.run, batches=batches, seconds=seconds)
            case.check()
    return figures


def _built(build: Callable[[Peer], Case], peer: Peer) -> Case | None:
    try:
        with at_most(SECONDS_FOR_A_CASE):
            case = build(peer)
            case.run(1)
            case.check()
    except (TooSlow, RecursionError, Unavailable):
        return None
    return case


if __name__ == "__main__":
    main()
