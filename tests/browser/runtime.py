"""Where the tests have Pyodide from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pyodide_folder() -> Path:
    """The folder of Pyodide's files."""
    folder = Path(os.environ.get("SOCKSTORE_PYODIDE", "/tmp/pyo/node_modules/pyodide"))
    if not (folder / "pyodide.mjs").exists():
        pytest.skip(f"no Pyodide in {folder}")
    return folder
