"""Cases of ConnectionStatus: what it says, and which button it offers, in each phase."""

from __future__ import annotations

from homes.layouts import chat
from homes.script import Calls, Case, Clicks, Goes, Holds, Waits, does, sees
from sockstore import Reconnect, WebSocketStore
from sockstore.testing import FakeServer, accept, hang, refuse, slow

CONNECTED = sees(
    status="Connected to chat server", color="connected", detail="", button=None, enabled=True
)
CLOSED = sees(
    status="Disconnected from chat server",
    color="disconnected",
    detail="",
    button="Connect",
    enabled=False,
)
LOST = "Connection error: the connection was lost (code 1006): no closing handshake"


def server(*script):
    return lambda: FakeServer(*script)


CASES = (
    Case(
        "an idle connection is disconnected, and the program may connect it",
        ("UI1", "UI2"),
        chat(auto_connect=False),
        (
            sees(status="Disconnected from chat server", color="disconnected", detail="",
                 button=None, enabled=False, lines=(), note="No messages yet", members=""),
            Holds(0),
            Calls(WebSocketStore.connect),
            CONNECTED,
        ),
    ),
    Case(
        "connecting says so, and gives up on a server that never answers",
        ("UI2",),
        chat(),
        (
            sees(status="Disconnected from chat server", color="disconnected",
                 detail="Connecting …", button=None, enabled=False),
            Waits(10),
            sees(color="error", detail="Retry 1 in 3 s", button=None),
            Waits(3),
            sees(color="error", detail="Retry 1 …", button=None),
        ),
        server(hang(), hang()),
    ),
    Case(
        "an open connection is green and can be written to",
        ("UI1", "UI2", "UI4"),
        chat(),
        (CONNECTED, Holds(1)),
    ),
)  # fmt: skip
