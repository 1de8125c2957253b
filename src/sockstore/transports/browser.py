"""The browser, for Python that runs in a page: no other module imports `js`."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeAlias

import js as window
from pyodide.ffi import create_proxy, to_js

__all__ = ["Listening", "window"]

JsObject: TypeAlias = Any
"""An object of the browser's: its types are not known to Python."""


class Listening:
    """A listener of the browser's events, and the proxy that its calls come through.

    The browser calls from nowhere: what it calls runs in the context of who listened.

    Args:
        target: A window, an element, a socket.
        event: The name of the event.
        handle: Called with the event.
        options: As for ``addEventListener``.
    """

    def __init__(
        self, target: JsObject, event: str, handle: Callable[[Any], object], **options: bool
    ) -> None:
        context = copy_context()
        self._target = target
        self._event = event
        self._options = to_js(options, dict_converter=window.Object.fromEntries)
        # A copy: while one event waits, another one may come.
        self._proxy = create_proxy(lambda happened: context.copy().run(handle, happened))
        self.again()

    def again(self) -> None:
        """Listen again, after an event that was to be heard once."""
        self._target.addEventListener(self._event, self._proxy, self._options)

    def stop(self) -> None:
        """Listen no more; a second call does nothing."""
        if self._proxy is not None:
            self._target.removeEventListener(self._event, self._proxy, self._options)
            self._proxy.destroy()
            self._proxy = None
