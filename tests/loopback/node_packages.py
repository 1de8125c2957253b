"""Packages from npm for the tests: installed once per machine, for scripts in `node/`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tools.once import made_once

SCRIPTS = Path(__file__).parent / "node"
SECONDS_TO_INSTALL = 100


def node_modules() -> Path:
    """Return a folder that has `node_modules`; skips the test where there is no Node."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}; install Debian's packages nodejs and npm")
    package = (SCRIPTS / "package.json").read_bytes()
    name = f"sockstore-node-{hashlib.sha256(package).hexdigest()[:16]}"

    def install(folder: Path) -> None:
        (folder / "package.json").write_bytes(package)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        subprocess.run(command, cwd=folder, check=True, timeout=SECONDS_TO_INSTALL)

    return made_once(Path(tempfile.gettempdir()) / name, install)


@asynccontextmanager
async def running_node(script: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a script of `node/` until the block ends; it may import what package.json lists."""
    place = node_modules()
    shutil.copy(SCRIPTS / script, place / f"{os.getpid()}-{script}")
    process = await asyncio.create_subprocess_exec(
        "node",
        str(place / f"{os.getpid()}-{script}"),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
