"""HTML document of the demo in the browser, and its Content-Security-Policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

__all__ = ["document", "policy"]

PAGE = Path(__file__).with_name("page.html")


def document(assets: str, runtime: str, settings: Mapping[str, object]) -> str:
    """Return the document.

    Args:
        assets: Where its scripts and styles are.
        runtime: Where Pyodide is; a path here or a url elsewhere, with a slash at the end.
        settings: The settings of its script.
    """
    # A closing tag in a value must not end the element that holds it.
    text = json.dumps({**settings, "runtime": runtime}).replace("<", "\\u003c")
    template = Template(PAGE.read_text(encoding="utf-8"))
    return template.substitute(assets=assets, runtime=runtime, settings=text)


def policy(runtime: str, server: str | None) -> str:
    """Return what the document may do, as the header ``Content-Security-Policy`` says it.

    Args:
        runtime: Where Pyodide is.
        server: Another server that the page talks to; None if there is none.

    Example:
        >>> "connect-src 'self' ws://localhost:8765;" in policy("/", "ws://localhost:8765")
        True
    """
    runtimes = _origin(runtime)
    rules = {
        "default-src": ["'self'"],
        # WebAssembly needs the first; the second is for `pyodide.code.run_js`, by which the
        # components bring their scripts. Python that runs here can do all that a script can.
        "script-src": ["'self'", "'wasm-unsafe-eval'", "'unsafe-eval'", *runtimes],
        "connect-src": ["'self'", *runtimes, *_origin(server or "")],
        # Components bring their own style.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
    return "; ".join(" ".join([rule, *sources]) for rule, sources in rules.items())


def _origin(url: str) -> list[str]:
    parts = urlsplit(url)
    return [f"{parts.scheme}://{parts.netloc}"] if parts.netloc else []
