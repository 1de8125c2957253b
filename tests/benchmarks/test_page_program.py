"""The program of the suite "page" receives every message in a page; no timing decides."""

from __future__ import annotations

import shutil

import pytest
from benchmarks.harness.model import OURS
from benchmarks.harness.programs import python, run
from benchmarks.page.suite import page_suite
from benchmarks.traffic.running import traffic_server

from browser_runtime import staged_runtime


@pytest.mark.loopback
@pytest.mark.xdist_group("pages in the browser")
@pytest.mark.parametrize("peer", [OURS, "plain"])
def test_each_peer_receives_every_message_of_each_row(peer):
    if shutil.which("chromium") is None:
        pytest.skip("no Chromium here; install your system's package `chromium`")
    with traffic_server() as url:
        program = ("benchmarks.page.client", peer, url, str(staged_runtime()), "--share", "0.01")
        figures = run(python(*program), core=None)
    assert figures.keys() == {row.name for row in page_suite().rows}
    assert all(figure > 0 for figure in figures.values())
