"""The wheel as users install it: alone in an empty environment, seen by their type checker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SECONDS = 250

COMPLETENESS = 0.9
"""The part of the public symbols whose type pyright knows; it may rise, and never fall."""


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=SECONDS, **options
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """An environment that has the wheel and nothing else."""
    wheels = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT)
    (wheel,) = wheels.glob("sockstore-*.whl")
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    run(*pip, "--python", environment, "install", "--no-deps", "--no-index", wheel)
    return environment


def test_the_wheel_can_be_imported_and_says_its_version(environment, tmp_path):
    code = "import sockstore; print(sockstore.__version__, sockstore.__file__)"
    version, file = run(environment / "bin" / "python", "-c", code, cwd=tmp_path).stdout.split()
    assert version == "0.1.0"
    assert Path(file).is_relative_to(environment)


def test_a_type_checker_finds_the_types_of_the_installed_package(environment, tmp_path):
    """pyright looks for the package with the `python` of PATH: it ignores ``--pythonpath`` here.

    Where that Python has no such package it says "No py.typed file found", of any package.
    """
    pyright = Path(sys.executable).parent / "pyright"
    done = subprocess.run(
        [pyright, "--verifytypes", "sockstore", "--ignoreexternal", "--outputjson"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    report = json.loads(done.stdout)["typeCompleteness"]
    assert Path(report["pyTypedPath"]).is_relative_to(environment)
    unknown = [each["name"] for each in report["symbols"] if not each["isTypeKnown"]]
    assert report["completenessScore"] >= COMPLETENESS, unknown
