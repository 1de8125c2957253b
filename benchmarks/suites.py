"""The suites, in the order of the report."""

from __future__ import annotations

from benchmarks.harness.model import Suite
from benchmarks.server.suite import history_suite, server_suite
from benchmarks.storm.suite import storm_suite

__all__ = ["all_suites"]


def all_suites() -> list[Suite]:
    """Return every suite; building one runs nothing."""
    return [server_suite(), history_suite(), storm_suite()]
