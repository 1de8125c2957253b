"""Pyodide for the tests, as `make browser-runtime` stages it: once per machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tools.once import made_once

from sockstore.demo.browser.archive import pack_sources

TOOL = Path(__file__).parents[1] / "tools" / "browser_runtime"
SECONDS_TO_STAGE = 110
PYODIDE = json.loads((TOOL / "package.json").read_text())["dependencies"]["pyodide"]
"""The version that is staged."""


def staged_runtime() -> Path:
    """Return a folder with all that a page loads; skips the test where there is no Node.

    The tool's own files and this package decide whether it has to be made again: otherwise each
    page would compile the package.
    """
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}; install Debian's packages nodejs and npm")
    place = Path(tempfile.gettempdir()) / f"sockstore-browser-runtime-{_digest()}"
    return made_once(place, _stage)


def _digest() -> str:
    files = sorted(path for path in TOOL.iterdir() if path.is_file())
    parts = (*(path.read_bytes() for path in files), pack_sources().digest.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _stage(place: Path) -> None:
    command = [sys.executable, str(TOOL / "stage.py"), "--quick", str(place)]
    subprocess.run(command, check=True, timeout=SECONDS_TO_STAGE, capture_output=True)
