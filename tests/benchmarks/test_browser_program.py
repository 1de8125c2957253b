"""The program of the suite "start" measures a page that works; no timing decides."""

from __future__ import annotations

import shutil

import pytest
from benchmarks.browser.suite import start_suite
from benchmarks.harness.programs import python, run

from browser_runtime import staged_runtime


@pytest.mark.loopback
@pytest.mark.xdist_group("pages in the browser")
def test_a_page_becomes_connected_and_its_bytes_are_counted():
    if shutil.which("chromium") is None:
        pytest.skip("no Chromium here; install your system's package `chromium`")
    program = ("benchmarks.browser.client", str(staged_runtime()), "--quick")
    figures = run(python(*program), core=None)
    assert figures.keys() <= {row.name for row in start_suite().rows}
    assert figures["cold"] > 0
    assert 4 < figures["loads"] < 12
