"""How a component finds its connection: what stands around it first, then what runs around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from sockstore.base.errors import ProviderNotFound
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.scope.provider import WebSocketProvider, use_websocket

__all__ = ["ProvidesConnection", "find_source"]


class ProvidesConnection:
    """What the provider of every kit shows of the one inside it."""

    _provider: WebSocketProvider

    @property
    def connection(self) -> WebSocketStore:
        """The connection; a shared one is known from mounting on."""
        return self._provider.connection

    @property
    def url(self) -> PerAttempt[str]:
        """Where it connects to; setting it keeps stores and subscribers."""
        return self._provider.url

    @url.setter
    def url(self, url: PerAttempt[str]) -> None:
        self._provider.url = url


class Named(Protocol):
    """A provider that components stand in."""

    @property
    def name(self) -> str | None:
        """What components find it by."""


P = TypeVar("P", bound=Named)


def find_source(name: str, around: Iterable[P]) -> P | WebSocketStore:
    """Return the provider of that name around a component, or the connection around the code.

    Args:
        name: The name of the provider.
        around: The providers that the component stands in, the nearest first.

    Raises:
        ProviderNotFound: If there is none.
    """
    providers = list(around)
    for provider in providers:
        if provider.name == name:
            return provider
    try:
        return use_websocket(name)
    except ProviderNotFound as error:
        names = dict.fromkeys((*(str(provider.name) for provider in providers), *error.in_scope))
        why = "place it inside `with WebSocketProvider(...)` of that name, or give it one"
        raise ProviderNotFound(name, tuple(names), why) from None
