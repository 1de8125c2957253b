"""The documentation is a site that builds without a warning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_site_builds_without_a_warning(tmp_path):
    command = ["-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-E"]
    folders = ["-d", tmp_path / "doctrees", ROOT / "docs", tmp_path / "site"]
    done = subprocess.run(
        [sys.executable, *command, *folders],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").exists()
