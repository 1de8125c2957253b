"""List the suites, in the order of the report."""

from __future__ import annotations

from benchmarks.browser.suite import start_suite
from benchmarks.harness.model import Suite
from benchmarks.log.suite import log_suite
from benchmarks.memory.suite import memory_suite
from benchmarks.page.suite import page_suite
from benchmarks.receive.suite import receive_suite
from benchmarks.roundtrip.suite import roundtrip_suite
from benchmarks.server.suite import history_suite, server_suite
from benchmarks.stores.suite import stores_suite
from benchmarks.storm.suite import storm_suite

__all__ = ["all_suites"]


def all_suites() -> list[Suite]:
    """Return every suite; building one runs nothing."""
    return [
        receive_suite(),
        roundtrip_suite(),
        stores_suite(),
        log_suite(),
        memory_suite(),
        server_suite(),
        history_suite(),
        storm_suite(),
        start_suite(),
        page_suite(),
    ]
