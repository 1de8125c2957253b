"""File descriptors: what a limit allows, and what is said when there are none."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sockstore.cli.descriptors import allowed_connections, on_accept_error, open_descriptors

pytestmark = pytest.mark.contract("SV11")


@pytest.mark.parametrize(
    ("limit", "used", "connections"),
    [(None, 10, None), (1024, 20, 940), (10_128, 20, 10_044), (64, 12, 36), (16, 20, 1)],
)
def test_some_descriptors_are_kept_from_the_connections(limit, used, connections):
    assert allowed_connections(limit, used) == connections


def test_open_descriptors_are_counted():
    before = open_descriptors()
    with Path(os.devnull).open():
        assert open_descriptors() == before + 1


PROGRAM = """
import resource
from sockstore.cli.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))
print(raise_limit(100), raise_limit(50), raise_limit(10_000))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_is_raised_as_far_as_the_hard_one_allows_and_never_lowered():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.split(), done.stderr) == (["100", "100", "512", "512", "512"], "")


@pytest.mark.asyncio
async def test_asyncio_says_once_that_it_cannot_accept(caplog):
    loop = asyncio.get_running_loop()
    told = []
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    on_accept_error(loop)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            loop.call_exception_handler(
                {"message": "accept", "exception": OSError(errno.EMFILE, "too many")}
            )
        loop.call_exception_handler({"message": "other", "exception": OSError(errno.EIO, "no")})
        loop.call_exception_handler({"message": "third"})
    assert [record.message for record in caplog.records] == [
        "out of file descriptors: new connections wait (raise the limit: ulimit -n)"
    ]
    assert told == ["other", "third"]
