"""Cases of WebSocketProvider: how components find their connection, and how long it lives."""

from __future__ import annotations

from functools import partial

from kits.cases_of_status import CONNECTED, CONNECTING, IDLE
from kits.layouts import chat
from kits.script import (
    URL,
    Case,
    Goes,
    Holds,
    Leaves,
    OpensAnother,
    Presses,
    Row,
    Types,
    Waits,
    does,
    heard,
    sees,
    sends,
)
from sockstore.testing import FakeServer, hang, refuse

HELLO = {"type": "message", "sender": "Ann", "content": "hello"}
HELLO_ROW = Row("hello", "Ann")
DISCONNECTED = sees(color="disconnected", detail="", button=None, enabled=False)


def inner_of_the_same_name(kit, server):
    with kit.WebSocketProvider(URL, transport=server, auto_connect=False):
        with kit.WebSocketProvider(URL, transport=server):
            yield kit.ChatInput()
            yield kit.ChatMessages()
        yield kit.ConnectionStatus()


def inner_of_another_name(kit, server):
    with kit.WebSocketProvider(URL, transport=server, name="outer"):
        with kit.WebSocketProvider(URL, transport=server, auto_connect=False, name="inner"):
            yield kit.ConnectionStatus(name="outer")
            yield kit.ChatInput(name="inner")


def side_by_side(kit, server):
    with kit.WebSocketProvider(URL, transport=server, auto_connect=False, name="a"):
        yield kit.ConnectionStatus(name="a")
    with kit.WebSocketProvider(URL, transport=server, name="b"):
        yield kit.ChatInput(name="b")


def an_explicit_connection(kit, server):
    with kit.WebSocketProvider(URL, transport=server, name="elsewhere") as provider:
        pass
    yield kit.ConnectionStatus(provider.connection)
    yield kit.ChatMembers(provider.connection)
    yield kit.ChatMessages(provider.connection)
    yield kit.ChatInput(provider.connection)


def an_explicit_connection_inside(kit, server):
    with kit.WebSocketProvider(URL, transport=server, name="elsewhere") as provider:
        pass
    with kit.WebSocketProvider(URL, transport=server, auto_connect=False):
        yield kit.ConnectionStatus(provider.connection)
        yield kit.ChatInput()


CASES = (
    Case(
        "of providers of one name the inner one is found, and outside it the outer one",
        ("UI1", "PV3"),
        inner_of_the_same_name,
        (
            sees(status="Disconnected from chat server", detail="", enabled=True),
            Holds(1),
            sends(HELLO),
            sees(lines=(HELLO_ROW,)),
        ),
    ),
    Case(
        "a provider of another name is seen through",
        ("UI1", "PV3"),
        inner_of_another_name,
        (sees(status="Connected to chat server", enabled=False), Holds(1)),
    ),
    Case(
        "providers stand side by side",
        ("UI1", "PV3"),
        side_by_side,
        (sees(status="Disconnected from chat server", detail="", enabled=True), Holds(1)),
    ),
    Case(
        "components take a connection, and need no provider around them",
        ("UI1",),
        an_explicit_connection,
        (CONNECTED, sends(HELLO), sees(lines=(HELLO_ROW,)), Types("hi"), Presses(),
         heard({"content": "hi"})),
    ),
    Case(
        "a connection that is given wins over the provider around",
        ("UI1",),
        an_explicit_connection_inside,
        (sees(status="Connected to chat server", enabled=False), Holds(1)),
    ),
    Case(
        "another url keeps the messages and the draft, and closes the old connection",
        ("UI1", "PV6"),
        chat(),
        (
            CONNECTED,
            sends(HELLO),
            sees(lines=(HELLO_ROW,)),
            Types("draft"),
            Goes("ws://fake/chat/other?name=Ann"),
            CONNECTED,
            Holds(1),
            sees(lines=(HELLO_ROW,), draft="draft"),
            sends(HELLO | {"content": "there"}),
            sees(lines=(HELLO_ROW, Row("there", "Ann"))),
        ),
    ),
    Case(
        "another url before the first connection is where it goes",
        ("UI1", "PV6"),
        chat(),
        (CONNECTING, Goes("ws://fake/chat/other"), CONNECTED, Holds(1)),
        partial(FakeServer, hang()),
    ),
    Case(
        "leaving disconnects",
        ("UI6", "LC3"),
        chat(),
        (CONNECTED, Holds(1), Leaves(), Holds(0)),
    ),
    Case(
        "leaving while connecting ends the attempt, and there is no other",
        ("UI6", "LC3"),
        chat(),
        (CONNECTING, Leaves(), Waits(60), Holds(0)),
        partial(FakeServer, hang()),
    ),
    Case(
        "leaving while waiting ends the waiting",
        ("UI6", "LC3"),
        chat(),
        (sees(detail="Retry 1 in 3 s"), Leaves(), Waits(60), Holds(0)),
        partial(FakeServer, refuse()),
    ),
    Case(
        "leaving while a peer is silent is over within the bound of a closing",
        ("UI6", "CN5"),
        chat(),
        (CONNECTED, does("freeze"), Leaves(), Waits(10), Holds(0)),
    ),
    Case(
        "leaving an idle or ended connection is nothing",
        ("UI6",),
        chat(auto_connect=False),
        (IDLE, Leaves(), Holds(0)),
    ),
    Case(
        "a second page is independent of the first",
        ("UI6",),
        chat(),
        (
            CONNECTED,
            sends(HELLO),
            sees(lines=(HELLO_ROW,)),
            Types("mine"),
            OpensAnother(),
            CONNECTED,
            Holds(2),
            sees(lines=(), draft=""),
            sends(HELLO | {"content": "second"}),
            sees(lines=(Row("second", "Ann"),)),
            sees(page=0, lines=(HELLO_ROW,), draft="mine"),
            Leaves(),
            Holds(1),
            CONNECTED,
            sees(lines=(HELLO_ROW,), draft="mine"),
        ),
    ),
    Case(
        "pages that share have one connection until the last one is left",
        ("UI6", "PV7"),
        chat(share=True),
        (
            CONNECTED,
            OpensAnother(),
            CONNECTED,
            Holds(1),
            sends(HELLO),
            sees(lines=(HELLO_ROW,)),
            sees(page=0, lines=(HELLO_ROW,)),
            Leaves(),
            Holds(1),
            CONNECTED,
            Leaves(),
            Holds(0),
        ),
    ),
    Case(
        "a page that is opened later shows what a shared connection has received before",
        ("UI3", "PV7"),
        chat(share=True),
        (
            CONNECTED,
            sends(HELLO, {"type": "presence", "members": ["Ann"], "count": 1}),
            sees(lines=(HELLO_ROW,), members="1 here: Ann"),
            OpensAnother(),
            CONNECTED,
            sees(lines=(HELLO_ROW,), members="1 here: Ann"),
        ),
    ),
)  # fmt: skip
