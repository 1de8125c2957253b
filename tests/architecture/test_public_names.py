"""Only what users may call is public (CN16): each class against the list in docs/contract.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sockstore import Scope, WebSocketStore, blocking
from sockstore.protocols import Topics
from sockstore.scope.sharing import Lease, Shared

TYPES = Topics(key=lambda data: data.get("type"))
HANDLE = WebSocketStore("ws://x", protocol=TYPES).subscribe("x")
BLOCKING_HANDLE = blocking.WebSocket("ws://x", protocol=TYPES).subscribe("x")
CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"


def documented(name: str) -> set[str]:
    """Return the names that CN16 lists for a class."""
    (line,) = re.findall(rf"^  - `{name}`.*?: (.*)\.$", CONTRACT.read_text(), re.MULTILINE)
    return set(re.findall(r"`(\w+)`", line))


def public(what: object) -> set[str]:
    return {name for name in dir(what) if not name.startswith("_")}


@pytest.mark.contract("CN16", "PV7")
def test_a_connection_and_a_lease_on_it_have_the_same_public_names() -> None:
    connection = WebSocketStore("ws://x")
    lease = Lease(Shared((None, "x"), connection), 0.0, None)
    assert public(connection) == public(lease) == documented("WebSocketStore")


@pytest.mark.contract("CN16")
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("MessageLog", lambda: WebSocketStore("ws://x").messages),
        ("MessageStream", lambda: WebSocketStore("ws://x").stream()),
        ("Receipt", lambda: WebSocketStore("ws://x").send("hello")),
        ("Subscription", lambda: HANDLE),
        ("Scope", Scope),
        ("blocking.WebSocket", lambda: blocking.WebSocket("ws://x")),
        ("blocking.Subscription", lambda: BLOCKING_HANDLE),
        ("blocking.MessageStream", lambda: blocking.WebSocket("ws://x").stream()),
        ("blocking.Receipt", lambda: blocking.WebSocket("ws://x").send("hello")),
    ],
)
def test_users_see_what_they_may_call_and_nothing_else(name, make) -> None:
    assert public(make()) == documented(name)


@pytest.mark.contract("PV7")
def test_a_lease_lacks_nothing_that_a_connection_has() -> None:
    connection = WebSocketStore("ws://x")
    lease = Lease(Shared((None, "x"), connection), 0.0, None)
    assert set(vars(connection)) <= set(vars(lease))
