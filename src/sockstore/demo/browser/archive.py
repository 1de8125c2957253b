"""Pack the sources of this package that a page can use into a zip file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sockstore
from sockstore.base.version import __version__

__all__ = ["Archive", "pack_sources"]

PACKAGE = Path(sockstore.__file__).parent

LEFT_OUT = (
    "__main__.py",
    "blocking/",
    "cli/",
    "demo/browser/",
    "demo/pages.py",
    "server/",
    "testing/plugin.py",
    "transports/native/",
    "ui/nicegui/",
    "ui/textual/",
)
"""Parts that a page cannot use: they need sockets, threads or another kit."""

WHEN = (1980, 1, 1, 0, 0, 0)
"""The time of each file in the zip, so that the same sources make the same bytes."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file that is served as it is.

    Args:
        name: Its file name.
        data: Its bytes.
        digest: Identifies its contents, in any compression.
    """

    name: str
    data: bytes
    digest: str


def pack_sources() -> Archive:
    """Return the sources of the running package.

    Example:
        >>> pack_sources().name.endswith(".zip")
        True
        >>> pack_sources() == pack_sources()
        True
    """
    packed, digest = io.BytesIO(), hashlib.sha256()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in _sources(PACKAGE):
            archive.writestr(zipfile.ZipInfo(name, WHEN), data, zipfile.ZIP_DEFLATED)
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return Archive(f"sockstore-{__version__}.zip", packed.getvalue(), digest.hexdigest())


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_file() and "__pycache__" not in name and not name.startswith(LEFT_OUT):
            yield f"{package.name}/{name}", path.read_bytes()
