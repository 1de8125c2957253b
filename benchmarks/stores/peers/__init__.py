"""Measured libraries, each used as its documentation says and delivering synchronously."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.stores.peer import Peer
from benchmarks.stores.peers.attributes import param, psygnal, traitlets
from benchmarks.stores.peers.observables import fynx, reactivex, signified, sockstore
from benchmarks.stores.peers.signals import nervio, observ, reaktiv

__all__ = ["PEERS"]

PEERS: dict[str, Callable[[], Peer]] = {
    make.__name__: make
    for make in (
        sockstore,
        observ,
        nervio,
        reaktiv,
        fynx,
        signified,
        reactivex,
        psygnal,
        traitlets,
        param,
    )
}
"""The peers by the name of the package."""
