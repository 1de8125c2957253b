"""Transports: the only place with a network (see `sockstore.transports.base`)."""

from __future__ import annotations

from sockstore.transports.base import Listener, Transport, TransportOptions

__all__ = ["default_transport"]


def default_transport(listener: Listener, options: TransportOptions) -> Transport:
    """Return a transport over real sockets; its engine is imported here, at the first connect."""
    from sockstore.transports.native import NativeTransport  # noqa: PLC0415 - lazily, see above

    return NativeTransport(listener, options)
