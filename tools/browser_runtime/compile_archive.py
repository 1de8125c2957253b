"""Compile the modules of an archive, inside Pyodide and for its own Python."""

from __future__ import annotations

import io
import zipfile
from importlib._bootstrap_external import _code_to_hash_pyc
from importlib.util import cache_from_source, source_hash
from typing import Any

WHEN = (1980, 1, 1, 0, 0, 0)


def compile_archive(archive: Any, *, place: str, keep_sources: bool) -> memoryview:
    """Return the archive with bytecode, uncompressed, because the whole file compresses better.

    Args:
        archive: A zip file, as an array of JavaScript.
        place: The folder of the archive's modules in Pyodide; tracebacks show it.
        keep_sources: Whether the sources stay, and the bytecode goes to ``__pycache__``. Without
            them the bytecode takes their places.
    """
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive.to_bytes())) as old,
        zipfile.ZipFile(packed, "w") as new,
    ):
        for name in sorted(old.namelist()):
            for path, data in _members(name, old.read(name), place, keep_sources):
                new.writestr(zipfile.ZipInfo(path, WHEN), data)
    return packed.getbuffer()


def _members(name: str, data: bytes, place: str, keep_sources: bool) -> list[tuple[str, bytes]]:  # noqa: FBT001 - private
    if name.endswith("/"):
        return []
    if not name.endswith(".py"):
        return [(name, data)]
    compiled = _compiled(data, f"{place}/{name}")
    if keep_sources:
        return [(name, data), (cache_from_source(name), compiled)]
    return [(f"{name}c", compiled)]


def _compiled(source: bytes, path: str) -> bytes:
    # By hash and unchecked: it is not compared with the source, which may be missing.
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    return _code_to_hash_pyc(code, source_hash(source), checked=False)
