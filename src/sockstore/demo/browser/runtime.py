"""Find the copy of Pyodide for a page: a named folder, a staged one, or the public CDN."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sockstore.demo.browser.archive import PACKAGE, Archive

__all__ = ["CDN", "FETCHED", "PYODIDE", "Runtime", "RuntimeUnusable", "find_runtime"]

PYODIDE = "314.0.7"
"""The version that the page is written for and tested with."""

CDN = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/"

FILES = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
)
"""The files that `loadPyodide` requests."""

FETCHED = FILES[2:]
"""The files that Pyodide fetches; the page imports the others as modules."""

MANIFEST = "manifest.json"
"""The description that the staging tool writes; a copy from elsewhere has none."""


class RuntimeUnusable(Exception):
    """A folder holds no copy of Pyodide that the page can use."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A copy of Pyodide in a folder, or on the CDN.

    Args:
        folder: Where it is; None for the CDN.
        manifest: The description that the staging tool wrote.
    """

    folder: Path | None = None
    manifest: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path]:
        """The files by name; none if they come from the CDN."""
        if self.folder is None:
            return {}
        return {name: self.folder / name for name in FILES}

    def compiled(self, archive: Archive) -> Path | None:
        """Return the archive with bytecode, if it was compiled from the same sources.

        Args:
            archive: The sources of the running package.
        """
        if self.folder is None or self.manifest.get("digest") != archive.digest:
            return None
        path = self.folder / self.manifest.get("archive", "")
        return path if path.is_file() else None


def _staged() -> Path:
    """Return where `make browser-runtime` puts its result, in a checkout."""
    return PACKAGE.parent.parent / "build" / "browser-runtime"


def find_runtime(named: Path | None) -> Runtime:
    """Return the copy of Pyodide to use: the one that is named, staged, or on the CDN.

    Args:
        named: A folder with Pyodide's files, such as npm's ``node_modules/pyodide``.

    Raises:
        RuntimeUnusable: If the folder that is named, or the staged one, lacks what a page needs.

    Example:
        >>> find_runtime(Path("/nowhere"))
        Traceback (most recent call last):
        sockstore.demo.browser.runtime.RuntimeUnusable: /nowhere has no pyodide.mjs; ...
    """
    if named is not None:
        return _checked(named)
    staged = _staged()
    return _checked(staged) if staged.is_dir() else Runtime()


def _checked(folder: Path) -> Runtime:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise RuntimeUnusable(
            f"{folder} has no {missing[0]}; name a folder with npm's pyodide@{PYODIDE}, "
            "or make one with `make browser-runtime`"
        )
    version = _version(folder / FILES[0])
    if version != PYODIDE:
        raise RuntimeUnusable(f"{folder} is Pyodide {version}; the page needs {PYODIDE}")
    return Runtime(folder, _manifest(folder / MANIFEST))


def _version(module: Path) -> str:
    version = re.search(r"""["'](\d+\.\d+\.\d+[\w.]*)["']""", module.read_text(encoding="utf-8"))
    return version[1] if version else "of an unknown version"


def _manifest(path: Path) -> Mapping[str, str]:
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
