"""Protocols: what frames mean on a server. All of them are pure."""

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
    Missed,
    Opened,
    Output,
    Raised,
    Received,
    Refused,
    Settled,
    Subscribed,
    WireSubscription,
    Write,
)
from sockstore.protocols.json_rpc import Call, JsonRpc
from sockstore.protocols.plain import Plain
from sockstore.protocols.requests import IdField, RequestFormat
from sockstore.protocols.topics import TopicAnswer, Topics

__all__ = [
    "Address",
    "Answered",
    "Ask",
    "BaseProtocol",
    "Call",
    "CallFailure",
    "Called",
    "Conversation",
    "Ended",
    "Failed",
    "Frame",
    "Heartbeat",
    "IdField",
    "JsonRpc",
    "Missed",
    "Opened",
    "Output",
    "Plain",
    "Raised",
    "Received",
    "Refused",
    "RequestFormat",
    "Settled",
    "Subscribed",
    "TopicAnswer",
    "Topics",
    "WireSubscription",
    "Write",
]
