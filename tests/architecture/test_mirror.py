"""The folders of tests/unit are those of the package, so that a module's tests are where it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tools import house

from public_modules import PUBLIC, imported_modules

UNIT = house.ROOT / "tests" / "unit"
SOURCE = house.SOURCE / "sockstore"
FACES = {module.__name__ for module in PUBLIC}
FILES = sorted(UNIT.rglob("test_*.py"))

ELSEWHERE = {"test_options.py", "test_shown.py"}
"""Options are tested together, the connection's own ones too; every store is asked for its repr,
those of a lease too."""


def folders(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_dir() and path.name != "__pycache__"
    }


def rooms_inside(path: Path) -> set[str]:
    """The rooms from whose inside a file imports; what is public says nothing about the place."""
    modules = set(imported_modules(ast.parse(path.read_text())))
    return {name.split(".")[1] for name in modules - FACES}


def test_each_folder_of_unit_tests_is_a_folder_of_the_package():
    others = folders(UNIT) - folders(SOURCE)
    assert others == {"tools"}
    assert (house.ROOT / "tools").is_dir()


def test_each_unit_test_stands_in_a_folder():
    assert FILES
    assert [path.name for path in FILES if path.parent == UNIT] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_unit_test_that_looks_inside_looks_into_its_own_room(path):
    rooms = set() if path.name in ELSEWHERE else rooms_inside(path)
    assert not rooms or path.relative_to(UNIT).parts[0] in rooms, rooms
