"""Compile the modules of an archive; runs inside Pyodide, whose own Python the bytecode is for."""

import io
import zipfile
from importlib._bootstrap_external import _code_to_hash_pyc
from importlib.util import cache_from_source, source_hash

WHEN = (1980, 1, 1, 0, 0, 0)


def compile_archive(archive, *, place, skip=(), keep_sources):
    """Return the archive with bytecode, stored: it is compressed as a whole, which packs better.

    Args:
        archive: The bytes of a zip file.
        place: Where the archive's modules will be in Pyodide; tracebacks show it.
        skip: Names of files, and of folders with a slash at the end, to leave out.
        keep_sources: Whether the sources stay, and the bytecode goes to ``__pycache__``. Without
            them the bytecode takes their places.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in sorted(old.namelist()):
            if name.endswith("/") or name.startswith(tuple(skip)):
                continue
            for path, data in _members(name, old.read(name), place, keep_sources=keep_sources):
                new.writestr(zipfile.ZipInfo(path, WHEN), data)
    return packed.getvalue()


def _members(name, data, place, *, keep_sources):
    if not name.endswith(".py"):
        return [(name, data)]
    compiled = _compiled(data, f"{place}/{name}")
    if keep_sources:
        return [(name, data), (cache_from_source(name), compiled)]
    return [(f"{name}c", compiled)]


def _compiled(source, path):
    # By hash and unchecked: nothing compares it with a source, which may be absent or dated.
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    return _code_to_hash_pyc(code, source_hash(source), checked=False)
