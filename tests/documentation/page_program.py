"""Runs the blocks of one page, in order and in one namespace, as a process of its own.

It reads the page's blocks as JSON from standard input. A block may await at its top level; one
that does not end by itself is ended as its reader would end it, with Ctrl-C, once it has printed
what the page says. In the end every function that the page defines must have been called.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import faulthandler
import gc
import inspect
import io
import json
import logging
import signal
import sys
import threading
import types
from contextlib import nullcontext, redirect_stdout

from page_server import ADDRESS, pointed_at, serving

SECONDS_TO_SHOW_WHERE_IT_HANGS = 45


class Printed(io.TextIOBase):
    """What a block prints; presses Ctrl-C once that is enough."""

    def __init__(self, until: str | None) -> None:
        self.text = ""
        self.was_enough = False
        self._until = until

    def write(self, text: str) -> int:
        self.text += text
        is_whole_line = self.text.endswith("\n")
        if self._until is not None and is_whole_line and self._until in self.text:
            self.was_enough, self._until = True, None
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return len(text)


class Functions:
    """The functions that a page defines and that were not called yet."""

    def __init__(self, path: str) -> None:
        self.uncalled: set[tuple[str, int]] = set()
        self._path = path
        threading.setprofile(self._notice)
        sys.setprofile(self._notice)

    def expect(self, code: types.CodeType) -> None:
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.uncalled.add((constant.co_name, constant.co_firstlineno))
                self.expect(constant)

    def _notice(self, frame: types.FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename == self._path:
            self.uncalled.discard((code.co_name, code.co_firstlineno))


def main() -> str | None:
    """Run the page that standard input describes; return what is wrong with it."""
    page = json.load(sys.stdin)
    faulthandler.dump_traceback_later(SECONDS_TO_SHOW_WHERE_IT_HANGS, exit=True)
    logging.getLogger("sockstore").addHandler(logging.NullHandler())
    module = sys.modules["page"] = types.ModuleType("page")
    functions = Functions(page["path"])
    with server(page) as port, asyncio.Runner() as runner:
        for block in page["blocks"]:
            code = compiled(block, page["path"], port)
            if block["language"] == "python":
                functions.expect(code)
            if problem := run(block, code, runner, vars(module)):
                return f"{page['path']}:{block['line']}: {problem}"
    gc.collect()
    faulthandler.cancel_dump_traceback_later()
    return "\n".join(
        f"{page['path']}:{line}: {name} was never called"
        for name, line in sorted(functions.uncalled, key=lambda function: function[1])
    )


def server(page):
    """A server, if the page has addresses."""
    if any(ADDRESS.search(block["code"]) for block in page["blocks"]):
        return serving()
    return nullcontext(0)


def compiled(block, path: str, port: int) -> types.CodeType:
    """Compile a block so that tracebacks name the lines of its page."""
    code = "\n" * (block["line"] - 1) + pointed_at(block["code"], port)
    return compile(code, path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def run(block, code: types.CodeType, runner: asyncio.Runner, names) -> str | None:
    """Run one block; return what is wrong, if anything."""
    printed = Printed(block["until"])
    try:
        with redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, names))
            else:
                exec(code, names)
    except KeyboardInterrupt:
        if not printed.was_enough:
            raise
    if block["until"] is not None and not printed.was_enough:
        return f"it ended by itself, and printed:\n{printed.text}"
    prints = block["prints"]
    if prints is not None and not as_promised(prints, printed.text):
        return f"it printed:\n{printed.text}instead of:\n{prints}"
    return None


def as_promised(prints: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(prints, printed, doctest.ELLIPSIS)


if __name__ == "__main__":
    sys.exit(main() or 0)
