"""The programs that measure memory and imports run, and say what they are asked for."""

import json
import math
import subprocess
import sys

import pytest
from benchmarks.harness.programs import REPOSITORY
from benchmarks.memory.suite import memory_suite
from benchmarks.traffic.running import traffic_server

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of its memory"),
]


def run(*command):
    done = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("options", [[], ["--echo"]], ids=["idle", "echo"])
@pytest.mark.parametrize("name", ["sockstore", "sockstore-room"])
def test_the_client_opens_connections_and_says_what_one_takes(name, options):
    pytest.importorskip("picows")
    with traffic_server() as url:
        figures = run("-m", "benchmarks.memory.client", name, "30", f"{url}/echo", *options)
    assert figures["connections"] == 30
    assert all(math.isfinite(figures[name]) for name in ("KiB", "CPU seconds", "first ms"))


def test_the_import_says_its_time_and_that_no_engine_came_with_it():
    program = str(REPOSITORY / "benchmarks" / "memory" / "importing.py")
    figures = run(program, "from sockstore import WebSocketStore")
    assert figures["ms"] > 0
    assert figures["engines"] == []


def test_the_suite_compares_with_the_peers_by_name():
    suite = memory_suite()
    names = {one.name for one in suite.contenders}
    assert {target.against for row in suite.rows for target in row.targets} <= {*names, None}
