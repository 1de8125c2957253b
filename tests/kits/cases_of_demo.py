"""Cases of WebSocketDemo, the guide's echo page."""

from __future__ import annotations

from functools import partial

from kits.cases_of_status import HOSTILE
from kits.layouts import echo
from kits.script import (
    Calls,
    Case,
    Clicks,
    Holds,
    Leaves,
    Presses,
    Types,
    Waits,
    does,
    heard,
    sees,
    sends,
)
from sockstore import WebSocketStore
from sockstore.testing import FakeServer, hang, refuse


def banner(color, button=None):
    is_open = color == "connected"
    shown = f"Connection Status: {color}"
    return sees(status=shown, color=color, button=button, enabled=is_open)


CASES = (
    Case(
        "the banner says the guide's status in each phase",
        ("UI5",),
        echo(),
        (banner("disconnected"), Waits(10), banner("error"), Waits(3), banner("connected"),
         Waits(6), does("drop"), banner("error"), Waits(3), banner("connected"),
         does("close", 1000),
         banner("disconnected", "Connect"), Clicks(), banner("connected"),
         Calls(WebSocketStore.close), banner("disconnected", "Connect")),
        partial(FakeServer, hang()),
    ),
    Case(
        "an echo page that failed offers to retry",
        ("UI5",),
        echo(max_reconnect_attempts=0),
        (banner("error", "Retry"), Clicks(), banner("connected")),
        partial(FakeServer, refuse()),
    ),
    Case(
        "it sends the guide's chat message, with Enter or the button",
        ("UI5",),
        echo(),
        (banner("connected"), Types("Hello world!"), Presses(), Types("again"), Clicks("send"),
         heard({"type": "chat", "content": "Hello world!"}, {"type": "chat", "content": "again"}),
         sees(draft="")),
    ),
    Case(
        "blank text is not sent",
        ("UI5",),
        echo(),
        (banner("connected"), Presses(), Types("  "), Presses(), Clicks("send"), Waits(1), heard()),
    ),
    Case(
        "JSON is indented, text is as it is, and bytes are counted",
        ("UI5",),
        echo(),
        (banner("connected"), sees(records=()),
         sends({"type": "chat", "content": "é"}, "text", b"xyz", "[]"),
         sees(records=('{\n  "type": "chat",\n  "content": "é"\n}', "text", "3 bytes", "[]"))),
    ),
    Case(
        "markup in a record is text",
        ("UI5", "UI3"),
        echo(),
        (banner("connected"), sends(HOSTILE, {"a": HOSTILE[:9]}),
         sees(records=(HOSTILE, '{\n  "a": "' + HOSTILE[:9] + '"\n}'))),
    ),
    Case(
        "every message is a record, also one that came before",
        ("UI5",),
        echo(),
        (banner("connected"), sends("a", "a"), sees(records=("a", "a")), does("drop"), Waits(3),
         banner("connected"), sends("a"), sees(records=("a", "a", "a"))),
    ),
    Case(
        "leaving the echo page disconnects",
        ("UI5", "UI6"),
        echo(),
        (banner("connected"), Leaves(), Holds(0)),
    ),
)  # fmt: skip
