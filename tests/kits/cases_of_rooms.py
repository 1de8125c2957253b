"""Cases of components in rooms of `Centrifuge`: many on one connection, each for itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import ModuleType

from integration.rooms_server import RoomsServer
from kits.cases_of_status import CONNECTED
from kits.layouts import WITH_MEMBERS, room
from kits.script import (
    URL,
    Case,
    FillsGap,
    Holds,
    LoadsOlder,
    OpensAnother,
    Presses,
    Row,
    Types,
    Waits,
    does,
    error,
    gap,
    notice,
    own,
    sees,
)
from sockstore import Outbox
from sockstore.protocols import Centrifuge
from sockstore.testing import FakeServer


def said(*numbers: int) -> tuple[Row, ...]:
    return tuple(Row(f"message {number}", "Bob") for number in numbers)


def unwilling() -> RoomsServer:
    """Make a server that takes no message."""
    server = RoomsServer()
    server.refuses["rpc"] = {"error": {"code": 103, "message": "permission denied"}}
    return server


def closed() -> RoomsServer:
    """Make a server that lets nobody into the room "secret"."""
    server = RoomsServer()
    server.refuses["secret"] = {"error": {"code": 103, "message": "permission denied"}}
    return server


def given(kit: ModuleType, server: FakeServer) -> Iterator[object]:
    """Components that are given a subscription, where they could be given a connection."""
    with kit.WebSocketProvider(URL, transport=server, protocol=Centrifuge()) as provider:
        yield kit.ConnectionStatus()
    tides = provider.connection.subscribe("tides", WITH_MEMBERS)
    for component in (kit.ChatMembers, kit.ChatMessages, kit.ChatInput, kit.ConnectionStatus):
        yield component(tides)


ROOMS = (
    Case(
        "a room shows what was said before, who is here, and what is said now",
        ("SU9", "UI3"),
        room(),
        (
            CONNECTED,
            sees(lines=said(1, 2, 3), members="1 here: Ann", has_older=False, enabled=True),
            does("say", "lobby", "hello"),
            sees(lines=(*said(1, 2, 3), Row("hello", "Bob"))),
        ),
        partial(RoomsServer, said=3),
    ),
    Case(
        "rooms of one connection are each for itself",
        ("SU9", "SE0"),
        room("lobby", "tides"),
        (
            CONNECTED,
            Holds(1),
            does("say", "lobby", "in the lobby"),
            does("say", "tides", "in the tides"),
            does("come", "lobby", "b", "Bob"),
            sees(lines=(Row("in the tides", "Bob"),), members="1 here: Ann"),
            Types("mine"),
            Presses(),
            sees(lines=(Row("in the tides", "Bob"), own("mine"))),
        ),
        RoomsServer,
    ),
    Case(
        "components take a subscription where they take a connection",
        ("SU9",),
        given,
        (
            sees(status="Connected to chat server", members="1 here: Ann", enabled=True),
            Types("hello"),
            Presses(),
            sees(lines=(own("hello"),), draft=""),
            Holds(1),
        ),
        RoomsServer,
    ),
    Case(
        "a room that the server refuses says so, and takes nothing",
        ("SU9", "SU6"),
        room("lobby", "secret"),
        (sees(color="connected", lines=(error("permission denied (103)"),), enabled=False),),
        closed,
    ),
)

OWN = (
    Case(
        "an own message of a room is delivered when it is stored",
        ("UI3", "SE1"),
        room(),
        (CONNECTED, Types("hello"), Presses(), sees(lines=(own("hello"),), draft="")),
        RoomsServer,
    ),
    Case(
        "what the server of a room does not want is marked",
        ("UI3", "SE1"),
        room(),
        (CONNECTED, Types("hello"), Presses(),
         sees(lines=(own("hello", "failed", sender="You"),), draft="")),
        unwilling,
    ),
    Case(
        "the same text at the same time is somebody else's under another id",
        ("UI3",),
        room(),
        (
            CONNECTED,
            Types("hello"),
            Presses(),
            sees(lines=(own("hello"),)),
            does("repeat_the_last", "lobby", "Eve"),
            sees(lines=(own("hello"), Row("hello", "Eve"))),
        ),
        RoomsServer,
    ),
    Case(
        "own messages are known in a second tab too",
        ("UI3",),
        room(),
        (
            CONNECTED,
            Types("hello"),
            Presses(),
            sees(lines=(own("hello"),)),
            OpensAnother(),
            sees(lines=(own("hello"),)),
            Types("again"),
            Presses(),
            sees(lines=(own("hello"), own("again"))),
            sees(page=0, lines=(own("hello"), own("again")), unread=0),
        ),
        RoomsServer,
    ),
    Case(
        "what is written while a room is away waits in the field",
        ("UI4", "SU9"),
        room(outbox=Outbox()),
        (
            CONNECTED,
            Types("draft"),
            does("drop"),
            sees(enabled=False, draft="draft"),
            Waits(3),
            CONNECTED,
            sees(enabled=True, draft="draft"),
            Presses(),
            sees(lines=(own("draft"),), draft=""),
        ),
        RoomsServer,
    ),
)  # fmt: skip

HISTORY = (
    Case(
        "older messages of a room come when the reader wants them, up to the first",
        ("UI3", "SU9"),
        room(),
        (
            CONNECTED,
            sees(lines=said(*range(51, 151)), has_older=True),
            LoadsOlder(),
            sees(lines=said(*range(1, 151)), has_older=False),
        ),
        partial(RoomsServer, said=150),
    ),
    Case(
        "what could not be recovered is a gap, and is filled as far as the server has it",
        ("UI3", "SU9"),
        room(),
        (
            CONNECTED,
            sees(lines=said(1)),
            does("keep_only", 2),
            does("drop"),
            *(does("store", "lobby", f"message {number}", "Bob") for number in range(2, 7)),
            Waits(3),
            CONNECTED,
            sees(lines=(*said(1), gap("3 messages are missing here"), *said(5, 6))),
            does("keep_only", 10),
            FillsGap(),
            sees(lines=said(*range(1, 7))),
        ),
        partial(RoomsServer, said=1),
    ),
)

COMINGS = (
    Case(
        "who comes and goes is told, and not of one who is there still",
        ("UI3",),
        room(),
        (
            CONNECTED,
            does("come", "lobby", "b1", "Bob"),
            sees(lines=(notice("Bob joined"),), members="2 here: Ann, Bob"),
            does("come", "lobby", "b2", "Bob"),
            sees(lines=(notice("Bob joined"),), members="3 here: Ann, Bob (2)"),
            does("go", "lobby", "b1"),
            sees(lines=(notice("Bob joined"),), members="2 here: Ann, Bob"),
            does("go", "lobby", "b2"),
            sees(lines=(notice("Bob joined"), notice("Bob left")), members="1 here: Ann"),
        ),
        RoomsServer,
    ),
    Case(
        "who loads the page again has not left",
        ("UI3",),
        room(),
        (
            CONNECTED,
            does("come", "lobby", "b1", "Bob"),
            sees(lines=(notice("Bob joined"),)),
            does("go", "lobby", "b1"),
            sees(lines=(notice("Bob joined"), notice("Bob left"))),
            does("come", "lobby", "b2", "Bob"),
            sees(lines=(notice("Bob joined"),), members="2 here: Ann, Bob"),
        ),
        RoomsServer,
    ),
)

CASES = (*ROOMS, *OWN, *HISTORY, *COMINGS)
