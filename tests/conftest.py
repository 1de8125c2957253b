"""What all tests share: the contract report, and the rule that CI skips nothing."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

CONTRACT = Path(__file__).parent.parent / "docs" / "contract.md"
IDS = re.compile(r"^- ([A-Z]{2}\d+)\b", re.MULTILINE)

_proven: defaultdict[str, list[str]] = defaultdict(list)
_failed: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--contract-report",
        action="store_true",
        help="list the ids of docs/contract.md: which are proven by tests that passed",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "contract(*ids): the ids of docs/contract.md it proves")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = set(IDS.findall(CONTRACT.read_text()))
    for item in items:
        unknown = ids_of(item) - known
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} names unknown contract ids {unknown}")


def ids_of(item: pytest.Item) -> set[str]:
    return {name for marker in item.iter_markers("contract") for name in marker.args}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be skipped: {report.longrepr}"
    if report.failed:
        _failed.add(item.nodeid)
    elif report.passed and report.when == "call":
        for name in ids_of(item):
            _proven[name].append(item.nodeid)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.getoption("--contract-report"):
        return
    terminalreporter.section("contract")
    ids = IDS.findall(CONTRACT.read_text())
    for name in ids:
        tests = [test for test in _proven[name] if test not in _failed]
        first = f"{len(tests):3} tests, for example {tests[0]}" if tests else "not proven yet"
        terminalreporter.line(f"{name:5} {first}")
    proven = sum(bool(_proven[name]) for name in ids)
    terminalreporter.line(f"{proven} of {len(ids)} ids are proven")
