"""Values that can be watched: Svelte's store contract in Python.

A store is anything with `subscribe(run)`: it calls `run` with its value, now and on every change,
and returns how to leave. This layer needs no event loop and does no input or output.
"""

from sockstore.stores.contract import Subscribable, Unsubscriber, changed
from sockstore.stores.derived import Emit, derived, derived_emit
from sockstore.stores.readable import Readable, get, readonly
from sockstore.stores.scheduling import batch
from sockstore.stores.waiting import Stream, subscribe_weakly
from sockstore.stores.writable import Start, Writable, readable, writable

__all__ = [
    "Emit",
    "Readable",
    "Start",
    "Stream",
    "Subscribable",
    "Unsubscriber",
    "Writable",
    "batch",
    "changed",
    "derived",
    "derived_emit",
    "get",
    "readable",
    "readonly",
    "subscribe_weakly",
    "writable",
]
