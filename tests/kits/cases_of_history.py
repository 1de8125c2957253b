"""Cases of older pages, gaps, unread messages and links, and of the inspector."""

from __future__ import annotations

from functools import partial

from integration.history_server import HistoryServer
from kits.cases_of_messages import message
from kits.cases_of_status import CONNECTED
from kits.layouts import chat, inspected, long_chat
from kits.script import (
    Case,
    FillsGap,
    LoadsOlder,
    OpensInspector,
    Presses,
    Row,
    Scrolls,
    Types,
    Waits,
    does,
    gap,
    sees,
    sends,
)


def said(first, last):
    return tuple(Row(f"message {number}", "Ann") for number in range(first, last + 1))


PAGES = (
    Case(
        "older pages come when they are wanted, until there are none",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sees(lines=said(151, 250), has_older=True, unread=0),
            Scrolls("start"),
            LoadsOlder(),
            sees(lines=said(51, 250), has_older=True, unread=0),
            LoadsOlder(),
            sees(lines=said(1, 250), has_older=False, unread=0),
        ),
        partial(HistoryServer, said=250),
    ),
    Case(
        "a server that cannot page offers nothing older",
        ("UI3",),
        chat(),
        (CONNECTED, sends({"type": "history", "messages": [message("b", id="2", offset=2)]}),
         sees(lines=(Row("b", "Ann"),), has_older=False)),
    ),
    Case(
        "a room without messages has nothing older",
        ("UI3",),
        chat(),
        (CONNECTED, sees(lines=(), has_older=False, note="No messages yet")),
        HistoryServer,
    ),
    Case(
        "what was missed during a loss is loaded by itself, in its place",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sees(lines=said(11, 20)),
            does("go_down"),
            does("say", 25),
            does("come_up"),
            Waits(3),
            CONNECTED,
            sees(lines=said(1, 45)),
        ),
        partial(HistoryServer, said=20, shown=10),
    ),
    Case(
        "what stays missing is a line that says how much",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sends(message("a", id="1", offset=1), message("d", id="4", offset=4),
                  message("f", id="6", offset=6)),
            sees(lines=(Row("a", "Ann"), gap("2 messages are missing here"), Row("d", "Ann"),
                        gap("1 message is missing here"), Row("f", "Ann"))),
        ),
    ),
    Case(
        "a long hole is filled on demand, from its end",
        ("UI3",),
        long_chat,
        (
            CONNECTED,
            sees(lines=said(1, 1)),
            does("go_down"),
            does("say", 600),
            does("come_up"),
            Waits(3),
            CONNECTED,
            sees(lines=(*said(1, 1), gap("200 messages are missing here"), *said(202, 601))),
            FillsGap(),
            sees(lines=(*said(1, 1), gap("100 messages are missing here"), *said(102, 601))),
        ),
        partial(HistoryServer, said=1),
    ),
)  # fmt: skip

UNREAD = (
    Case(
        "who reads above is told how much is new, and where it begins",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sends(*(message(f"old {number}") for number in range(60))),
            sees(unread=0, marker=None),
            Scrolls("start"),
            sends(message("new 1", "Bob"), {"type": "join", "sender": "Cid"}),
            sees(unread=1, marker="new 1"),
            sends(message("new 2", "Bob")),
            sees(unread=2, marker="new 1"),
            Scrolls("end"),
            sees(unread=0, marker="new 1"),
            sends(message("new 3", "Bob")),
            sees(unread=0, marker=None),
        ),
    ),
    Case(
        "an own message brings its writer to the end, and is never unread",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sends(*(message(f"old {number}") for number in range(60))),
            sees(unread=0),
            Scrolls("start"),
            Types("mine"),
            Presses(),
            sees(unread=0, marker=None),
            sends(message("new", "Bob")),
            sees(unread=0, marker=None),
        ),
    ),
)  # fmt: skip

LINKS = (
    Case(
        "addresses are links, and nothing else is",
        ("UI3",),
        chat(),
        (
            CONNECTED,
            sends(
                message("See https://example.com/a_(b), or HTTP://x.example/?q=[red]."),
                message("javascript:alert(1) file:///etc/passwd www.example.com"),
                message("https://bank.example@evil.example/ and https://a\u202e.example"),
                "http://plain.example",
            ),
            sees(
                links=("https://example.com/a_(b)", "HTTP://x.example/?q=[red]",
                       "http://plain.example"),
                lines=(
                    Row("See https://example.com/a_(b), or HTTP://x.example/?q=[red].", "Ann"),
                    Row("javascript:alert(1) file:///etc/passwd www.example.com", "Ann"),
                    Row("https://bank.example@evil.example/ and https://a\u202e.example", "Ann"),
                    Row("http://plain.example"),
                ),
            ),
        ),
    ),
)  # fmt: skip

FIGURES = ("Attempts", "Losses", "Open in all", "Latency", "Received", "Sent", "Waiting")

INSPECTOR = (
    Case(
        "the inspector says what the connection is doing, once it is open, and follows it",
        ("UI1",),
        inspected,
        (
            OpensInspector(),
            sees(
                explanation="Connected to ws://fake/chat/lobby?***",
                figures=FIGURES,
                events=("attempt", "open"),
            ),
            does("drop"),
            sees(events=("attempt", "open", "loss", "decision", "wait")),
            Waits(3),
            sees(
                explanation="Connected to ws://fake/chat/lobby?***",
                events=("attempt", "open", "loss", "decision", "wait", "attempt", "gap", "open"),
            ),
        ),
    ),
)

CASES = (*PAGES, *UNREAD, *LINKS, *INSPECTOR)
