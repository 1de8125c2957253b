"""Cases of ChatInput: what is sent, when, and what stays in the field."""

from __future__ import annotations

from integration.rooms_server import RoomsServer
from kits.cases_of_status import CONNECTED
from kits.layouts import chat, room
from kits.script import (
    Calls,
    Case,
    Clicks,
    Presses,
    Types,
    Waits,
    does,
    heard,
    own,
    sees,
)
from sockstore import Outbox, WebSocketStore

NOTHING = heard()
ALL_SCRIPTS = "日本語 👩‍👩‍👧 e\u0301 \u200bz שלום"


def slow() -> RoomsServer:
    """Make a server that takes one message at a time, and at first none."""
    server = RoomsServer(burst=2)
    server.is_waiting = True
    return server


CASES = (
    Case(
        "Enter sends the guide's message and empties the field",
        ("UI4",),
        chat(),
        (CONNECTED, Types("hello"), sees(draft="hello"), Presses(), heard({"content": "hello"}),
         sees(draft="", enabled=True)),
    ),
    Case(
        "the button sends too",
        ("UI4",),
        chat(),
        (CONNECTED, Types("hello"), Clicks("send"), heard({"content": "hello"}), sees(draft="")),
    ),
    Case(
        "Shift+Enter is a new line, and the lines are one message",
        ("UI4",),
        chat(),
        (CONNECTED, Types("one"), Presses("shift+enter"), Types("two"), sees(draft="one\ntwo"),
         NOTHING, Presses(), heard({"content": "one\ntwo"}), sees(draft="")),
    ),
    Case(
        "nothing and blank text are not sent",
        ("UI4",),
        chat(),
        (CONNECTED, Presses(), Clicks("send"), Types("  "), Presses("shift+enter"), Presses(),
         Clicks("send"), Waits(1), NOTHING, sees(lines=(), enabled=True)),
    ),
    Case(
        "white space around a text is the user's",
        ("UI4",),
        chat(),
        (CONNECTED, Types("  indented "), Presses(), heard({"content": "  indented "})),
    ),
    Case(
        "two messages in a hurry are two, and none is sent twice",
        ("UI4",),
        chat(),
        (CONNECTED, Types("one"), Presses(), Types("two"), Presses(), Presses(), Clicks("send"),
         heard({"content": "one"}, {"content": "two"}), sees(draft="")),
    ),
    Case(
        "a field that is disabled takes nothing and sends nothing",
        ("UI4",),
        chat(auto_connect=False),
        (sees(enabled=False, draft=""), Types("hello"), Presses(), Clicks("send"), sees(draft=""),
         Calls(WebSocketStore.connect), CONNECTED, NOTHING, sees(draft="")),
    ),
    Case(
        "what was being written outlives a loss, and can be sent after it",
        ("UI4",),
        chat(),
        (CONNECTED, Types("a draft"), does("drop"), sees(enabled=False, draft="a draft"), Presses(),
         Clicks("send"), Waits(3), sees(enabled=True, draft="a draft"), NOTHING, Presses(),
         heard({"content": "a draft"}), sees(draft="")),
    ),
    Case(
        "what was being written outlives the end of a connection",
        ("UI4",),
        chat(reconnect=False),
        (CONNECTED, Types("a draft"), does("close", 1000), sees(enabled=False, draft="a draft"),
         Clicks(), sees(enabled=True, draft="a draft")),
    ),
    Case(
        "a text that was not accepted is in the field again",
        ("UI4",),
        room(outbox=Outbox(limit=1)),
        (CONNECTED, Types("one"), Presses(), Types("two"), Presses(), Types("three"), Presses(),
         sees(draft="three", lines=(own("one", "sent", "You"), own("two", "queued", "You"))),
         does("take_all"), Waits(20), sees(lines=(own("one"), own("two"))), Presses(),
         sees(draft="", lines=(own("one"), own("two"), own("three")))),
        slow,
    ),
    Case(
        "wide, joined and right-to-left characters are sent as they are",
        ("UI4",),
        chat(),
        (CONNECTED, Types(ALL_SCRIPTS), Presses(), heard({"content": ALL_SCRIPTS})),
    ),
    Case(
        "a long text is sent whole",
        ("UI4",),
        chat(),
        (CONNECTED, Types("x" * 3000), Presses(), heard({"content": "x" * 3000}),
         sees(lines=(own("x" * 3000, "sent", "You"),), draft="")),
    ),
)  # fmt: skip
