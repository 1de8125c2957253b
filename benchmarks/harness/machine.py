"""Describe the machine and the versions; a table of figures means nothing without them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe_machine", "versions_of"]


def describe_machine() -> dict[str, str]:
    """Return the processor, the number of cores, and the versions of kernel, Python and node."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "node": _said_by("node", "--version"),
    }


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those Python packages that are installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _said_by(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "absent"
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip()
