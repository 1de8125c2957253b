"""The modules whose names are public, which the reference shows; and the imports of any module."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import sockstore
import sockstore.blocking
import sockstore.protocols
import sockstore.server
import sockstore.stores
import sockstore.testing
import sockstore.ui.browser
import sockstore.ui.nicegui
import sockstore.ui.textual

PUBLIC = [
    sockstore,
    sockstore.blocking,
    sockstore.protocols,
    sockstore.server,
    sockstore.stores,
    sockstore.testing,
    sockstore.ui.browser,
    sockstore.ui.nicegui,
    sockstore.ui.textual,
]


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """The modules of sockstore that a file imports, public or not; each statement counts."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), level=0):
                imported = [module]
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case _:
                continue
        yield from (name for name in imported if name.split(".")[0] == "sockstore")
