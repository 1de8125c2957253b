"""The wheel that the demo serves to pages."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile

import pytest

import sockstore
from sockstore.demo.browser import wheel as making
from sockstore.demo.browser.wheel import make_wheel


@pytest.fixture(scope="module")
def wheel():
    return make_wheel()


@pytest.fixture(scope="module")
def archive(wheel):
    return zipfile.ZipFile(io.BytesIO(wheel.data))


def test_the_same_sources_make_the_same_wheel_byte_for_byte(wheel):
    assert make_wheel() == wheel


def test_other_sources_have_another_digest(wheel, tmp_path, monkeypatch):
    package = tmp_path / "sockstore"
    package.mkdir()
    (package / "__init__.py").write_text("1\n")
    monkeypatch.setattr(making, "PACKAGE", package)
    one = make_wheel()
    (package / "__init__.py").write_text("2\n")
    assert len({wheel.digest, one.digest, make_wheel().digest}) == 3


def test_its_record_is_right(archive):
    about = f"sockstore-{sockstore.__version__}.dist-info"
    rows = list(csv.reader(io.StringIO(archive.read(f"{about}/RECORD").decode())))
    assert sorted(name for name, _, _ in rows) == sorted(archive.namelist())
    for name, written, size in rows:
        if name != f"{about}/RECORD":
            data = archive.read(name)
            found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (written, size) == (f"sha256={found}", str(len(data)))


def test_pip_installs_it_and_what_it_installs_can_be_imported(wheel, tmp_path):
    path = tmp_path / wheel.name
    path.write_bytes(wheel.data)
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile")
    quiet = ("--quiet", "--disable-pip-version-check", "--target", str(tmp_path / "here"))
    subprocess.run([*pip, *quiet, str(path)], check=True, timeout=100)
    code = "import sockstore, sockstore.ui.browser, sockstore.testing; print(sockstore.__file__)"
    environment = {"PYTHONPATH": str(tmp_path / "here"), "PATH": ""}
    imported = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, check=True, capture_output=True
    )
    assert imported.stdout.decode().startswith(str(tmp_path / "here"))


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
    assert [name for name in making.LEFT_OUT if not (making.PACKAGE / name).exists()] == []
