"""The demo's pages as Python that runs in the browser itself, on Pyodide."""

from __future__ import annotations

import sockstore
from js import document

__all__ = ["start"]


def start(server: str | None) -> None:
    """Show the page.

    Args:
        server: Another server to talk to; None for the one that the page is from.
    """
    del server
    one = document.createElement("p")
    one.id = "ready"
    one.textContent = f"sockstore {sockstore.__version__}"
    document.body.append(one)
