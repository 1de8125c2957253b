"""The shape of the package: names, layers, errors, documents."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sockstore
import sockstore.base.errors
from public_modules import PUBLIC

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "sockstore"


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_sorted_and_exist(module):
    names = module.__all__
    assert names == sorted(names, key=lambda name: (name.startswith("_"), name)) or names == sorted(
        names
    )
    assert all(hasattr(module, name) for name in names)


def test_every_public_error_is_exported():
    assert set(sockstore.base.errors.__all__) <= set(sockstore.__all__)


def test_the_tree_in_errors_is_the_tree_of_the_classes():
    tree = sockstore.base.errors.__doc__ or ""
    for name in set(sockstore.base.errors.__all__) - {"SockstoreError"}:
        kind = getattr(sockstore.base.errors, name)
        line = next(line for line in tree.splitlines() if re.search(rf"\b{name}\b", line))
        bases = {base.__name__ for base in kind.__bases__} - {"SockstoreError"}
        facts = set(inspect.signature(kind).parameters)
        for word in bases | facts:
            assert re.search(rf"\b{word}\b", line), f"{word} is missing in {line!r}"


def loaded_by(code):
    """The modules that a fresh interpreter has after this code, which must raise no warning."""
    command = [sys.executable, "-W", "error", "-c", f"{code}\nimport sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


ENGINES_AND_FRAMEWORKS = {
    "httpx", "nicegui", "picows", "python_socks", "redis", "sqlite3", "starlette", "textual",
    "uvicorn", "websockets",
}  # fmt: skip

WITH_THE_FIRST_CONNECTION = {
    "decimal",
    "msgspec",
    "sockstore.messages.stream",
    "urllib.parse",
    "uuid",
}
"""What takes about as long to import as all the rest; the first connection loads it."""

WITH_THEIR_FIRST_USE = {
    "email", "http", "secrets", "sockstore.base.json_stdlib", "sockstore.scope",
    "sockstore.testing", "sockstore.transports.memory", "sockstore.transports.native.transport",
}  # fmt: skip


@pytest.mark.contract("CN1")
def test_importing_loads_no_engine_no_framework_and_needs_no_loop():
    loaded = loaded_by(
        "import sockstore; sockstore.WebSocketStore('ws://x').status.subscribe(print)"
    )
    assert "disconnected" in loaded
    assert not loaded & ENGINES_AND_FRAMEWORKS


@pytest.mark.contract("CN1")
def test_importing_loads_only_what_every_program_needs():
    loaded = loaded_by("from sockstore import WebSocketStore")
    asyncio_alone = loaded_by("import asyncio")
    assert not loaded & (ENGINES_AND_FRAMEWORKS | WITH_THE_FIRST_CONNECTION | WITH_THEIR_FIRST_USE)
    # Each costs a fifth of a millisecond or more: who adds one knows why.
    assert len(loaded - asyncio_alone) <= 82


def test_what_is_loaded_late_is_there_for_everyone():
    code = "import sockstore; assert set(sockstore.__all__) <= set(dir(sockstore))"
    assert "sockstore.scope" not in loaded_by(code)
    loaded = loaded_by("from sockstore import *; Scope, Message, MessageView, WebSocketProvider")
    assert {
        "sockstore.scope.scope",
        "sockstore.messages.stream",
        "sockstore.scope.provider",
    } <= loaded
    with pytest.raises(AttributeError, match="module 'sockstore' has no attribute 'Nothing'"):
        sockstore.Nothing  # noqa: B018 - reading is the test


def public_objects():
    for module in PUBLIC:
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield pytest.param(thing, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("thing", list(public_objects()))
def test_public_things_say_what_they_are(thing):
    text = inspect.getdoc(thing)
    assert text, f"{thing} has no docstring"
    assert text.splitlines()[0].endswith(".")
    if inspect.isclass(thing):
        for name, member in vars(thing).items():
            if not name.startswith("_") and inspect.isfunction(member):
                assert inspect.getdoc(member), f"{thing.__name__}.{name} has no docstring"


def test_no_file_is_longer_than_a_reader_can_hold():
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")}
    too_long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > 500}
    assert not too_long


MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML|v-html|DOMParser"
)


@pytest.mark.contract("UI3")
def test_no_interface_writes_markup():
    sources = [path for path in (SOURCE / "ui").rglob("*.*") if path.suffix in {".py", ".js"}]
    assert len(sources) > 50
    assert not [path.name for path in sources if MARKUP.search(path.read_text())]


def test_no_address_of_a_registry_and_no_path_of_a_machine_is_committed():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    words = re.compile(
        "|".join(["pypi" + r"\.org", "file" + "hosted", "/work" + "/", "/root" + "/"])
    )
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".svg", ""} and path.is_file():
            assert not words.search(path.read_text()), name


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["mypy", "--strict", "typing_tests"],
        ["mypy", "benchmarks"],
        ["lint-imports"],
    ],
    ids=" ".join,
)
def test_the_tools_find_nothing(command):
    tool = Path(sys.executable).parent / command[0]
    done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_relative_link_in_the_documents_leads_somewhere():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+?)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def blocks_of_the_readme():
    text = (ROOT / "README.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("block", blocks_of_the_readme(), ids=lambda block: block.split("\n")[0])
def test_the_readmes_code_compiles_and_what_it_imports_exists(block):
    tree = ast.parse(block)
    compile(tree, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_tasks_are_made_in_one_place():
    """An eager task would run before it is where others look for it."""
    ways = re.compile(r"\b(create_task|ensure_future)\(")
    making = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        if ways.search(file.read_text()) and "testing" not in file.parts
    }
    assert making == {"base/tasks.py"}


def test_threads_may_use_the_package_first_at_the_same_time():
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
import sockstore
failures = []
def use(name):
    try:
        getattr(sockstore, name)
    except BaseException as error:
        failures.append((name, error))
threads = [threading.Thread(target=use, args=(name,)) for name in sockstore.__all__]
for each in threads:
    each.start()
for each in threads:
    each.join()
assert not failures, failures
sockstore.transports.base.Transport, sockstore.base.errors.Lagged
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
