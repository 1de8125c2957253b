"""Test whole reconnect stories without sockets, in milliseconds.

Give a connection a `FakeServer` with a handler or a script as ``transport=``, and run the story on
a `VirtualClock`. With pytest, the fixtures `fake_server` and `virtual_clock` and the marker
``virtual_clock`` are available without an import.
"""

from sockstore.testing.asgi import asgi_transport
from sockstore.testing.clock import VirtualClock
from sockstore.testing.fake_client import ClientGone, FakeClient, Handler
from sockstore.testing.fake_server import FakeServer, Handshake
from sockstore.testing.leaks import assert_no_leaks
from sockstore.testing.protocol_contract import ProtocolHarness, ServerModel, check_protocol
from sockstore.testing.script import (
    Step,
    accept,
    close,
    drop,
    echo,
    freeze,
    hang,
    pause,
    receive,
    refuse,
    repeat,
    send,
    slow,
)
from sockstore.testing.store_contract import check_store
from sockstore.testing.transport_contract import ServerHalf, TransportHarness, check_transport

__all__ = [
    "ClientGone",
    "FakeClient",
    "FakeServer",
    "Handler",
    "Handshake",
    "ProtocolHarness",
    "ServerHalf",
    "ServerModel",
    "Step",
    "TransportHarness",
    "VirtualClock",
    "accept",
    "asgi_transport",
    "assert_no_leaks",
    "check_protocol",
    "check_store",
    "check_transport",
    "close",
    "drop",
    "echo",
    "freeze",
    "hang",
    "pause",
    "receive",
    "refuse",
    "repeat",
    "send",
    "slow",
]
