"""A chat server in this process, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sockstore.cli.serving import address_of, listening_socket, served
from sockstore.server import ChatServer, create_app


@dataclass(frozen=True)
class House:
    """A server in this process."""

    address: str
    server: ChatServer


@contextmanager
def house() -> Iterator[House]:
    listening, app = listening_socket("127.0.0.1", 0), create_app()
    with served(app, listening):
        yield House(f"ws://{address_of(listening)}", app.state.chat_server)
