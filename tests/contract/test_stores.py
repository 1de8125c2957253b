"""Every store keeps Svelte's contract, wherever it stands."""

from __future__ import annotations

import pytest

from sockstore import (
    ConnectionLost,
    ConnectionState,
    WebSocketStore,
    derived,
    readable,
    readonly,
    writable,
)
from sockstore.connection.view import engine_of
from sockstore.testing import check_store
from written_log import WrittenLog

pytestmark = pytest.mark.contract("ST2", "ST3", "ST8")


def make_writable():
    store = writable(0)
    return store, store.set


def make_readonly():
    store = writable(0)
    return readonly(store), store.set


def make_derived():
    store = writable(0)
    return derived(store, lambda number: number * 2), store.set


def make_readable():
    store = writable(0)

    def start(set_, _):
        return store.subscribe(set_)

    return readable(0, start), store.set


@pytest.mark.parametrize("make", [make_writable, make_readonly, make_derived, make_readable])
def test_stores(make):
    check_store(make, [1, 2, 3])


@pytest.mark.contract("MS3")
def test_the_message_log():
    def make():
        log = WrittenLog(10, report=lambda error, where: None)

        def take(text: str) -> None:
            log.writer.begin_slice()
            log.writer.append(text, "text")
            log.writer.end_slice()

        return log, take

    check_store(make, ["a", "b", "c"])


@pytest.mark.contract("CN2", "CN3")
@pytest.mark.parametrize("name", ["state", "phase", "connected", "error"])
def test_the_stores_of_a_connection(name):
    states = [
        ConnectionState("open"),
        ConnectionState("waiting", exception=ConnectionLost("a")),
        ConnectionState("open", since=1.0),
    ]

    def make():
        connection = WebSocketStore("ws://fake")
        return getattr(connection, name), engine_of(connection).show

    if name == "error":
        states = [ConnectionState("waiting", exception=ConnectionLost(why)) for why in "abc"]
    check_store(make, states)
