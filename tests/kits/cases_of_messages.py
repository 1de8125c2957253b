"""Cases of ChatMessages and ChatMembers: whatever a server sends is shown the same way."""

from __future__ import annotations

from typing import Any

from kits.cases_of_status import CONNECTED, HOSTILE
from kits.layouts import chat
from kits.script import (
    Calls,
    Case,
    Presses,
    Returns,
    Row,
    Step,
    Types,
    Waits,
    does,
    error,
    notice,
    own,
    posted_on,
    sees,
    sends,
)
from sockstore import Outbox, WebSocketStore

ALL_SCRIPTS = "日本語 👩‍👩‍👧 e\u0301 \u200bz שלום"
HALVES = '{"content": "a\\ud83d b", "sender": "\\udc00x"}'


def message(content: Any, sender: str | None = "Ann", **fields: Any) -> dict[str, Any]:
    named = {} if sender is None else {"sender": sender}
    return {"type": "message", **named, "content": content, **fields}


def shown(name: str, sent: Any, *rows: Row, members: str = "") -> Case:
    """A case: this arrives, and these are the lines."""
    steps: tuple[Step, ...] = (CONNECTED, sends(*sent), sees(lines=rows, members=members))
    return Case(name, ("UI3",), chat(), steps)


def post(text: str) -> Calls:
    """The program posts a text, as the input does."""

    def action(connection: WebSocketStore) -> None:
        posted_on(connection).send(connection, text)

    return Calls(action)


ARRIVALS = (
    shown("without messages there is a note", ()),
    shown("a message is its text and its sender", [message("hello")], Row("hello", "Ann")),
    shown("who has no name is anonymous", [message("hello", None)], Row("hello", "Anonymous")),
    shown("a blank name is none", [message("hello", " \t")], Row("hello", "Anonymous")),
    shown("a name that is no text is none", [message("x", 7)], Row("x", "Anonymous")),
    shown("a text that is no JSON is a line without sender", ["Welcome!"], Row("Welcome!")),
    shown("JSON that is a text is its text", ['"Welcome!"'], Row("Welcome!")),
    shown("control characters are characters that nobody can show",
          [message("a\x1b[31mb\x07", "Eve\x1b[0m")], Row("a\ufffd[31mb\ufffd", "Eve\ufffd[0m")),
    shown("a number, null and a list are JSON", ["7", "null", "[1]"],
          Row("7"), Row("null"), Row("[\n  1\n]")),
    shown("an object without content is JSON", [{"a": {"b": 1}}],
          Row('{\n  "a": {\n    "b": 1\n  }\n}')),
    shown("a content that is no text is JSON", [message({"a": [1, None]})],
          Row('{\n  "a": [\n    1,\n    null\n  ]\n}', "Ann")),
    shown("bytes are counted", [b"\x00\xff\x00"], Row("3 bytes")),
    shown("an empty message is an empty line", [message("")], Row("", "Ann")),
    shown("line breaks stay, blank lines too", [message("one\n\n  two\n")],
          Row("one\n\n  two\n", "Ann")),
    shown("markup of every kit is text", [message(HOSTILE, HOSTILE[:39])],
          Row(HOSTILE, HOSTILE[:39])),
    shown("wide, combined and joined characters stay",
          [message(ALL_SCRIPTS, "李")], Row(ALL_SCRIPTS, "李")),
    shown("right to left stays right to left", [message("שלום abc", "דוד")],
          Row("שלום abc", "דוד")),
    shown("a name cannot turn the direction of what follows",
          [message("x", "\u202eevil\u2066")], Row("x", "evil")),
    shown("a name is cut at 64 characters", [message("x", "n" * 65)], Row("x", "n" * 64 + "…")),
    shown("JSON with halves of surrogate pairs is none, and shown as it came",
          [HALVES], Row(HALVES)),
    shown("of a very long message the beginning is shown", [message("x" * 10_012)],
          Row("x" * 10_000 + " … (12 more characters)", "Ann")),
    shown("a message that cannot be read is shown as it came", ['{"content": '],
          Row('{"content": ')),
    shown("joining and leaving are notices",
          [{"type": "join", "sender": "Bob"}, {"type": "leave", "sender": "[b]<i>Bob</i>"}],
          notice("Bob joined"), notice("[b]<i>Bob</i> left"),
          members="1 here: Bob"),
    shown("an error of the server is one, and hurts nothing",
          [{"type": "error", "code": "too_large", "message": HOSTILE}], error(HOSTILE)),
    shown("numbers are times too, and nonsense is none",
          [message("a", timestamp=1_767_225_600_000), message("b", timestamp=10**400),
           message("c", timestamp=True), message("d", timestamp="soon")],
          Row("a", "Ann"), Row("b", "Ann"), Row("c", "Ann"), Row("d", "Ann")),
    shown("messages with one text are two lines", [message("a"), message("a")],
          Row("a", "Ann"), Row("a", "Ann")),
    shown("a message that came with one id is one line",
          [message("a", id="1"), message("a", id="1"), message("b", id="2")],
          Row("a", "Ann"), Row("b", "Ann")),
    shown("what the history has and what came live is one line",
          [message("b", id="2", offset=2),
           {"type": "history", "messages": [message("a", id="1", offset=1),
                                            message("b", id="2", offset=2)]},
           message("c", id="3", offset=3)],
          Row("a", "Ann"), Row("b", "Ann"), Row("c", "Ann")),
    shown("a history without messages is nothing", [{"type": "history", "messages": []}]),
    shown("nonsense in a history is passed over",
          [{"type": "history", "messages": [1, None, message("a"), "x"]}], Row("a", "Ann")),
)  # fmt: skip

MEMBERS = (
    shown("presence, joins and leaves say who is here",
          [{"type": "presence", "members": ["Bob", "Ann"], "count": 2},
           {"type": "join", "sender": "Cid", "count": 3},
           {"type": "leave", "sender": "Ann", "count": 2}],
          notice("Cid joined"), notice("Ann left"), members="2 here: Bob, Cid"),
    shown("who is here in two tabs does not come twice, nor leave with one of them",
          [{"type": "presence", "members": ["Ann"], "count": 1},
           {"type": "join", "sender": "Bob", "count": 2},
           {"type": "join", "sender": "Bob", "count": 3},
           {"type": "leave", "sender": "Bob", "count": 2}],
          notice("Bob joined"), members="2 here: Ann, Bob"),
    shown("who loads the page again has not left",
          [{"type": "presence", "members": ["Ann", "Bob"], "count": 2},
           {"type": "leave", "sender": "Bob", "count": 1},
           {"type": "join", "sender": "Bob", "count": 2}],
          members="2 here: Ann, Bob"),
    shown("who is here twice is named once",
          [{"type": "presence", "members": ["Ann", "Ann", None], "count": 3}],
          members="3 here: Ann (2), Anonymous"),
    shown("of a large room the first are named",
          [{"type": "presence", "members": list("gfedcba"), "count": 1000}],
          members="1000 here: a, b, c, d, e and 995 more"),
    shown("names of members are text",
          [{"type": "presence", "members": ["[red]Ann[/]", "<b>"], "count": 2}],
          members="2 here: <b>, [red]Ann[/]"),
)  # fmt: skip

OWN = (
    Case(
        "an own message is sent, and delivered when it comes back",
        ("UI3", "UI4"),
        chat(),
        (
            CONNECTED,
            Types("hello"),
            Presses(),
            sees(lines=(own("hello", "sent", "You"),), draft=""),
            Returns(),
            sees(lines=(own("hello"),)),
            Types("again"),
            Presses(),
            sees(lines=(own("hello"), own("again", "sent"))),
        ),
    ),
    Case(
        "the same text of somebody else is not one's own",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            Types("hello"),
            Presses(),
            sends(message("hello", "Bob", timestamp="2026-03-01T12:00:00.000Z")),
            sees(lines=(own("hello", "sent", "You"), Row("hello", "Bob"))),
        ),
    ),
    Case(
        "what was on its way when the connection broke is marked, until the history has it",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            Types("hello"),
            Presses(),
            does("drop"),
            sees(lines=(own("hello", "failed", "You"),)),
            Waits(3),
            Returns(),
            sees(lines=(own("hello"),)),
        ),
    ),
    Case(
        "what waits for the connection is queued, and sent when it opens",
        ("UI3", "OB1"),
        chat(outbox=Outbox()),
        (
            CONNECTED,
            does("drop"),
            sees(enabled=False),
            post("later"),
            sees(lines=(own("later", "queued", "You"),)),
            Waits(3),
            sees(lines=(own("later", "sent", "You"),)),
            Returns(),
            sees(lines=(own("later"),)),
        ),
    ),
    Case(
        "an own message is where it was sent until it comes back",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sends(message("before", "Bob")),
            sees(lines=(Row("before", "Bob"),)),
            Types("mine"),
            Presses(),
            sends(message("after", "Bob")),
            sees(lines=(Row("before", "Bob"), own("mine", "sent", "You"), Row("after", "Bob"))),
        ),
    ),
    Case(
        "hostile own text is text",
        ("UI3", "UI4"),
        chat(),
        (CONNECTED, Types(HOSTILE), Presses(),
         sees(lines=(own(HOSTILE, "sent", "You"),), draft="")),
    ),
    Case(
        "messages stay over a loss, and what comes after it stands behind them",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sends(message("one", id="1")),
            does("drop"),
            sees(color="error", lines=(Row("one", "Ann"),)),
            Waits(3),
            CONNECTED,
            sends({"type": "history",
                   "messages": [message("one", id="1"), message("two", id="2")]}),
            sees(lines=(Row("one", "Ann"), Row("two", "Ann"))),
        ),
    ),
    Case(
        "a flood is shown to its last message",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sends(*(message(f"message {number}") for number in range(250))),
            sees(lines=tuple(Row(f"message {number}", "Ann") for number in range(250))),
        ),
    ),
)  # fmt: skip

CASES = (*ARRIVALS, *MEMBERS, *OWN)
