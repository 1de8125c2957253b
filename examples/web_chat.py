"""A chat page and its server in one program: run it, open http://localhost:8000/?name=Ann."""

import sys
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from sockstore.server import ChatServer
from sockstore.ui.nicegui import ChatInput, ChatMessages, ConnectionStatus, WebSocketProvider

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8000

app = FastAPI()
app.router.routes.extend(ChatServer().routes)  # history="sqlite:///chat.db" keeps messages


@ui.page("/")
def chat(name: str = "") -> None:
    with WebSocketProvider(f"ws://localhost:{PORT}/chat/lobby?name={quote(name)}"):
        ConnectionStatus()
        ChatMessages()
        ChatInput()


ui.run_with(app, title="Chat")

if __name__ == "__main__":
    uvicorn.run(app, port=PORT, ws="sockstore.server.uvicorn_protocol:BoundedWebSocketProtocol")
