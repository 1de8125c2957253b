"""The house: few rooms, no circles, files of a size that a person holds in mind."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from tools import house

from public_modules import PUBLIC, imported_modules

ROOT = house.ROOT
SOURCE = house.SOURCE / "sockstore"
TESTS = ROOT / "tests"

# Each limit is what was reached: it may fall, and never rise.
MOST_ENTRIES = 15
MOST_SHORT_FILES = 9
MOST_IMPORTS_OF_THE_INSIDE = 132
MOST_PRIVATE_NAMES = 20


def test_the_package_has_few_rooms():
    beside = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    entries = {path.name for path in SOURCE.iterdir()} - beside
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_every_room_stands_on_one_floor_and_imports_from_floors_below_only():
    order = {name: number for number, floor in enumerate(house.floors()) for name in floor}
    between = house.folders(house.imports(for_types=False))
    assert sorted(order) == sorted(between)
    for name, targets in between.items():
        assert all(order[target] > order[name] for target in targets), name


def test_files_do_not_import_each_other_in_a_circle():
    assert not house.circles(house.imports(for_types=True))


def lengths() -> dict[str, int]:
    return {name: len(path.read_text().splitlines()) for name, path in house.modules().items()}


def test_few_files_are_fragments():
    files = house.modules()
    short = {
        name: length
        for name, length in lengths().items()
        if length < 60 and files[name].name != "__init__.py"
    }
    assert len(short) <= MOST_SHORT_FILES, short


def test_no_file_is_longer_than_400_lines():
    assert not {name: length for name, length in lengths().items() if length > 400}


def test_the_drawing_in_the_design_shows_the_present_imports():
    text = house.DESIGN.read_text(encoding="utf-8")
    assert text == house.redrawn(text), "it is old: run python tools/house.py"


# Tests and the inside

PUBLIC_MODULES = {module.__name__ for module in PUBLIC} | {
    # Documented, for those who extend sockstore.
    "sockstore.cli",
    "sockstore.cli.main",
    "sockstore.server.history",
    "sockstore.server.history.base",
    "sockstore.server.uvicorn_protocol",
    "sockstore.telemetry",
    "sockstore.transports.base",
    "sockstore.transports.memory",
}


def trees() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for path in sorted(TESTS.rglob("*.py"))
    }


def inner_imports(tree: ast.Module) -> Iterator[str]:
    """The imports of modules of sockstore that are not public; each statement counts."""
    return (name for name in imported_modules(tree) if name not in PUBLIC_MODULES)


def private_names(tree: ast.Module) -> Iterator[str]:
    """The attributes with an underscore that are read of anything but self; each place counts."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                yield name


@pytest.mark.parametrize(
    ("count", "most"),
    [(inner_imports, MOST_IMPORTS_OF_THE_INSIDE), (private_names, MOST_PRIVATE_NAMES)],
)
def test_tests_know_little_of_the_inside(count, most):
    """What a test takes from a public module survives a new inside."""
    found = {name: len(list(count(tree))) for name, tree in trees().items()}
    worst = sorted(found.items(), key=lambda entry: -entry[1])[:10]
    total = sum(found.values())
    assert total <= most, worst
