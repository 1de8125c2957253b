"""The protocol `Centrifuge`: the options of the user, and what its conversations share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from sockstore.base.checks import require_callable, require_text
from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Word
from sockstore.base.positions import Position
from sockstore.base.state import Attempt
from sockstore.protocols.base import BaseProtocol, Conversation, SentMessages, json_copy
from sockstore.protocols.centrifuge.errors import meaning_of_close
from sockstore.protocols.outputs import Missed, Received, WireSubscription

__all__ = ["Centrifuge"]

Token: TypeAlias = str | Callable[..., object] | None
"""A token, or a function or coroutine function that returns one."""


@frozen
class Centrifuge(BaseProtocol):
    """Rooms of a Centrifugo server, or of the server of this package, on one connection.

    A subscription's key is the name of a room (Centrifugo's *channel*). Each room has its own
    position: after a loss everything that was missed comes, or a `Gap` says that it does not.

    Args:
        token: Who we are, as the server wants to hear it: a text, or a function or coroutine
            function that returns one and is called before each attempt, and before it expires.
            None for a server that asks for none.
        name: What the server's own pages call this client; None says ``"sockstore"``.

    Raises:
        InvalidOption: If a value cannot work.

    Source:
        Centrifugo's client protocol, version 2, in JSON; section 6 of PROTOCOL.md.

    Example:
        >>> Centrifuge().encode_request({"method": "price", "data": {"of": "tea"}})
        {'method': 'price', 'data': {'of': 'tea'}}
    """

    has_subscriptions = has_requests = has_history = has_members = True
    addresses_subscriptions = carries_json = acknowledges_messages = True
    has_messages = False
    joins_with: ClassVar[str | None] = "\n"
    subscribes_with: ClassVar[frozenset[str]] = frozenset({"token", "since"})

    token: Token = None
    name: str | None = None

    def __post_init__(self) -> None:
        token: object = self.token
        if not (token is None or callable(token) or (isinstance(token, str) and token)):
            # The value is not shown: it may be a secret.
            raise InvalidOption("token", "***", "give a text, a function that makes one, or None")
        if callable(token):
            require_callable("token", token, may_await=True)
        if self.name is not None:
            require_text("name", self.name, "a text or None")

    def __repr__(self) -> str:
        token = "" if self.token is None else "token=..., "
        return f"Centrifuge({token}name={self.name!r})"

    def parameters(self) -> Mapping[str, object]:
        """Return the token, if there is one."""
        return {} if self.token is None else {"token": self.token}

    def encode_request(self, data: Any) -> Any:
        """Return a copy of the request, the method of an rpc and its data.

        Raises:
            TypeError: If it has no method, or is not JSON.
        """
        if not isinstance(data, dict) or not isinstance(data.get("method"), str):
            raise TypeError(
                'a request must be a dict with a "method", and with "data" if it has any'
            )
        if unknown := sorted(map(str, data.keys() - {"method", "data"})):
            raise TypeError(f'a request has a "method" and "data", and not {unknown[0]!r}')
        return json_copy(data)

    def make_memory(self) -> SentMessages:
        """Return the messages without a reply; what is known of a room is its subscription's."""
        return SentMessages()

    def sent_messages(self, memory: Any) -> SentMessages | None:
        """Return the messages that are sent again after a loss."""
        return memory if isinstance(memory, SentMessages) else None

    def position(self, subscription: WireSubscription) -> Position | None:
        """Return how far a room has been read."""
        from sockstore.protocols.centrifuge.memory import RoomMemory  # noqa: PLC0415 - not with the options

        memory = subscription.memory
        return memory.position if isinstance(memory, RoomMemory) else subscription.since

    def not_delivered(self, output: Received | Missed) -> None:
        """Let the room go on before a message or a gap that reached nobody."""
        from sockstore.protocols.centrifuge.memory import RoomMemory  # noqa: PLC0415 - not with the options

        memory = None if output.subscription is None else output.subscription.memory
        if not isinstance(memory, RoomMemory):
            return
        if isinstance(output, Missed):
            memory.forget_gap()  # the next connection tells of it
        elif output.publication is not None:
            memory.go_back(output.publication)

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        """Begin a conversation."""
        from sockstore.protocols.centrifuge.conversation import CentrifugeConversation  # noqa: PLC0415 - not with the options

        del attempt
        sent = memory if isinstance(memory, SentMessages) else SentMessages()
        return CentrifugeConversation(self.name or "sockstore", sent)

    def classify(self, code: int) -> Word | None:
        """Return what a close code of the server means; None leaves it to the usual table."""
        return meaning_of_close(code)
