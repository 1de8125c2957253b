"""What the cases place: the same lines in every kit, one generator each."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from kits.script import URL, Layout
from sockstore.protocols import Centrifuge
from sockstore.testing import FakeServer

WITH_MEMBERS = {"join_leave": True}


def chat(**options: Any) -> Layout:
    """A whole chat in one provider; the options are the provider's."""

    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider(URL, transport=server, **options):
            yield kit.ConnectionStatus()
            yield kit.ChatMembers()
            yield kit.ChatMessages()
            yield kit.ChatInput()

    return layout


def room(*rooms: str, **options: Any) -> Layout:
    """A chat in each of some rooms of one connection; the options are its provider's.

    What is seen and used is the last one of them.
    """

    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider(URL, transport=server, protocol=Centrifuge(), **options):
            yield kit.ConnectionStatus()
            for room in rooms or ("lobby",):
                with kit.SubscriptionProvider(room, WITH_MEMBERS):
                    yield kit.ChatMembers()
                    yield kit.ChatMessages()
                    yield kit.ChatInput()

    return layout


def echo(**options: Any) -> Layout:
    """The guide's echo page."""

    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider("ws://fake/echo", transport=server, **options):
            yield kit.WebSocketDemo()

    return layout


def inspected(kit: ModuleType, server: FakeServer) -> Iterator[object]:
    """A status and the inspector of its connection."""
    with kit.WebSocketProvider(URL, transport=server):
        yield kit.ConnectionStatus()
        yield kit.ConnectionInspector()


def long_chat(kit: ModuleType, server: FakeServer) -> Iterator[object]:
    """A chat that shows more lines than it does by itself."""
    with kit.WebSocketProvider(URL, transport=server):
        yield kit.ConnectionStatus()
        yield kit.ChatMessages(limit=1000)
        yield kit.ChatInput()
