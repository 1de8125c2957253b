"""Scopes and providers: who owns a connection, and when it ends."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sockstore.scope.scope import Scope

__all__ = ["Scope"]


def __getattr__(name: str) -> object:
    if name != "Scope":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Later, because whoever imports a part of this package needs no scope.
    from sockstore.scope.scope import Scope  # noqa: PLC0415

    return Scope
