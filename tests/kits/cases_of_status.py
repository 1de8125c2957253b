"""Cases of ConnectionStatus: what it says, and which button it offers, in each phase."""

from __future__ import annotations

from functools import partial

from kits.layouts import chat
from kits.script import Calls, Case, Clicks, Holds, Waits, does, sees
from sockstore import StopReconnecting, WebSocketStore
from sockstore.testing import FakeServer, hang, refuse

IDLE = sees(
    status="Disconnected from chat server",
    color="disconnected",
    detail="",
    button=None,
    enabled=False,
)
CONNECTING = sees(
    status="Disconnected from chat server",
    color="disconnected",
    detail="Connecting …",
    button=None,
    enabled=False,
)
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
HOSTILE = "<b>no</b> [red]no[/red] [/] {{ 7 * 7 }} \\[x] [@click=app.quit]quit[/]"


def error(text, detail="", button=None):
    """The status after an error: nothing can be written."""
    shown = f"Connection error: {text}"
    return sees(status=shown, color="error", detail=detail, button=button, enabled=False)


def playing(*script):
    return partial(FakeServer, *script)


def stop(text):
    """Make a url that ends the attempts with a text."""

    def url(attempt):
        raise StopReconnecting(text)

    return url


CASES = (
    Case(
        "an idle connection is disconnected, nothing is asked of it, and the program may connect",
        ("UI1", "UI2"),
        chat(auto_connect=False),
        (IDLE, Holds(0), Waits(60), IDLE, Holds(0), Calls(WebSocketStore.connect), CONNECTED),
    ),
    Case(
        "connecting says so, and a server that never answers is an error",
        ("UI2",),
        chat(),
        (
            CONNECTING,
            Waits(9),
            CONNECTING,
            Waits(1),
            sees(color="error", detail="Retry 1 in 3 s", button=None, enabled=False),
            Waits(3),
            sees(color="error", detail="Retry 1 …", button=None, enabled=False),
        ),
        playing(hang(), hang()),
    ),
    Case(
        "an open connection is green and can be written to",
        ("UI1", "UI2", "UI4"),
        chat(),
        (CONNECTED, Holds(1), Waits(3600), CONNECTED, Holds(1)),
    ),
    Case(
        "a loss is an error, the next attempt is counted down to, and its success is green again",
        ("UI2",),
        chat(),
        (
            CONNECTED,
            does("drop"),
            sees(color="error", detail="Retry 1 in 3 s", button=None, enabled=False),
            Waits(1),
            sees(detail="Retry 1 in 2 s"),
            Waits(1),
            sees(detail="Retry 1 in 1 s"),
            Waits(1),
            CONNECTED,
        ),
    ),
    Case(
        "each attempt of a series is counted, and while it lasts its number is shown",
        ("UI2", "RC1"),
        chat(),
        (
            sees(color="error", detail="Retry 1 in 3 s"),
            Waits(3),
            sees(color="error", detail="Retry 2 in 6 s"),
            Waits(6),
            sees(color="error", detail="Retry 3 in 9 s"),
            Waits(8.5),
            sees(color="error", detail="Retry 3 …", button=None),
        ),
        playing(refuse(), refuse(503), refuse(), hang()),
    ),
    Case(
        "a server that asks for more time gets it, and the countdown says how much",
        ("UI2", "RC8"),
        chat(),
        (sees(detail="Retry 1 in 120 s"), Waits(100), sees(detail="Retry 1 in 20 s")),
        playing(refuse(503, retry_after=120)),
    ),
    Case(
        "after the last attempt there is a retry button, which begins a new series",
        ("UI2", "RC1", "RC10"),
        chat(max_reconnect_attempts=1),
        (
            Waits(3),
            error("Failed to reconnect after 1 attempts", button="Retry"),
            Waits(3600),
            error("Failed to reconnect after 1 attempts", button="Retry"),
            Clicks(),
            error("Failed to reconnect after 1 attempts", detail="Connecting …"),
            Waits(10),
            sees(color="error", detail="Retry 1 in 3 s", button=None),
            Waits(3),
            CONNECTED,
        ),
        playing(refuse(), refuse(), hang()),
    ),
    Case(
        "without reconnecting the first loss ends it, and the button brings it back",
        ("UI2", "RC1"),
        chat(reconnect=False),
        (
            CONNECTED,
            does("drop"),
            sees(color="error", detail="", button="Retry", enabled=False),
            Clicks(),
            CONNECTED,
            Holds(1),
        ),
    ),
    Case(
        "a refusal that cannot change is an error with its status and a retry button",
        ("UI2", "RC6"),
        chat(),
        (
            sees(color="error", detail="", button="Retry", enabled=False),
            Clicks(),
            CONNECTED,
        ),
        playing(refuse(404)),
    ),
    Case(
        "the server's goodbye is no error, and a button connects again",
        ("UI2", "RC5"),
        chat(),
        (CONNECTED, does("close", 1000), CLOSED, Clicks(), CONNECTED, Holds(1)),
    ),
    Case(
        "a connection that the program closed can be opened again by the user",
        ("UI2", "CN5"),
        chat(),
        (CONNECTED, Calls(WebSocketStore.close), CLOSED, Holds(0), Clicks(), CONNECTED),
    ),
    Case(
        "closing is disconnected and offers nothing until it is done",
        ("UI2", "CN5"),
        chat(ping_interval=None),
        (CONNECTED, does("freeze"), Calls(WebSocketStore.close), IDLE, Waits(5), CLOSED),
    ),
    Case(
        "markup of every kit in an error is text",
        ("UI2", "UI3"),
        chat(),
        (CONNECTED, does("close", 4400, HOSTILE), sees(color="error", button="Retry"),
         sees(status=f"Connection error: the server closed the connection with 4400: {HOSTILE}")),
    ),
    Case(
        "a long error keeps both its ends",
        ("UI2",),
        chat(headers=stop("begin " + "x" * 5000 + " end")),
        (error("begin " + "x" * 143 + " … " + "x" * 144 + " end", button="Retry"),),
    ),
    Case(
        "an error of several lines stays one sentence beside its button",
        ("UI2",),
        chat(headers=stop("one\ntwo\r\n\tthree")),
        (sees(color="error", button="Retry"),),
    ),
)  # fmt: skip
