"""The tool that finds the other Pythons."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tools.pythons import find, supported

HERE = "python{}.{}".format(*sys.version_info)

pytestmark = [
    pytest.mark.contract("CN21"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs programs that are scripts of sh"),
]


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch) -> Path:
    """A machine without any Python but those that a test puts there."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def put(place: Path, says: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{says}\n")
    place.chmod(0o755)
    return place


def test_one_on_the_path_is_found(machine):
    there = put(machine / "bin" / HERE, f'exec "{sys.executable}" "$@"')
    assert find(HERE) == str(there)


def test_a_shim_that_does_not_answer_is_passed_over_for_pyenvs_own(machine):
    put(machine / "bin" / HERE, "echo 'pyenv: command not found' >&2; exit 127")
    there = put(machine / f"pyenv/versions/3.99/bin/{HERE}", f'exec "{sys.executable}" "$@"')
    assert find(HERE) == str(there)


def test_one_that_is_another_version_than_its_name_says_is_not_found(machine):
    put(machine / "bin" / "python3.1", f'exec "{sys.executable}" "$@"')
    assert find("python3.1") is None


def test_one_that_is_not_there_is_not_found():
    assert find(HERE) is None


def test_a_path_is_taken_as_it_is():
    assert find(sys.executable) == sys.executable


def test_this_python_is_supported():
    assert HERE.removeprefix("python") in supported()
