"""Where the Python of a page comes from, and what its document says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sockstore.demo.browser import app, archive, runtime

TOOL = Path(__file__).parents[4] / "tools" / "browser_runtime"


@pytest.fixture
def copy(tmp_path):
    """A folder that looks like a copy of Pyodide."""
    for name in runtime.FILES:
        (tmp_path / name).write_text("")
    (tmp_path / "pyodide.mjs").write_text(f'import ".."; var version="{runtime.PYODIDE}";')
    return tmp_path


def test_the_staging_tool_installs_the_version_that_the_page_is_for():
    package = json.loads((TOOL / "package.json").read_text())
    assert package["dependencies"] == {"pyodide": runtime.PYODIDE}


def test_a_copy_that_is_named_is_used(copy):
    assert runtime.find_runtime(copy) == runtime.Runtime(copy)


@pytest.mark.parametrize("name", runtime.FILES)
def test_a_copy_that_lacks_a_file_says_which_and_what_to_do(copy, name):
    (copy / name).unlink()
    with pytest.raises(
        runtime.RuntimeUnusable, match=rf"{re.escape(name)}; .*make browser-runtime"
    ):
        runtime.find_runtime(copy)


def test_a_copy_of_another_version_says_which_one_is_needed(copy):
    (copy / "pyodide.mjs").write_text('version="0.28.3"')
    with pytest.raises(
        runtime.RuntimeUnusable, match=rf"Pyodide 0\.28\.3; the page needs {runtime.PYODIDE}"
    ):
        runtime.find_runtime(copy)


def test_without_a_name_the_staged_copy_is_used_and_without_that_the_cdn(copy, monkeypatch):
    monkeypatch.setattr(runtime, "_staged", lambda: copy)
    assert runtime.find_runtime(None) == runtime.Runtime(copy)
    monkeypatch.setattr(runtime, "_staged", lambda: copy / "nowhere")
    assert runtime.find_runtime(None) == runtime.Runtime()
    assert runtime.PYODIDE in runtime.CDN


def test_a_compiled_archive_is_used_only_if_it_is_of_the_same_sources(copy):
    packed = archive.pack_sources()
    (copy / "ours.zip").write_bytes(b"compiled")
    for digest, expected in ((packed.digest, copy / "ours.zip"), ("another", None)):
        manifest = {"digest": digest, "archive": "ours.zip"}
        (copy / "manifest.json").write_text(json.dumps(manifest))
        assert runtime.find_runtime(copy).compiled(packed) == expected
    (copy / "manifest.json").write_text("[no manifest")
    assert runtime.find_runtime(copy).compiled(packed) is None


def test_no_value_can_end_the_element_that_holds_the_settings():
    html = app.document("/a/", "/r/", {"server": "ws://x/</script><script>alert(1)"})
    assert "</script><script>alert" not in html
    [text] = re.findall(r'id="sockstore-settings">(.*?)</script>', html)
    assert json.loads(text) == {"runtime": "/r/", "server": "ws://x/</script><script>alert(1)"}


def test_the_page_may_go_where_it_has_to_and_nowhere_else():
    rules = dict(
        rule.split(" ", 1)
        for rule in app.policy(runtime.CDN, "wss://chat.example.com:99/x").split("; ")
    )
    cdn = "https://cdn.jsdelivr.net"
    assert rules["connect-src"] == f"'self' {cdn} wss://chat.example.com:99"
    assert rules["script-src"].endswith(cdn)
    assert rules["default-src"] == "'self'"
    assert "http" not in app.policy("/runtime/1/", None)


def test_with_a_server_elsewhere_the_demo_has_none_of_its_own(copy):
    paths = [route.path for route in app.create_browser_demo(runtime.Runtime(copy)).routes]
    assert {"/", "/chat", "/echo"} <= set(paths)
    elsewhere = app.create_browser_demo(runtime.Runtime(copy), "ws://elsewhere")
    assert "/echo" not in [route.path for route in elsewhere.routes]
