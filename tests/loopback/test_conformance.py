"""A sample of Autobahn's cases; `make conformance` runs all of them."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

ROOT = Path(__file__).parent.parent.parent
SAMPLE = "1.* 2.* 3.* 4.1.* 5.* 6.2.* 6.4.1 7.* 9.3.1 10.* 12.1.1 13.2.1 13.3.1 13.5.1 13.6.1"


async def test_a_sample_of_autobahns_cases_passes():
    if importlib.util.find_spec("kosoku") is None:
        pytest.skip("the judge, kosoku, has no wheel for this system")
    command = [sys.executable, "-m", "tests.conformance.autobahn", *SAMPLE.split()]
    # A process of its own: the judge leaves files open, which this suite does not forgive.
    judged = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await judged.communicate()
    assert judged.returncode == 0, out.decode()
    assert "| framing | 16 |" in out.decode()
    assert "| compression, with parameters | 4 | 0 | 0 | 0 | 0 |" in out.decode()
