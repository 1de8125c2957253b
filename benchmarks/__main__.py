"""Measure, print the table, and with ``--write`` keep it: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks.harness.machine import describe_machine, versions_of
from benchmarks.harness.model import Measured, Suite
from benchmarks.harness.programs import node_versions
from benchmarks.harness.report import sections, told, verdict_lines
from benchmarks.harness.results import PACKAGES, Results, write_results
from benchmarks.harness.rounds import run_suites
from benchmarks.suites import all_suites


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites that the command line names; return the exit code."""
    suites = {suite.name: suite for suite in all_suites()}
    options = _parse(arguments, list(suites))
    chosen = [suites[name] for name in options.suites or suites]
    machine, versions = describe_machine(), {**versions_of(PACKAGES), **node_versions()}
    print(f"On {told(machine)}.\nWith {told(versions)}.\n", flush=True)
    begun = time.monotonic()

    def keep(suite: Suite, measured: Measured) -> None:
        _show(suite, measured)
        if options.write:
            results = Results(machine, versions, {suite.name: measured})
            for path in write_results(results, list(suites.values())):
                _say(f"wrote {path}")

    failed = run_suites(chosen, rounds=options.rounds, say=_say, keep=keep)
    _say(f"{time.monotonic() - begun:.0f} s in all")
    if failed:
        _say(f"python -m benchmarks: {', '.join(failed)} failed; the others are measured")
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None, names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure sockstore beside its peers."
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, help="rounds of each suite, instead of its own")
    parser.add_argument(
        "--write", action="store_true", help="keep the figures: JSON, plots and the docs' page"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.suites) - set(names)):
        parser.error(f"there is no suite {', '.join(unknown)}; there are: {', '.join(names)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds needs at least 1")
    return options


def _show(suite: Suite, measured: Measured) -> None:
    print(sections([suite], {suite.name: measured}, {}))
    for line in verdict_lines(suite, measured):
        print(line)
    print(flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
