"""The package in Pyodide under Node: the same Python as in a browser, and sooner there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from browser_runtime import staged_runtime
from emscripten.remote_server import remote_ends
from loopback.node_packages import node_modules

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
SECONDS = 240

PURE = (
    *(
        f"tests/unit/{place}"
        for place in (
            "base/test_errors.py", "base/test_frozen.py", "base/test_json_stdlib.py",
            "base/test_options.py", "base/test_outcomes.py", "base/test_urls.py",
            "connection/test_endpoint.py", "connection/test_receipts.py",
            "machine", "messages", "stores/test_derived.py", "stores/test_notifying.py",
            "stores/test_waiting.py", "stores/test_writable.py", "ui/chat/test_rows.py",
            "ui/chat/test_own_messages.py", "ui/chat/test_presence.py",
            "ui/chat/test_transcript.py", "ui/chat/test_view_model.py",
            "ui/test_live_list.py", "ui/test_status.py", "ui/test_text.py",
            "ui/test_ui_inspector.py",
        )
    ),
    *(f"tests/integration/test_{name}.py" for name in ("connecting", "navigators", "scopes")),
)  # fmt: skip
"""What needs no socket, no thread and no process, from the bottom to the scopes."""

TOO_DEEP = (
    "tests/unit/stores/test_derived.py::test_a_chain_is_as_deep_as_you_like",
    "tests/unit/stores/test_derived.py::test_a_deep_chain_that_never_ran_is_freed",
)
"""A browser's stack is small: freeing a chain of 100,000 stores ends Python there."""

TOO_LONG = (
    "tests/unit/machine/test_machine.py::test_attempts_none_retries_100_000_times_without_growing",
    "tests/unit/machine/test_machine.py::test_connections_that_open_and_break_20_000_times_leave_nothing",
    "tests/unit/messages/test_log.py::test_memory_is_flat_over_a_million_messages",
    "tests/unit/messages/test_log.py::test_the_log_is_the_end_of_a_list_and_a_view_never_changes",
    "tests/unit/messages/test_log.py::test_a_view_taken_in_mid_slice_is_the_list_of_that_moment_for_ever",
)
"""They count far, which takes long there and proves nothing more."""


def pytest_for_pyodide() -> Path:
    """Return a folder with pytest in pure Python; it is installed once per machine."""
    requirements = HERE / "requirements.txt"
    name = f"sockstore-pytest-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    place = Path(tempfile.gettempdir()) / name
    if not place.exists():
        fresh = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        pure = ["--only-binary=:all:", "--implementation=py", "--abi=none", "--platform=any"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *pure]
        subprocess.run(
            [*command, "--target", fresh, "-r", requirements], check=True, timeout=SECONDS
        )
        try:
            fresh.rename(place)
        except OSError:  # another worker was first
            shutil.rmtree(fresh)
    return place


async def run_in_pyodide(module: str, *arguments: str) -> None:
    """Run `main` of a module of the tests in Pyodide under Node; fail with what it printed."""
    script = node_modules() / f"{os.getpid()}-run.mjs"
    shutil.copy(HERE / "node" / "run.mjs", script)
    places = [staged_runtime(), CHECKOUT, pytest_for_pyodide()]
    command = ["node", script, *places, module, *arguments]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [line[:300] for line in printed.decode().splitlines()]
    assert process.returncode == 0, "\n".join(lines[-60:])


@pytest.mark.asyncio
@pytest.mark.contract("CN6", "CN12", "CN15", "MS1", "TK1")
async def test_the_browsers_transport_keeps_the_contract():
    async with remote_ends() as ports:
        await run_in_pyodide("emscripten.contract_in_page", *map(str, ports))


@pytest.mark.asyncio
@pytest.mark.contract("ST1", "RC1", "UI3")
async def test_the_pure_layers_pass_their_own_tests():
    deselected = [f"--deselect={test}" for test in TOO_DEEP + TOO_LONG]
    arguments = ["-q", "-c", "tests/emscripten/pyodide.ini", "--rootdir=.", *deselected, *PURE]
    await run_in_pyodide("emscripten.pure_tests", *arguments)
