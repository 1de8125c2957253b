"""What the cases place: the same lines in every kit, one generator each."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from kits.script import URL, Layout
from sockstore.testing import FakeServer


def chat(**options: Any) -> Layout:
    """A whole chat in one provider; the options are the provider's."""

    def layout(kit: ModuleType, server: FakeServer) -> Iterator[object]:
        with kit.WebSocketProvider(URL, transport=server, **options):
            yield kit.ConnectionStatus()
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
