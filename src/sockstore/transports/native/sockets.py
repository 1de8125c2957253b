"""Open TCP connections: to the address of a host that answers first; the others are closed."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
from functools import partial
from typing import Any, TypeAlias

from sockstore.base.tasks import start_task
from sockstore.transports.native.workers import LOOKUPS

__all__ = ["addresses", "connected_socket"]

HAPPY_EYEBALLS_SECONDS = 0.25
"""Wait before the next address of a host is tried beside the first (RFC 8305 section 5)."""

Address: TypeAlias = tuple[int, int, int, str, Any]
"""A result of ``getaddrinfo``: family, type, protocol, name, and where to connect to."""


async def connected_socket(host: str, port: int) -> socket.socket:
    """Connect to the address of the host that answers first (RFC 8305, happy eyeballs).

    asyncio's own race loses the winner's socket if it is cancelled in the wrong turn of the loop;
    here every socket is in a list, or closed.
    """
    untried = await addresses(host, port)
    connected: list[socket.socket] = []
    failures: list[OSError] = []
    trials: set[asyncio.Task[None]] = set()
    try:
        while (untried or trials) and not connected:
            if untried:
                trial = _try_address(untried.pop(0), connected, failures)
                trials.add(start_task(trial, name=f"sockstore: connect to {host}"))
            delay = HAPPY_EYEBALLS_SECONDS if untried else None
            _, trials = await asyncio.wait(
                trials, timeout=delay, return_when=asyncio.FIRST_COMPLETED
            )
        if not connected:
            raise failures[-1]
        return connected.pop(0)
    finally:
        for task in trials:
            task.cancel()
        for sock in connected:
            sock.close()


async def _try_address(
    address: Address, connected: list[socket.socket], failures: list[OSError]
) -> None:
    family, kind, protocol, _, where = address
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        failures.append(error)
        return
    try:
        sock.setblocking(False)  # noqa: FBT003 - its only parameter
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException as error:
        sock.close()
        if not isinstance(error, OSError):
            raise
        failures.append(error)
    else:
        connected.append(sock)


async def addresses(host: str, port: int) -> list[Address]:
    """Return the addresses of a host; IPv6 and IPv4 alternate."""
    if _is_address(host):
        # No lookup blocks, so no thread is needed.
        numeric = socket.AI_NUMERICHOST
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)]
    loop = asyncio.get_running_loop()
    if _has_own_lookup(loop):
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        answers = await LOOKUPS.run(f"look up {host}:{port}", look_up)
    preferred = [address for address in answers if address[0] == answers[0][0]]
    others = [address for address in answers if address[0] != answers[0][0]]
    pairs = itertools.zip_longest(preferred, others)
    return [address for pair in pairs for address in pair if address is not None]


def _has_own_lookup(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the program replaced the `getaddrinfo` of this loop; that one is used then.

    asyncio's own runs in the default executor, and uvloop's in libuv's four threads; a few lookups
    that hang would block both.
    """
    if "getaddrinfo" in getattr(loop, "__dict__", {}):
        return True
    owner = next(kind for kind in type(loop).__mro__ if "getaddrinfo" in vars(kind))
    return owner.__module__.partition(".")[0] not in {"asyncio", "uvloop"}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
