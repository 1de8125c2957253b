"""The wheel of this package for a browser, made from the sources that run."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sockstore
from sockstore.base.version import __version__

__all__ = ["Wheel", "make_wheel"]

PACKAGE = Path(sockstore.__file__).parent

LEFT_OUT = (
    "__main__.py",
    "blocking/",
    "cli/",
    "demo/app.py",
    "demo/browser/",
    "demo/pages.py",
    "server/",
    "testing/plugin.py",
    "transports/native/",
    "ui/nicegui/",
    "ui/textual/",
)
"""What no page can use: it needs sockets, threads, or the kit of another interface."""

METADATA = f"""\
Metadata-Version: 2.1
Name: sockstore
Version: {__version__}
Summary: sockstore for Python in a page (Pyodide): it connects by the browser's WebSocket only.
License: MIT
Requires-Python: >=3.11
"""
TAG = "py3-none-any"
WHEEL = f"Wheel-Version: 1.0\nGenerator: sockstore\nRoot-Is-Purelib: true\nTag: {TAG}\n"

WHEN = (1980, 1, 1, 0, 0, 0)
"""The same sources make the same wheel, byte for byte."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that is served as it is.

    Args:
        name: The name of its file, which says what it is for.
        data: The file.
        digest: What tells its contents from others, however they are packed.
    """

    name: str
    data: bytes
    digest: str


def make_wheel() -> Wheel:
    """Return the wheel of what runs now.

    Example:
        >>> make_wheel().name.endswith("-py3-none-any.whl")
        True
        >>> make_wheel() == make_wheel()
        True
    """
    about = f"sockstore-{__version__}.dist-info"
    files = {
        **dict(_sources(PACKAGE)),
        f"{about}/METADATA": METADATA.encode(),
        f"{about}/WHEEL": WHEEL.encode(),
    }
    record = _record(files, f"{about}/RECORD").encode()
    files[f"{about}/RECORD"] = record
    digest = hashlib.sha256(record).hexdigest()
    return Wheel(f"sockstore-{__version__}-{TAG}.whl", _zipped(files), digest)


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_file() and "__pycache__" not in name and not name.startswith(LEFT_OUT):
            yield f"{package.name}/{name}", path.read_bytes()


def _record(files: Mapping[str, bytes], record: str) -> str:
    lines = [f"{name},sha256={_hash(data)},{len(data)}" for name, data in files.items()]
    return "\n".join([*lines, f"{record},,", ""])


def _hash(data: bytes) -> str:
    """Return a hash as a wheel's RECORD writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name, WHEN)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return packed.getvalue()
