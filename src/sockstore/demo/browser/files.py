"""Serve files that a browser may keep without asking again, compressed if it accepts that.

The address of a file changes with the contents of its folder, so a copy never has to be checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Folder", "encoding_for"]

KEEP = "public, max-age=31536000, immutable"

TWINS = MappingProxyType({"br": ".br", "gzip": ".gz"})
"""The encodings, the best one first, and how the name of a file in it ends."""

TYPES = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".mjs": "text/javascript; charset=utf-8",
        # A browser compiles a program during its download only with this type.
        ".wasm": "application/wasm",
    }
)


class Folder:
    """Files that are served below one path.

    Args:
        path: Where they are, for example ``/runtime``.
        files: The files by name: bytes, or a path, which may have compressed twins beside it.
    """

    def __init__(self, path: str, files: Mapping[str, Path | bytes]) -> None:
        self.files = files
        self._version = _fingerprint(files)
        self.url: str = f"{path}/{self._version}/"

    def route(self) -> Route:
        """Return the route that serves them; any other name below it is not found."""
        # Not async, because files are read: Starlette runs it in a thread.
        return Route(f"{self.url}{{name:path}}", self._serve)

    def size(self, name: str) -> dict[str, int]:
        """Return how many bytes a file has, and how many of them most browsers load."""
        source = self.files[name]
        size = len(_read(source))
        smallest = next(iter(_twins(source).values()), None)
        return {"bytes": size, "wire": smallest.stat().st_size if smallest else size}

    def _serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            return self._response(request, name, self.files[name])
        except (KeyError, FileNotFoundError):
            # It is not one of these files, or it has been removed.
            return PlainTextResponse(f"there is no {self.url}{name}", 404)

    def _response(self, request: Request, name: str, source: Path | bytes) -> Response:
        twins = _twins(source)
        encoding = encoding_for(request.headers.get("accept-encoding", ""), twins)
        headers = self._headers(name, encoding)
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(_read(twins.get(encoding or "", source)), headers=headers)

    def _headers(self, name: str, encoding: str | None) -> dict[str, str]:
        kind = TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
        return {
            "content-type": kind,
            "cache-control": KEEP,
            "etag": f'"{self._version}-{encoding or "plain"}"',
            "vary": "Accept-Encoding",
            "x-content-type-options": "nosniff",
            **({} if encoding is None else {"content-encoding": encoding}),
        }


def encoding_for(accepted: str, available: Mapping[str, object]) -> str | None:
    """Return the encoding to send, or None for none.

    Args:
        accepted: The header ``Accept-Encoding``.
        available: The encodings that there are, the best one first.

    Example:
        >>> encoding_for("gzip, deflate, br", {"br": ..., "gzip": ...})
        'br'
        >>> encoding_for("br;q=0, gzip;q=0.5", {"br": ..., "gzip": ...})
        'gzip'
    """
    weights = dict(map(_weighted, accepted.lower().split(",")))
    return next((name for name in available if weights.get(name, weights.get("*", 0.0))), None)


def _weighted(element: str) -> tuple[str, float]:
    name, _, parameter = element.partition(";")
    _, _, weight = parameter.partition("q=")
    try:
        return name.strip(), float(weight or 1)
    except ValueError:
        return name.strip(), 0.0


def _twins(source: Path | bytes) -> dict[str, Path]:
    if isinstance(source, bytes):
        return {}
    twins = {encoding: source.with_name(source.name + end) for encoding, end in TWINS.items()}
    return {encoding: path for encoding, path in twins.items() if path.is_file()}


def _read(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _fingerprint(files: Mapping[str, Path | bytes]) -> str:
    """Return a digest that identifies these files."""
    digest = hashlib.sha256()
    for name, source in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(_read(source)).hexdigest()}\0".encode())
    return digest.hexdigest()[:16]
