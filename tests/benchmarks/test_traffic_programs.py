"""The programs of the suites "receive", "roundtrip" and "log" count right; no timing decides."""

from __future__ import annotations

import json

import pytest
from benchmarks.harness.programs import python, run
from benchmarks.log.suite import log_suite
from benchmarks.receive import peers as receivers
from benchmarks.receive.suite import PYTHON, receive_suite
from benchmarks.roundtrip.suite import CONTENDERS, roundtrip_suite
from benchmarks.traffic.dialects import DIALECTS
from benchmarks.traffic.payloads import SIZES, payload, record
from benchmarks.traffic.running import traffic_server

FEW = ("--share", "0.002")


@pytest.fixture(scope="module")
def url():
    with traffic_server() as url:
        yield url


@pytest.mark.parametrize("size", SIZES)
def test_a_payload_has_its_size_and_says_what_its_record_says(size):
    for number in (1, 64, 199_999):
        text = payload(size, number)
        assert len(text) == size
        said = json.loads(text)
        assert said["id"] == number
        said.pop("note", None)  # it fills up what is missing
        assert said == {name: it for name, it in record(size, number).items() if name != "note"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_flood_ends_with_the_number_of_its_messages(dialect):
    frames = list(DIALECTS[dialect]().frames(256, 100))
    assert [frame.count("\n") + 1 for frame in frames] == (
        [16] * 6 + [4] if dialect == "crowded" else [1] * 100
    )
    assert '"id":100,' in frames[-1]


@pytest.mark.loopback
@pytest.mark.parametrize("name", receivers.RECEIVERS)
def test_a_receiver_gets_every_message_of_each_row(url, name):
    _, module, _ = PYTHON[name]
    figures = run(python("benchmarks.receive.client", name, url, *FEW, needs=(module,)), core=None)
    assert figures.keys() <= {row.name for row in receive_suite().rows}
    assert all(figures[f"{size} B"] > 0 for size in SIZES)
    if name == "sockstore":
        assert figures.keys() == {row.name for row in receive_suite().rows}


@pytest.mark.loopback
@pytest.mark.parametrize("name", CONTENDERS)
def test_every_message_comes_back(url, name):
    _, module, _ = CONTENDERS[name]
    command = python("benchmarks.roundtrip.client", name, url, *FEW, needs=(module,))
    figures = run(command, core=None)
    assert figures.keys() <= {row.name for row in roundtrip_suite().rows}
    assert {"1 in flight", "32 in flight"} <= figures.keys()


@pytest.mark.parametrize("name", ["sockstore", "deque", "copied list"])
def test_the_log_is_measured_at_the_lengths_that_are_asked_for(name):
    figures = run(python("benchmarks.log.client", name, "--longest", "10000"), core=None)
    assert list(figures) == [row.name for row in log_suite().rows][:2]
    assert all(figure > 0 for figure in figures.values())
