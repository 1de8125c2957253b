"""A store has no truth value, and its repr shows its value, short and without secrets."""

from collections import UserDict, defaultdict, deque
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import (
    ConnectionState,
    HandshakeFailed,
    SocketInfo,
    WebSocketStore,
    derived,
    readable,
    readonly,
    writable,
)
from sockstore.protocols import Topics
from sockstore.scope.sharing import Lease, Shared
from sockstore.stores import batch, derived_emit


class Foreign:
    """A store of another library."""

    def __init__(self):
        self.subscribed = 0

    def subscribe(self, run):
        self.subscribed += 1
        run("foreign")
        return lambda: None


def make_lease():
    connection = WebSocketStore("ws://h")
    return Lease(Shared((None, "x"), connection), 0, None)


connection = WebSocketStore("ws://h")
by_type = WebSocketStore("ws://h", protocol=Topics(key=lambda data: data.get("type")))
NAMES = [
    *("state", "socket", "connected", "error", "status", "phase"),
    *("messages", "buffered_amount", "timeline", "latency"),
]
STORES = {
    "writable": writable(1),
    "writable of nothing": writable(None),
    "writable with a start": writable(1, lambda set_, update: None),
    "readable": readable(1),
    "readonly": readonly(writable(1)),
    "readonly of a foreign one": readonly(Foreign()),
    "derived": derived(writable(1), lambda one: one),
    "derived that raises": derived(writable(1), lambda one: 1 / 0),
    "derived_emit": derived_emit(writable(1), lambda emit, one: emit(one), 0),
    "select": connection.select(len),
    "latest": by_type.subscribe("price").latest,
    **{f"the connection's {name}": getattr(connection, name) for name in NAMES},
    **{f"a lease's {name}": getattr(make_lease(), name) for name in NAMES},
}


@pytest.mark.contract("ST13")
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_a_store_has_no_truth_value(store):
    for ask in (bool, lambda store: not store, lambda store: 1 if store else 2, lambda s: s or 1):
        with pytest.raises(TypeError, match=r"no truth value: use its `\.value`"):
            ask(store)


@pytest.mark.contract("ST13")
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_every_store_is_shown_and_can_be_a_key(store):
    assert len(repr(store)) < 250
    assert f"{store}" == str(store) == repr(store)
    assert store == store
    assert {store: 1}[store] == 1


@pytest.mark.contract("ST13")
def test_the_length_of_a_log_is_that_of_its_value():
    assert len(connection.messages) == len(connection.messages.value) == 0
    assert repr(connection.messages) == "<MessageLog of 0 messages, total=0 dropped=0>"


@pytest.mark.contract("ST13")
def test_the_value_is_shown_by_every_kind_of_store():
    five = writable(5)
    assert repr(five) == "<Writable 5>"
    assert repr(readable("text")) == "<Readable 'text'>"
    assert repr(readonly(five)) == "<Readable 5>"
    ten = derived(five, lambda value: value * 2)
    assert repr(ten).startswith("<Readable 10 computed by ")
    with ten.subscribe(lambda value: None):
        five.set(6)
        assert repr(ten).startswith("<Readable 12 computed by ")
    assert repr(connection.status) == "<Readable 'disconnected'>"
    assert repr(connection.connected) == "<Readable False>"
    assert repr(connection.select(len)).startswith("<Readable 0")
    assert f"{connection.error}" == "<Readable None>"


@pytest.mark.contract("ST13")
def test_showing_a_store_starts_nothing():
    ran = []

    def start(set_, update):
        ran.append("start")

    started = readable(0, start)
    emitting = derived_emit(writable(1), lambda emit, one: ran.append("emit"), "initial")
    foreign = Foreign()
    assert repr(started) == "<Readable 0, not watched>"
    assert repr(derived(started, lambda value: value + 1)).startswith("<Readable 1 computed by ")
    assert repr(derived(started, lambda value: value + 1)).endswith(", not watched>")
    assert repr(emitting) == "<Readable 'initial', not watched>" or "computed by" in repr(emitting)
    assert repr(readonly(foreign)) == "<Readable of a Foreign, not watched>"
    assert (ran, foreign.subscribed) == ([], 0)
    with readonly(foreign).subscribe(lambda value: None):
        assert repr(readonly(foreign)) == "<Readable 'foreign'>"


@pytest.mark.contract("ST13")
def test_a_derived_store_that_raises_is_shown_by_its_error():
    count = writable(0)
    inverse = derived(count, lambda value: 1 / value)
    told = ": ZeroDivisionError('division by zero')>"
    assert repr(inverse).endswith(told)
    assert repr(derived(inverse, lambda value: value)).endswith(told)
    count.set(1)
    with inverse.subscribe(lambda value: None):
        with pytest.raises(ZeroDivisionError):
            count.set(0)
        assert repr(inverse).endswith(told)
        count.set(2)
        assert repr(inverse).startswith("<Readable 0.5 ")


@pytest.mark.contract("ST13")
def test_a_store_can_be_shown_while_it_is_computed_and_inside_a_batch():
    shown = []
    count = writable(1)

    def compute(value):
        shown.append(repr(double))
        return value

    double = derived(count, compute)
    with double.subscribe(lambda value: shown.append(repr(double))):
        with batch():
            count.set(2)
            shown.append(repr(count))
    assert ": RuntimeError('the store computed by " in shown[0]
    assert shown[-1].startswith("<Readable 2 ")


@pytest.mark.contract("ST13")
def test_a_store_that_holds_itself_is_shown():
    store = writable(None)
    store.set([store, readonly(store)])
    assert repr(store).startswith("<Writable [<a store that holds itself>")


class Unshowable:
    def __repr__(self):
        raise ValueError("not today")


@pytest.mark.contract("ST13")
def test_a_value_whose_repr_raises_is_shown_by_its_type():
    assert repr(writable(Unshowable())) == "<Writable a Unshowable whose repr raises ValueError>"


class Pair(NamedTuple):
    x: str
    y: str


@pytest.mark.contract("ST13")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"b": 1, "a": {2}}, "{'b': 1, 'a': {2}}"),
        ({}, "{}"),
        (set(), "set()"),
        (frozenset(), "frozenset()"),
        (frozenset({1}), "frozenset({1})"),
        ((1,), "(1,)"),
        (True, "True"),
        (Pair("x", "y"), "Pair(x='x', y='y')"),
        (deque([1]), "deque([1])"),
    ],
)
def test_a_small_value_is_shown_as_python_shows_it(value, shown):
    assert repr(writable(value)) == f"<Writable {shown}>"


class Counted(list):
    """Counts how many of its items were looked at."""

    looked_at = 0

    def __repr__(self):
        Counted.looked_at += len(self)
        return super().__repr__()


@pytest.mark.contract("ST13")
@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        b"x" * 10**6,
        bytearray(10**6),
        10**100_000,
        list(range(10**6)),
        tuple(range(10**6)),
        deque(range(10**6)),
        set(range(10**6)),
        dict.fromkeys(range(10**6)),
        defaultdict(int, dict.fromkeys(range(10**5), 1)),
        [[list(range(100)) for _ in range(100)] for _ in range(100)],
        {"a": ["x" * 10**6] * 100},
        Pair("x", "y" * 1000),
        Counted(range(10**6)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_large_value_is_shortened_to_80_characters(value):
    assert len(repr(writable(value))) <= 80 + len("<Writable >")
    assert Counted.looked_at == 0


@pytest.mark.contract("ST13", "CN14")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("wss://me:secret@h/?token=secret", "'wss://***@h/?***'"),
        ("see wss://h/?token=secret, please", "'see wss://h/?*** please'"),
        ({"url": "ws://h/#secret"}, "{'url': 'ws://h/#***'}"),
        (b"ws://me:secret@h", "b'ws://***@h'"),
        ({"Authorization": "Bearer secret"}, "{'Authorization': '***'}"),
        ([("cookie", 'a="secret"; secret')], "[('cookie', '***')]"),
        ({"proxy-authorization": b"Basic secret"}, "{'proxy-authorization': '***'}"),
        ("Authorization: Digest u='x', secret", '"Authorization: ***'),
        (ValueError("no answer from wss://h/?secret"), "ValueError('no answer from wss://h/?***')"),
        (HandshakeFailed("ws://h/", "refused"), "HandshakeFailed('ws://h/', 'refused')"),
        (UserDict(a="ws://h/?secret"), "{'a': 'ws://h/?***'}"),
    ],
)
def test_secrets_are_not_shown(value, shown):
    assert repr(writable(value)) == f"<Writable {shown}>"
    assert "secret" not in repr(readonly(writable([value])))


@pytest.mark.contract("ST13", "CN14")
@pytest.mark.parametrize("before", [0, 30, 60, 75, 79, 4080, 4090, 4095])
def test_half_a_secret_is_not_shown_where_a_text_is_cut(before):
    for url in (
        "wss://me:" + "secret" * 900 + "@h/",
        "wss://h/" + "p" * 100 + "?t=" + "secret" * 9,
    ):
        for value in ("x" * before + " " + url, ["x" * before, url], {"x" * before: url.encode()}):
            assert "secret" not in repr(writable(value))


@pytest.mark.contract("ST13", "CN14")
def test_the_connections_stores_keep_its_secrets():
    url = "wss://me:secret@h/?token=secret"
    info = SocketInfo(url, None, (("Set-Cookie", "secret"),))
    assert "secret" not in repr(writable(ConnectionState("open", socket=info)))
    store = WebSocketStore(url, headers={"Authorization": "secret"})
    for name in NAMES:
        assert "secret" not in repr(getattr(store, name))


@pytest.mark.contract("ST13")
@given(st.recursive(st.none() | st.floats() | st.text() | st.binary(), st.lists))
def test_whatever_it_holds_a_store_can_be_shown(value):
    assert len(repr(writable(value))) <= 80 + len("<Writable >")
