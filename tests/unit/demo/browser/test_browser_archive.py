"""The sources that the demo serves to pages."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sockstore
from sockstore.demo.browser import archive as packing


@pytest.fixture(scope="module")
def packed():
    return packing.pack_sources()


@pytest.fixture(scope="module")
def archive(packed):
    return zipfile.ZipFile(io.BytesIO(packed.data))


def test_the_same_sources_make_the_same_archive_byte_for_byte(packed):
    assert packing.pack_sources() == packed


def test_other_sources_have_another_digest(packed, tmp_path, monkeypatch):
    package = tmp_path / "sockstore"
    package.mkdir()
    (package / "__init__.py").write_text("1\n")
    monkeypatch.setattr(packing, "PACKAGE", package)
    digests = {packed.digest, packing.pack_sources().digest}
    (package / "__init__.py").write_text("2\n")
    digests.add(packing.pack_sources().digest)
    (package / "__init__.py").rename(package / "other.py")
    digests.add(packing.pack_sources().digest)
    assert len(digests) == 4


def test_what_it_unpacks_can_be_imported_and_knows_its_version(archive, tmp_path):
    archive.extractall(tmp_path)
    code = (
        "import sockstore, sockstore.ui.browser, sockstore.testing;"
        "print(sockstore.__version__, sockstore.__file__)"
    )
    imported = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        check=True,
        capture_output=True,
        text=True,
    )
    version, _, place = imported.stdout.strip().partition(" ")
    assert (version, Path(place).parent) == (sockstore.__version__, tmp_path / "sockstore")


def test_it_has_what_a_page_needs_and_nothing_that_it_cannot_use(archive):
    names = archive.namelist()
    for needed in ("demo/in_browser.py", "py.typed", "testing/__init__.py", "ui/web/style.css"):
        assert f"sockstore/{needed}" in names
    useless = ("server/", "cli/", "blocking/", "ui/nicegui/", "ui/textual/", "demo/browser/")
    assert not [
        name for name in names if name.startswith(tuple(f"sockstore/{one}" for one in useless))
    ]
    assert not [name for name in names if "__pycache__" in name]


def imported_as_it_loads(source: str) -> list[str]:
    """The modules of sockstore that a module imports outside its functions."""
    found: list[str] = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.ImportFrom(module=str() as module) if module.startswith("sockstore"):
                found.append(module)
            case ast.Import(names=names):
                found += [name.name for name in names if name.name.startswith("sockstore")]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=otherwise):
                waiting += otherwise
                continue
        waiting += ast.iter_child_nodes(node)
    return found


def test_each_module_of_it_finds_there_what_it_imports(archive):
    names = set(archive.namelist())
    missing = [
        f"{name} imports {module}"
        for name in sorted(names)
        if name.endswith(".py")
        for module in imported_as_it_loads(archive.read(name).decode())
        if not {f"{module.replace('.', '/')}{end}" for end in (".py", "/__init__.py")} & names
    ]
    assert missing == []


def test_what_is_left_out_exists():
    assert [name for name in packing.LEFT_OUT if not (packing.PACKAGE / name).exists()] == []
