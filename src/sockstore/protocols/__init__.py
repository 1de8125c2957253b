"""Protocols: what frames mean on a server. All of them are pure.

Those that not every program uses are loaded at their first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sockstore.base.options import Heartbeat
from sockstore.protocols.base import (
    Address,
    Answered,
    Ask,
    BaseProtocol,
    Called,
    CallFailure,
    Conversation,
    Ended,
    Failed,
    Frame,
    Member,
    Members,
    Missed,
    Opened,
    Output,
    Raised,
    Received,
    Refused,
    SentMessages,
    Settled,
    Subscribed,
    WireSubscription,
    Write,
)
from sockstore.protocols.plain import Plain
from sockstore.protocols.requests import IdField, RequestFormat

if TYPE_CHECKING:
    from sockstore.base.records import Publication
    from sockstore.protocols.centrifuge import Centrifuge
    from sockstore.protocols.json_rpc import Call, JsonRpc
    from sockstore.protocols.topics import TopicAnswer, Topics

__all__ = [
    "Address",
    "Answered",
    "Ask",
    "BaseProtocol",
    "Call",
    "CallFailure",
    "Called",
    "Centrifuge",
    "Conversation",
    "Ended",
    "Failed",
    "Frame",
    "Heartbeat",
    "IdField",
    "JsonRpc",
    "Member",
    "Members",
    "Missed",
    "Opened",
    "Output",
    "Plain",
    "Publication",
    "Raised",
    "Received",
    "Refused",
    "RequestFormat",
    "SentMessages",
    "Settled",
    "Subscribed",
    "TopicAnswer",
    "Topics",
    "WireSubscription",
    "Write",
]

_LATER = {
    "Publication": "sockstore.base.records",
    "Call": "sockstore.protocols.json_rpc",
    "Centrifuge": "sockstore.protocols.centrifuge",
    "JsonRpc": "sockstore.protocols.json_rpc",
    "TopicAnswer": "sockstore.protocols.topics",
    "Topics": "sockstore.protocols.topics",
}
"""The names that are loaded at their first use, and their modules."""


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    thing: object = getattr(import_module(module), name)
    globals()[name] = thing
    return thing


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
