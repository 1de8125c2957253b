"""Own connections and other things in scopes, which destroy them in order."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sockstore.scope.scope import Scope

__all__ = ["Scope"]


def __getattr__(name: str) -> object:
    if name != "Scope":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Late, because the other modules of this package can be imported without it.
    from sockstore.scope.scope import Scope  # noqa: PLC0415

    return Scope
