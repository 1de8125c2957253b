"""Build the suite "start": how soon a page with its own Python is connected."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.once import made_once

from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import REPOSITORY, python, run
from benchmarks.harness.rounds import Absent
from sockstore.demo.browser.runtime import RuntimeUnusable, find_runtime

__all__ = ["staged_runtime", "start_suite"]

TOOL = REPOSITORY / "tools" / "browser_runtime"
SHIPPED = "npm as shipped"

COLD = Row("cold", "seconds", "lower", (Target(2.5, None), Target(0.6, SHIPPED)))
WARM = Row("warm", "seconds", "lower")
SLOW_COLD = Row("cold, 10 Mbps", "seconds", "lower")
SLOW_WARM = Row("warm, 10 Mbps", "seconds", "lower")
LOADS = Row("loads", "megabytes on the wire", "lower")

ABOUT = """
The page of `sockstore demo --browser`: seconds from the beginning of the navigation until its
connection is open and the page can be used. Cold is the first visit with a new profile of Chromium;
warm is a later visit with the same profile, when only the page itself comes over the network. 10
Mbps has 40 ms of latency. `make browser-runtime` compiles Python's standard library and this
package once; npm's package has sources, which Python compiles at every visit. Both are served
compressed (brotli).
"""


def start_suite() -> Suite:
    """Return the suite; building it runs nothing."""
    return Suite(
        name="start",
        title="Start in a browser",
        about=ABOUT,
        rows=(COLD, WARM, SLOW_COLD, SLOW_WARM, LOADS),
        contenders=(
            Contender(OURS, partial(_measure, staged_runtime), "`make browser-runtime`"),
            Contender(SHIPPED, partial(_measure, _as_shipped), "Pyodide's own files"),
        ),
        rounds=5,
    )


def _measure(runtime: Callable[[], Path]) -> Figures:
    if shutil.which("chromium") is None:
        raise Absent("there is no Chromium")
    command = python("benchmarks.browser.client", str(runtime()), needs=("playwright",))
    # Not pinned: a browser uses all cores.
    return run(command, core=None)


def staged_runtime() -> Path:
    """Return the runtime of pages.

    Raises:
        Absent: If none is staged, or one of another version.
    """
    try:
        folder = find_runtime(None).folder
    except RuntimeUnusable as error:
        raise Absent(str(error)) from None
    if folder is None:
        raise Absent("there is no runtime; `make browser-runtime` stages it")
    return folder


@functools.cache
def _as_shipped() -> Path:
    """Return npm's files, compressed; made once per machine."""
    tool = b"".join(path.read_bytes() for path in sorted(TOOL.iterdir()) if path.is_file())
    name = f"sockstore-bench-shipped-{hashlib.sha256(tool).hexdigest()[:16]}"
    place = Path(tempfile.gettempdir()) / name

    def make(folder: Path) -> None:
        stage = [sys.executable, str(TOOL / "stage.py"), "--as-shipped", str(folder)]
        staging = subprocess.run(stage, check=False, capture_output=True, text=True)
        if staging.returncode != 0:
            raise Absent(staging.stderr.strip())

    return made_once(place, make)
