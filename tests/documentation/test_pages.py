"""What the pages show is true: their code runs, their commands exist, their files are examples."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from documentation.pages import PAGES, ROOT, blocks_of, included_by
from sockstore.cli.command_line import _parser

HERE = Path(__file__).parent
LANGUAGES = {"python", "hidden", "sh", "text", "json", "nginx", "javascript", "html", ""}


def with_blocks(language):
    for page in PAGES:
        if any(block.language == language for block in blocks_of(page)):
            yield pytest.param(page, id=str(page.relative_to(ROOT)))


@pytest.mark.loopback
@pytest.mark.parametrize("page", with_blocks("python"))
def test_the_code_of_a_page_runs(page, tmp_path):
    blocks = [
        asdict(block)
        for block in blocks_of(page)
        if block.language in {"python", "hidden"}
        and block.not_run is None
        and block.in_a_page is None
    ]
    done = subprocess.run(
        [sys.executable, "-W", "error", HERE / "page_program.py"],
        input=json.dumps({"path": str(page.relative_to(ROOT)), "blocks": blocks}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is_or_why_it_is_not_run(page):
    for block in blocks_of(page):
        known = block.language in LANGUAGES or block.language.startswith("{")
        assert known, f"{page}:{block.line}: {block.language}"
        assert block.not_run is None or block.not_run.endswith("."), f"{page}:{block.line}"
    for included in included_by(page):
        is_run = any(included.is_relative_to(ROOT / folder) for folder in ("examples", "tests"))
        assert is_run, f"{included} is run by no test"
        assert included.exists()


@pytest.mark.parametrize("page", with_blocks("sh"))
def test_the_commands_of_a_page_exist(page):
    for block in blocks_of(page):
        if block.language == "sh":
            for line in block.code.replace("\\\n", "").splitlines():
                check_line(line)


@pytest.mark.parametrize("page", with_blocks("nginx"))
def test_nginx_takes_what_a_page_gives_it(page, tmp_path):
    for block in blocks_of(page):
        if block.language == "nginx":
            server = f"server {{ listen 127.0.0.1:8080; {block.code} }}"
            here = f"error_log {tmp_path}/error.log; pid {tmp_path}/nginx.pid;"
            (tmp_path / "nginx.conf").write_text(f"{here} events {{}} http {{ {server} }}")
            command = ["nginx", "-t", "-q", "-p", tmp_path, "-c", tmp_path / "nginx.conf"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def check_line(line):
    for command in commands_of(line):
        match command:
            case ["sockstore", *arguments]:
                _parser().parse_args(arguments)
            case ["make", *targets]:
                assert set(targets) <= make_targets()
            case ["pip", "install", *names]:
                assert all(is_installable(name) for name in names), line


def commands_of(line):
    """Return the commands of a line of shell, without the variables that are set for them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    command = []
    for word in lexer:
        if set(word) <= set("|&;<>"):
            yield command
            command = []
        elif command or not re.match(r"[A-Z_]+=", word):
            command.append(word)
    yield command


def make_targets():
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_installable(requirement):
    """Whether it is another package than this one, or this one with extras that it has."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    name, _, chosen = requirement.rstrip("]").partition("[")
    return name != "sockstore" or set(filter(None, chosen.split(","))) <= set(extras)


def test_every_example_is_shown():
    shown = {file for page in PAGES for file in included_by(page)}
    assert shown >= set((ROOT / "examples").rglob("*.py"))


ABOUT_FILES = [
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs" / "explanation").glob("*.md"),
    *(ROOT / "docs" / "project").glob("*.md"),
]


@pytest.mark.parametrize("page", ABOUT_FILES, ids=lambda page: page.name)
def test_every_file_that_a_page_about_the_code_names_exists(page):
    files = [
        f"/{file.relative_to(ROOT)}"
        for folder in ("src", "tests", "tools", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
    ]
    for name in re.findall(r"`([\w/]+\.py)\b", page.read_text()):
        assert any(file.endswith(f"/{name}") for file in files), name


def test_the_index_of_helpers_names_every_helper_of_the_tests():
    index = (ROOT / "docs" / "project" / "adding-a-test.md").read_text()
    helpers = {
        str(file.relative_to(ROOT / "tests"))
        for file in (ROOT / "tests").rglob("*.py")
        if not file.name.startswith(("test_", "__init__"))
    }
    named = {
        name for name in re.findall(r"`([\w/]+\.py)`", index) if (ROOT / "tests" / name).exists()
    }
    assert named >= helpers, helpers - named
