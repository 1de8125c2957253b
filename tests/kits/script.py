"""The words that a case is written in: what server, user and program do, and what is seen.

A case is a value: components to place, and steps. A step does one thing; `Sees` and `Heard` look.
Nothing here knows a kit, see `harness` for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

from sockstore import WebSocketStore
from sockstore.testing import FakeServer
from sockstore.ui.chat.own_messages import Posts, posts_of

URL = "ws://fake/chat/lobby?name=Ann"

Layout: TypeAlias = Callable[[ModuleType, FakeServer], Iterator[object]]
"""Places components: the same lines in each kit. It yields, as a Textual `compose` does."""


class Row(NamedTuple):
    """One line of a chat, as it is seen."""

    content: str
    sender: str | None = None
    kind: str = "message"
    mark: str | None = None
    is_own: bool = False


def notice(content: str) -> Row:
    return Row(content, kind="notice")


def gap(content: str) -> Row:
    return Row(content, kind="gap")


def error(content: str) -> Row:
    return Row(content, kind="error")


def own(content: str, mark: str = "acknowledged", sender: str = "Ann") -> Row:
    return Row(content, sender, "message", mark, is_own=True)


@dataclass(frozen=True, slots=True)
class View:
    """What a user sees of one page or screen; None where there is no such component.

    Args:
        status: The sentence of the connection status, or of the echo page's banner.
        color: What decides its colour: connected, disconnected or error.
        detail: What happens next, beside the sentence.
        button: What the button says that connects again; None while there is none.
        lines: The messages of the chat.
        note: What an empty list of messages says.
        members: Who is here.
        enabled: Whether the field can be written in and the button beside it be pressed.
        draft: What stands in the field.
        records: The messages of the echo page.
        links: Where the links in the messages of the chat lead.
        unread: How many messages came while the reader was not at the end.
        marker: The text of the line that the "New" marker stands before.
        has_older: Whether older messages are offered.
        explanation: What the inspector says the connection is doing, without how long.
        figures: The names of the inspector's figures.
        events: The kinds of the events in the inspector.
    """

    status: str | None = None
    color: str | None = None
    detail: str | None = None
    button: str | None = None
    lines: tuple[Row, ...] | None = None
    note: str | None = None
    members: str | None = None
    enabled: bool | None = None
    draft: str | None = None
    records: tuple[str, ...] | None = None
    links: tuple[str, ...] | None = None
    unread: int | None = None
    marker: str | None = None
    has_older: bool | None = None
    explanation: str | None = None
    figures: tuple[str, ...] | None = None
    events: tuple[str, ...] | None = None


# What the server does


@dataclass(frozen=True, slots=True)
class Server:
    """The server does what one of its methods does."""

    method: str
    arguments: tuple[Any, ...] = ()


def sends(*messages: Any) -> Server:
    return Server("send", messages)


def does(method: str, *arguments: Any) -> Server:
    return Server(method, arguments)


@dataclass(frozen=True, slots=True)
class Returns:
    """The server passes on the newest of the user's messages, to the user as well."""

    sender: str = "Ann"


# What the user does


@dataclass(frozen=True, slots=True)
class Types:
    text: str


@dataclass(frozen=True, slots=True)
class Presses:
    """A key in the field: "enter" or "shift+enter"."""

    key: str = "enter"


@dataclass(frozen=True, slots=True)
class Clicks:
    """The button "send" or the one that connects again: "reconnect"."""

    button: str = "reconnect"


@dataclass(frozen=True, slots=True)
class Scrolls:
    """The reader of the messages goes away from their "end", or back to it."""

    to: str


@dataclass(frozen=True, slots=True)
class LoadsOlder:
    """The reader wants to see older messages, at the top of those that are shown."""


@dataclass(frozen=True, slots=True)
class FillsGap:
    """The reader wants to see what is missing at the newest gap."""


@dataclass(frozen=True, slots=True)
class OpensInspector:
    """The user opens the panel of the inspector."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The user leaves the page or screen that was opened last."""


@dataclass(frozen=True, slots=True)
class OpensAnother:
    """The user opens the same page or screen once more, beside the first one."""

    layout: Layout | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    seconds: float


# What the program does


@dataclass(frozen=True, slots=True)
class Calls:
    """The program does something with the connection of the last provider that was placed."""

    action: Callable[[WebSocketStore], object]


@dataclass(frozen=True, slots=True)
class Goes:
    """The program sets the url of the last provider that was placed."""

    url: str


# What is seen and heard


class _Any:
    """Stands for a value that does not matter."""


@dataclass(frozen=True, slots=True)
class Sees:
    """What the user sees on the page that was opened last; what is not named does not matter."""

    expected: tuple[tuple[str, Any], ...]
    page: int = -1

    def difference(self, view: View) -> str:
        """Say what is not as expected; empty if all is."""
        return "\n".join(
            f"{name} is {getattr(view, name)!r}\n    instead of {value!r}"
            for name, value in self.expected
            if getattr(view, name) != value
        )


def sees(page: int = -1, **expected: Any) -> Sees:
    replace(View(), **expected)  # no misspelt names
    return Sees(tuple(expected.items()), page)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the server has received so far, on all connections; times are checked and left out."""

    messages: tuple[Any, ...] = ()

    def difference(self, received: list[str | bytes]) -> str:
        heard = tuple(_without_time(message) for message in received)
        return (
            "" if heard == self.messages else f"heard {heard!r}\n    instead of {self.messages!r}"
        )


def heard(*messages: Any) -> Heard:
    return Heard(messages)


def _without_time(message: str | bytes) -> Any:
    data = json.loads(message)
    if not isinstance(data, dict) or "timestamp" not in data:
        return data
    moment = datetime.fromisoformat(data.pop("timestamp"))
    assert moment.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    return data


@dataclass(frozen=True, slots=True)
class Holds:
    """How many connections the server has open."""

    connections: int


Step: TypeAlias = (
    Server | Returns | Types | Presses | Clicks | Scrolls | LoadsOlder | FillsGap | OpensInspector
    | Leaves | OpensAnother | Waits | Calls | Goes | Sees | Heard | Holds
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: What is true in every kit.
        contract: The ids of docs/contract.md that it proves.
        layout: What is placed.
        steps: What happens, and what is seen.
        server: Makes the server.
    """

    name: str
    contract: tuple[str, ...]
    layout: Layout
    steps: tuple[Step, ...]
    server: Callable[[], FakeServer] = field(default=FakeServer)


def posted_on(source: Any) -> Posts:
    """Return what the chats of a connection or a room have posted, which its components share."""
    return posts_of(source)
