"""Files for a browser that keeps them: precompressed where it can read that, and never asked twice.

The address of a file changes with its contents, so a copy never has to be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Served", "encoding_for", "file_route"]

KEEP_FOR_EVER = "public, max-age=31536000, immutable"

SUFFIXES = MappingProxyType({"br": ".br", "gzip": ".gz"})
"""The encodings, the best one first, and how their files are called beside the plain one."""

TYPES = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".mjs": "text/javascript; charset=utf-8",
        # Without this type a browser does not compile while it loads.
        ".wasm": "application/wasm",
        ".whl": "application/zip",
        ".zip": "application/zip",
    }
)


@dataclass(frozen=True, slots=True)
class Served:
    """What is served under one name.

    Args:
        source: A file, which may have compressed ones beside it, or the bytes themselves.
    """

    source: Path | bytes

    def encodings(self) -> dict[str, Path]:
        """Return the compressed files that there are, the best one first."""
        if isinstance(self.source, bytes):
            return {}
        path = self.source
        twins = {name: path.with_name(path.name + end) for name, end in SUFFIXES.items()}
        return {name: twin for name, twin in twins.items() if twin.is_file()}

    def read(self, encoding: str | None) -> bytes:
        """Return the bytes to send.

        Args:
            encoding: One of `encodings`; None for the plain ones.
        """
        if isinstance(self.source, bytes):
            return self.source
        return (self.encodings()[encoding] if encoding else self.source).read_bytes()


def file_route(folder: str, version: str, files: Mapping[str, Served]) -> Route:
    """Return a route that serves files by name; every other name is not found.

    Args:
        folder: The path that they are under, such as ``/runtime``.
        version: A part of their addresses that changes whenever a file does.
        files: The files by name.
    """

    # Not async: files are read, so Starlette runs it in a thread.
    def serve(request: Request) -> Response:
        name = request.path_params["name"]
        served = files.get(name)
        if served is None:
            return PlainTextResponse(f"there is no file {folder}/{version}/{name}", 404)
        encoding = encoding_for(request.headers.get("accept-encoding", ""), served.encodings())
        return _response(request, served, name, encoding, f'"{version}-{encoding or "plain"}"')

    return Route(f"{folder}/{version}/{{name}}", serve)


def encoding_for(accepted: str, available: Mapping[str, object]) -> str | None:
    """Return the encoding to send, or None for the plain bytes.

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
    key, _, weight = parameter.strip().partition("=")
    try:
        return name.strip(), float(weight) if key.strip() == "q" else 1.0
    except ValueError:
        return name.strip(), 0.0


def _response(
    request: Request, served: Served, name: str, encoding: str | None, tag: str
) -> Response:
    headers = {"cache-control": KEEP_FOR_EVER, "etag": tag, "vary": "Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if encoding is not None:
        headers["content-encoding"] = encoding
    headers["content-type"] = TYPES.get(Path(name).suffix, "application/octet-stream")
    return Response(served.read(encoding), headers=headers)
