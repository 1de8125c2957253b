"""One chat, three kits: `python chat.py` in the terminal, `python chat.py nicegui` as a web page.

The same file runs in the browser itself, on Pyodide.
"""

import importlib
import sys
from collections.abc import Iterator

if sys.platform == "emscripten":
    import js

    KIT = "browser"
    URL = f"ws{js.location.origin.removeprefix('http')}/chat/lobby{js.location.search}"
else:
    KIT = sys.argv[1] if len(sys.argv) > 1 else "textual"
    URL = sys.argv[2] if len(sys.argv) > 2 else "ws://localhost:8765/chat/lobby?name=Ann"

kit = importlib.import_module(f"sockstore.ui.{KIT}")


def chat() -> Iterator[object]:
    with kit.WebSocketProvider(URL):
        yield kit.ConnectionStatus()
        yield kit.ChatMembers()
        yield kit.ChatMessages()
        yield kit.ChatInput()


if __name__ == "__main__":
    kit.run(chat)
