"""What all tests share: the contract report, and the rule that CI skips nothing."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CONTRACT = Path(__file__).parent.parent / "docs" / "contract.md"
IDS = re.compile(r"^- ([A-Z]{2}\d+)\b", re.MULTILINE)

# Timings never decide a test, and a machine that is busy makes them long.
settings.register_profile("sockstore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sockstore")

# A suite that runs in the background may ignore them, and the programs under test with it.
for number, action in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, action)

_proven: defaultdict[str, list[str]] = defaultdict(list)
_failed: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--contract-report",
        action="store_true",
        help="list the ids of docs/contract.md: which are proven by tests that passed",
    )
    parser.addoption(
        "--eager",
        action="store_true",
        help="make the tasks of the stories in tests/integration eager (Python 3.12 or newer)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "contract(*ids): the ids of docs/contract.md it proves")


def contract_ids() -> list[str]:
    promised, _, _ = CONTRACT.read_text().partition("## What the code added")
    return IDS.findall(promised)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = set(contract_ids())
    for item in items:
        ids = {name for marker in item.iter_markers("contract") for name in marker.args}
        if ids - known:
            raise pytest.UsageError(f"{item.nodeid} names unknown contract ids {ids - known}")
        # Properties travel with the report, also from a worker process.
        item.user_properties.append(("contract", sorted(ids)))


WITH_SOCKETS = {"contract", "loopback", "property"}
"""Folders of tests that open sockets and have no proof of their own that they close them."""


@pytest.fixture(autouse=True)
def _answers_for_its_own(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a socket that a test leaves open fail that test, not one that runs later."""
    if WITH_SOCKETS.isdisjoint(request.path.parts):
        yield
        return
    gc.freeze()  # only what the test makes is looked at, which takes a millisecond
    yield
    gc.collect()
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be skipped: {report.longrepr}"
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _failed.add(report.nodeid)
    elif report.passed and report.when == "call":
        for name in dict(report.user_properties).get("contract", ()):
            _proven[name].append(report.nodeid)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.getoption("--contract-report"):
        return
    terminalreporter.section("contract")
    proven = 0
    for name in contract_ids():
        tests = [test for test in _proven[name] if test not in _failed]
        proven += bool(tests)
        shown = f"{len(tests):3} tests, for example {tests[0]}" if tests else "not proven yet"
        terminalreporter.line(f"{name:5} {shown}")
    terminalreporter.line(f"{proven} of {len(contract_ids())} ids are proven")
