"""The suites, in the order of the report."""

from __future__ import annotations

from benchmarks.harness.model import Suite
from benchmarks.memory.suite import memory
from benchmarks.stores.suite import stores

__all__ = ["all_suites"]


def all_suites() -> list[Suite]:
    """Return every suite; building one runs nothing."""
    return [stores(), memory()]
