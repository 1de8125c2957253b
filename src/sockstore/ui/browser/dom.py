"""Document access: the only functions by which the components touch the page.

The module can be imported everywhere, and be used in a browser only. It writes text and attributes
into the document, never markup.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from typing import Any, TypeAlias

from sockstore.scope.scope import Scope
from sockstore.transports import IN_BROWSER
from sockstore.ui.web import script

__all__ = [
    "Node",
    "Storage",
    "document",
    "give",
    "imported",
    "listen",
    "make",
    "put_text",
    "stand",
    "telling",
    "window",
]

Node: TypeAlias = Any
"""An element, or another object of the browser's: their types are not known to Python."""


NO_PAGE = (
    "sockstore.ui.browser draws on the document of a page, and there is none here: "
    "run it with Pyodide in a page, not in a worker or with another Python"
)


@cache
def window() -> Node:
    """Return the browser's window.

    Raises:
        RuntimeError: If this Python has no page.
    """
    if not IN_BROWSER:
        raise RuntimeError(NO_PAGE)
    from sockstore.transports.browser import window as here  # noqa: PLC0415 - see above

    if not hasattr(here, "document"):
        raise RuntimeError(NO_PAGE)
    return here


@cache
def document() -> Node:
    """Return the document."""
    return window().document


def make(tag: str, classes: str = "", text: str = "", **attributes: object) -> Node:
    """Make an element that is not in the document yet.

    Args:
        tag: The HTML tag.
        classes: CSS classes.
        text: Its text, which is never markup.
        attributes: As for `give`.
    """
    node = document().createElement(tag)
    if classes:
        node.className = classes
    if text:
        node.textContent = text
    give(node, **attributes)
    return node


def give(node: Node, **attributes: object) -> None:
    """Give an element attributes, or take them from it.

    Args:
        node: The element.
        attributes: ``aria_label`` is the attribute ``aria-label``, ``type_`` is ``type``; None and
            False take it away.
    """
    for name, value in attributes.items():
        written = name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            node.removeAttribute(written)
        else:
            node.setAttribute(written, "" if value is True else str(value))


def put_text(node: Node, text: str) -> None:
    """Set the text of an element, unless it is equal, so that a selection in it stays."""
    if node.textContent != text:
        node.textContent = text


def stand(node: Node, parent: Node, *, there: bool, first: bool = False) -> None:
    """Put a node into its parent, or remove it; nothing moves if it is there already.

    Args:
        node: The node.
        parent: Where it stands.
        there: Whether it is put there or removed.
        first: Whether it comes before all others, instead of after them.
    """
    if not there:
        node.remove()
    elif not parent.contains(node):
        (parent.prepend if first else parent.append)(node)


def listen(
    scope: Scope, target: Node, event: str, handle: Callable[[Node], object], **options: bool
) -> None:
    """Listen to an event until the scope is left; the listener goes first, then its proxy.

    Args:
        scope: For how long.
        target: An element, the document, the window.
        event: The name of the event.
        handle: Called with the event, in the caller's context.
        options: As for ``addEventListener``.
    """
    from sockstore.transports.browser import Listening  # noqa: PLC0415 - see above

    scope.on_destroy(Listening(target, event, handle, **options).stop)


def telling(scope: Scope, fn: Callable[..., object]) -> Node:
    """Return a function of ours that JavaScript may call until the scope is left.

    Args:
        scope: For how long.
        fn: The function that it calls, in the caller's context.
    """
    from pyodide.ffi import create_proxy  # noqa: PLC0415 - see above

    context = copy_context()
    # The browser calls without a context; a copy, because one call may cause another.
    proxy = create_proxy(lambda *arguments: context.copy().run(fn, *arguments))
    scope.on_destroy(proxy.destroy)
    return proxy


@cache
def imported(name: str) -> Node:
    """Return the export of a script of `sockstore.ui.web`; each script is read once.

    Args:
        name: The script's name.
    """
    from pyodide.code import run_js  # noqa: PLC0415 - see above

    return run_js(script(name))


class Storage:
    """A text that the browser keeps, unless the visitor has forbidden it.

    Args:
        kind: "sessionStorage", which lasts as long as the tab, or "localStorage".
        key: The text's name.
    """

    def __init__(self, kind: str, key: str) -> None:
        self._kind = kind
        self._key = key

    def read(self) -> str:
        """Return the text; empty if there is none."""
        from pyodide.ffi import JsException  # noqa: PLC0415 - see above

        with suppress(JsException):
            return str(getattr(window(), self._kind).getItem(self._key) or "")
        return ""

    def write(self, text: str) -> None:
        """Keep a new text; an empty one removes it."""
        from pyodide.ffi import JsException  # noqa: PLC0415 - see above

        with suppress(JsException):
            kept = getattr(window(), self._kind)
            if text:
                kept.setItem(self._key, text)
            else:
                kept.removeItem(self._key)
