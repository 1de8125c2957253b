"""Every part of uvicorn that our subclasses touch is there, as it was when they were written.

What they touch is read from their source, so there is no list to keep. If a test here fails after
an update of uvicorn, compare the part that it names in both versions before you raise the upper
bound in pyproject.toml.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import h11
import pytest
import uvicorn
from uvicorn import server as uvicorns_server
from uvicorn.protocols.http import h11_impl, httptools_impl
from uvicorn.protocols.websockets import websockets_sansio_impl
from websockets.server import ServerProtocol

from sockstore.server import uvicorn_http, uvicorn_protocol

pytestmark = pytest.mark.contract("SV11")

WEBSOCKET = (
    uvicorn_protocol.BoundedWebSocketProtocol,
    websockets_sansio_impl.WebSocketsSansIOProtocol,
    {"conn": ServerProtocol},
)
H11 = (
    uvicorn_http.BoundedH11Protocol,
    h11_impl.H11Protocol,
    {"conn": h11.Connection, "cycle": h11_impl.RequestResponseCycle},
)
HTTPTOOLS = (
    uvicorn_http.BoundedHttpToolsProtocol,
    httptools_impl.HttpToolsProtocol,
    {"cycle": httptools_impl.RequestResponseCycle},
)

NEW = {"write"}
"""Public methods of ours that override nothing."""

PYTHON = {"builtins", "asyncio", "typing"}
CALLED_BY_THE_PARSER = {"on_message_begin", "on_headers_complete", "on_message_complete"}


def changed_parts(ours: type, theirs: type, parts: dict[str, type]) -> Iterator[str]:
    """Say in one sentence each which part of uvicorn is not what our subclass needs.

    Args:
        ours: The subclass.
        theirs: The class of uvicorn.
        parts: The classes of the objects that `ours` finds in its attributes.
    """
    sources = [tree_of(each) for each in own_classes(ours, theirs)]
    members = {name for each in own_classes(ours, theirs) for name in vars(each)}
    set_by_us = {name for tree in sources for name in assigned(tree)}
    private = {name for name in members | set_by_us if re.match("_[^_]", name)}
    touched = {name for tree in sources for name in used(tree, "self")}
    for name in touched - members - private - names_in(theirs):
        yield f"has no {name!r} any more, which {ours.__name__} uses"
    for name in private & names_in(theirs):
        yield f"has a {name!r} now, which {ours.__name__} has, too"
    for part, kind in parts.items():
        of_part = {
            name for tree in sources for of in (part, f"self.{part}") for name in used(tree, of)
        }
        for name in of_part - names_in(kind):
            yield f"has no {part}.{name} any more, which {ours.__name__} uses"
    calls = called_names(theirs)
    methods = {name for name in members if inspect.isfunction(getattr(ours, name))}
    for name in {name for name in methods if not name.startswith("_")} - NEW:
        if not hasattr(theirs, name):
            yield f"has no method {name!r} any more, which {ours.__name__} overrides"
            continue
        if name not in calls:
            yield f"does not call {name!r} any more, which {ours.__name__} overrides"
        expected, given = parameters(getattr(ours, name)), parameters(getattr(theirs, name))
        if expected not in (given, "self, *"):
            yield f"has {name}({given}) now, which {ours.__name__} overrides as {name}({expected})"


def own_classes(ours: type, theirs: type) -> list[type]:
    """The class, and those of its bases that are ours."""
    return [each for each in ours.__mro__ if each not in theirs.__mro__]


def tree_of(thing: Any) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def used(tree: ast.AST, of: str) -> set[str]:
    """Every ``name`` of an ``of.name``, where `of` is such as "self.conn"."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == of
    }


def assigned(tree: ast.AST) -> set[str]:
    """Every ``name`` of a ``self.name = ...``."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }


def names_in(kind: type) -> set[str]:
    """What instances of a class have: its members, and what its methods assign."""
    sources = [
        tree_of(each) for each in kind.__mro__ if each.__module__.split(".")[0] not in PYTHON
    ]
    return {name for tree in sources for name in assigned(tree)} | set(dir(kind))


def called_names(theirs: type) -> set[str]:
    """What uvicorn and asyncio call of a protocol, or hand over to be called."""
    trees = [tree_of(inspect.getmodule(theirs)), tree_of(uvicorns_server)]
    names = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    return names | set(dir(asyncio.Protocol)) | CALLED_BY_THE_PARSER


def parameters(method: Callable[..., Any]) -> str:
    kinds = inspect.signature(method).parameters.values()
    return ", ".join("*" if each.kind is each.VAR_POSITIONAL else each.name for each in kinds)


@pytest.mark.parametrize(("ours", "theirs", "parts"), [WEBSOCKET, H11, HTTPTOOLS])
def test_uvicorn_has_what_our_protocols_touch(ours, theirs, parts):
    problems = [
        f"uvicorn {uvicorn.__version__} has changed: {theirs.__name__} {problem}"
        for problem in changed_parts(ours, theirs, parts)
    ]
    assert not problems, "; ".join(problems)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("pending_ping_payload", "payload", "has no 'pending_ping_payload' any more"),
        ("def stop_keepalive", "def end_keepalive", "has no 'stop_keepalive' any more"),
        ("self.close_timeout =", "self._take = self.close_timeout =", "has a '_take' now"),
        ("def shutdown(", "def stop(", "has no method 'shutdown' any more"),
        ("self.handle_pong(event)", "pass", "does not call 'handle_pong' any more"),
        (
            "def handle_ping(self)",
            "def handle_ping(self, event)",
            "has handle_ping(self, event) now",
        ),
    ],
)
def test_a_part_that_changed_is_named(before, after, problem, tmp_path, monkeypatch):
    uvicorns, ours = inspect.getsource(websockets_sansio_impl), inspect.getsource(uvicorn_protocol)
    assert before in uvicorns
    (tmp_path / "changed_uvicorn.py").write_text(uvicorns.replace(before, after))
    (tmp_path / "changed_ours.py").write_text(
        ours.replace(websockets_sansio_impl.__name__, "changed_uvicorn")
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("changed_uvicorn", "changed_ours"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    theirs = importlib.import_module("changed_uvicorn").WebSocketsSansIOProtocol
    changed = importlib.import_module("changed_ours").BoundedWebSocketProtocol
    problems = list(changed_parts(changed, theirs, {"conn": ServerProtocol}))
    assert any(each.startswith(problem) for each in problems), problems
