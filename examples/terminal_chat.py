"""A chat in the terminal: run `sockstore serve`, then this program in two other terminals."""

import sys

from textual.app import App, ComposeResult

from sockstore.ui.textual import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionStatus,
    WebSocketProvider,
)

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/chat/lobby?name=Ann"


class Chat(App[None]):
    def compose(self) -> ComposeResult:
        with WebSocketProvider(URL):
            yield ConnectionStatus()
            yield ChatMembers()
            yield ChatMessages()
            yield ChatInput()


if __name__ == "__main__":
    Chat().run()
