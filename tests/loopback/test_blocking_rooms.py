"""Rooms of a blocking WebSocket: sent to, read, counted and gone on with, from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from loopback import server_kit
from loopback.blocking_programs import PATIENCE, in_a_thread
from sockstore import InvalidOption, Outbox, Position, Reconnect, derived
from sockstore.blocking import WebSocket
from sockstore.protocols import Ask, Centrifuge
from sockstore.testing import FakeServer, accept

pytestmark = pytest.mark.loopback

OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.05)


@pytest.fixture(scope="module")
def server():
    with in_a_thread(server_kit.running()) as server:
        yield server


@pytest.fixture
def ann(server, request):
    url = server.url("/connection/websocket?name=Ann")
    with WebSocket(url, protocol=Centrifuge(), reconnect=OFTEN) as ws:
        yield ws


@pytest.fixture
def room(request) -> str:
    """A room for each test."""
    return request.node.name[:64]


def seen_by(subscribe: Callable[[Callable[[object], object]], object]):
    """Return a function that waits until a callback has been given something."""
    told, changed = [], threading.Condition()

    def take(value: object) -> None:
        with changed:
            told.append(value)
            changed.notify_all()

    subscribe(take)

    def wait_for(wanted: Callable[[object], bool]) -> object:
        with changed:
            assert changed.wait_for(lambda: any(map(wanted, told)), PATIENCE), told
            return next(filter(wanted, told))

    return wait_for


@pytest.mark.contract("SE0", "SE2")
def test_a_message_is_sent_to_a_room_and_stored_once(ann, room):
    with ann.subscribe(room) as here:
        messages = here.stream()
        receipt = here.send({"n": 1}, ttl=PATIENCE, key="k", urgent=True, id="my-own").wait(
            PATIENCE
        )
        assert (receipt.state, receipt.offset, receipt.id) == ("acknowledged", 1, "my-own")
        assert here.send({"n": 1}, id="my-own").wait(PATIENCE).offset == 1, "it is stored once"
        assert here.send({"n": 2}, wait=True).wait(PATIENCE).offset == 2
        first, second = messages.recv(PATIENCE), messages.recv(PATIENCE)
        assert [first.data, second.data] == [{"n": 1}, {"n": 2}]
        assert (first.key, first.publication.sender) == (room, "Ann")
    assert here.send({"n": 3}).state == "refused"


@pytest.mark.contract("SE0")
def test_a_send_either_waits_or_leaves_at_once(ann, room):
    with ann.subscribe(room) as here:
        with pytest.raises(InvalidOption, match="either now or wait"):
            here.send(1, now=True, wait=True)
        with pytest.raises(InvalidOption, match="wait="):
            here.send(1, wait="yes")


def test_a_send_that_waits_gets_in_once_the_outbox_has_room(room):
    silent = FakeServer(accept())
    options = {"protocol": Centrifuge(), "transport": silent, "outbox": Outbox(limit=1)}
    with WebSocket("ws://x", **options) as ws, ws.subscribe(room) as here:
        first = here.send(1)
        assert here.send(2).state == "refused"
        thread_has = []
        thread = threading.Thread(target=lambda: thread_has.append(here.send(3, wait=True)))
        thread.start()
        assert first.cancel()
        thread.join(PATIENCE)
        assert thread_has[0].state == "queued"
        ws.clear_outbox()


@pytest.mark.contract("SE0", "SE1")
def test_a_program_goes_on_from_the_position_that_it_kept(server, ann, room):
    here = ann.subscribe(room)
    assert here.position is None
    here.ready(PATIENCE)
    assert here.position.offset == 0
    messages = here.stream()
    here.send("before").wait(PATIENCE)
    messages.recv(PATIENCE)
    kept = here.position
    assert kept.offset == 1
    here.unsubscribe()
    url = server.url("/connection/websocket?name=Bob")
    with WebSocket(url, protocol=Centrifuge()) as bob, bob.subscribe(room) as there:
        there.ready(PATIENCE)
        there.send("meanwhile").wait(PATIENCE)
    with ann.subscribe(room, since=kept) as again:
        assert iter(again).recv(PATIENCE).data == "meanwhile"
        assert again.state.recovered is True


@pytest.mark.contract("SE3")
def test_readers_of_a_room_are_told_of_gaps_unless_they_say_otherwise(ann, room):
    has_readers = threading.Event()

    async def token(_: Ask) -> str:
        # The server is asked once all of them are there: the loop has a thread of its own.
        await asyncio.to_thread(has_readers.wait, PATIENCE)
        return "any"

    with ann.subscribe(room, since=Position(99, "another log"), token=token) as here:
        told, quiet = iter(here), here.stream(gaps=False)
        heard = seen_by(here.on_message)
        has_readers.set()
        here.ready(PATIENCE)
        here.send("first").wait(PATIENCE)
        assert [told.recv(PATIENCE).kind for _ in range(2)] == ["gap", "text"]
        assert quiet.recv(PATIENCE).data == "first"
        assert heard(lambda message: message.kind == "gap")


@pytest.mark.contract("SE0", "SE7")
def test_members_and_older_messages_are_values(ann, room):
    with ann.subscribe(room, {"join_leave": True}) as here:
        for number in range(3):
            here.send({"n": number}).wait(PATIENCE)
        assert [each.data["n"] for each in here.history(2)] == [1, 2]
        (oldest,) = here.history(limit=5, before=2, timeout=PATIENCE)
        assert (oldest.data, oldest.number) == ({"n": 0}, 0)
        is_here = seen_by(lambda take: here.on_change("members", take))
        is_here(lambda members: [each.user for each in members] == ["Ann"])
        assert [each.user for each in here.members] == ["Ann"]


@pytest.mark.contract("SU3")
def test_a_callable_picks_or_makes_a_store_of_a_subscription(ann, room):
    with ann.subscribe(room, history=None) as here:
        counted = seen_by(
            lambda take: here.on_change(lambda inner: derived(inner.messages, len), take)
        )
        here.send("one").wait(PATIENCE)
        assert counted(lambda count: count == 1)


@pytest.mark.contract("SE0")
def test_a_token_is_made_on_the_thread_of_the_event_loop(server, room):
    asked = []

    def token(ask: Ask) -> str:
        asked.append((ask.subscription.key, ask.refresh, threading.current_thread()))
        return "secret"

    async def slow_token(ask: Ask) -> str:
        return token(ask)

    url = server.url("/connection/websocket")
    with WebSocket(url, protocol=Centrifuge()) as ws:
        for number, each in enumerate((token, slow_token)):
            with ws.subscribe(f"{room}-{number}", token=each) as here:
                here.ready(PATIENCE)
    assert [(key, refresh) for key, refresh, _ in asked] == [
        (f"{room}-0", False),
        (f"{room}-1", False),
    ]
    assert threading.current_thread() not in {thread for _, _, thread in asked}
    assert len({thread for _, _, thread in asked}) == 1


def test_what_another_protocol_does_not_take_is_refused():
    with WebSocket("ws://x", protocol=Centrifuge(), transport=FakeServer(accept())) as ws:
        with pytest.raises(InvalidOption, match="since="):
            ws.subscribe("r", since=3)
        with pytest.raises(RuntimeError, match=r"subscribe\(key\)\.send"):
            ws.send(1)
