"""Run a small program, pinned to one core, that prints its figures as one line of JSON."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tools.once import made_once

from benchmarks.harness.rounds import Absent

__all__ = [
    "CLIENT_CORE",
    "REPOSITORY",
    "SERVER_CORE",
    "node_command",
    "node_versions",
    "pinned",
    "python",
    "run",
]

REPOSITORY = Path(__file__).parent.parent.parent
NODE_SCRIPTS = REPOSITORY / "benchmarks" / "node"
SECONDS_FOR_A_PROGRAM = 120

_cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
SERVER_CORE = _cores[0] if len(_cores) > 1 else None
CLIENT_CORE = _cores[-1] if len(_cores) > 1 else None


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """Return a command that runs on one core, if the system can pin it."""
    can_pin = core is not None and shutil.which("taskset") is not None
    return ["taskset", "--cpu-list", str(core), *command] if can_pin else list(command)


def python(module: str, *arguments: str, needs: Sequence[str] = ()) -> list[str]:
    """Return the command that runs a module of `benchmarks` with this Python.

    Args:
        module: For example ``"benchmarks.receive.client"``.
        arguments: The arguments of the module.
        needs: Modules that must be importable.

    Raises:
        Absent: If one of them is not.
    """
    for name in needs:
        if importlib.util.find_spec(name) is None:
            raise Absent(f"the Python package {name} is not installed")
    return [sys.executable, "-m", module, *arguments]


def node_versions() -> dict[str, str]:
    """Return the versions of the packages that the scripts for Node use."""
    package = json.loads((NODE_SCRIPTS / "package.json").read_text(encoding="utf-8"))
    return dict(package["dependencies"])


def node_command(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a script of `benchmarks/node`, with its packages installed.

    Raises:
        Absent: If Node is not installed.
    """
    return ["node", str(_node_place() / script), *arguments]


@functools.cache
def _node_place() -> Path:
    """Return a folder with the scripts and `node_modules`; installed once per machine."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Absent(f"there is no {tool}")
    scripts = sorted(NODE_SCRIPTS.iterdir())
    digest = sha256(b"".join(script.read_bytes() for script in scripts)).hexdigest()

    def install(folder: Path) -> None:
        for script in scripts:
            shutil.copy(script, folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        if subprocess.run(command, cwd=folder, check=False).returncode != 0:
            raise Absent("npm could not install its packages")

    return made_once(Path(tempfile.gettempdir()) / f"sockstore-bench-{digest[:16]}", install)


@functools.cache
def _bytecode() -> str:
    """Return the folder of the bytecode: Python may be unable to write it elsewhere."""
    folder = tempfile.mkdtemp(prefix="sockstore-bench-bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run(command: Sequence[str], core: int | None = CLIENT_CORE) -> Any:
    """Run a program to its end, and return the JSON of its last line of output.

    Its imports are compiled at its first run only, even if `PYTHONDONTWRITEBYTECODE` is set.

    Raises:
        RuntimeError: If it failed; the message has its output.
    """
    done = subprocess.run(
        pinned(command, core),
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_FOR_A_PROGRAM,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": _bytecode()},
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])
