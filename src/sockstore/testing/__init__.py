"""The test kit: whole reconnect stories without sockets, in milliseconds.

Give a `FakeServer` with a script as ``transport=`` to a connection, and run the story on a
`VirtualClock`. With pytest, the fixtures `fake_server` and `virtual_clock` and the marker
``virtual_clock`` come by themselves.
"""

from sockstore.testing.clock import VirtualClock
from sockstore.testing.contract import (
    ServerHalf,
    TransportHarness,
    check_store,
    check_transport,
)
from sockstore.testing.fake_server import (
    FakeServer,
    Handshake,
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
from sockstore.testing.leaks import assert_no_leaks

__all__ = [
    "FakeServer",
    "Handshake",
    "ServerHalf",
    "Step",
    "TransportHarness",
    "VirtualClock",
    "accept",
    "assert_no_leaks",
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
