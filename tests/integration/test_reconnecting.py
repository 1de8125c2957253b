"""Reconnecting: the schedules, the classes of outcomes, tokens, predicates, reconnect()."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import random
import tracemalloc

import pytest

from sockstore import (
    Attempt,
    Classification,
    Close,
    ConnectionEnded,
    HandshakeFailed,
    Outcome,
    Reconnect,
    WebSocketProvider,
    WebSocketStore,
    classify,
)
from sockstore.testing import (
    FakeServer,
    accept,
    close,
    drop,
    hang,
    pause,
    refuse,
    repeat,
    send,
    slow,
)
from waiting import turns

pytestmark = pytest.mark.virtual_clock

LINEAR = Reconnect.linear()
EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def times(server: FakeServer) -> list[float]:
    return [handshake.at for handshake in server.handshakes]


def waits(server: FakeServer) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times(server))]


# Schedules


@pytest.mark.contract("RC1", "RC3", "CN9", "CN7")
async def test_the_guides_schedule_waits_3_6_9_12_15_and_then_says_so():
    server = FakeServer()
    server.go_down()
    connection = WebSocketStore("ws://fake", transport=server, reconnect=LINEAR)
    attempts: list[tuple[str, int]] = []
    connection.state.subscribe(lambda state: attempts.append((state.phase, state.attempt)))
    connection.connect()
    with pytest.raises(ConnectionEnded, match=r"^Failed to reconnect after 5 attempts$"):
        await connection.ready()
    assert waits(server) == [3, 6, 9, 12, 15]
    assert connection.state.value.error == "Failed to reconnect after 5 attempts"
    assert connection.state.value.failure.reason == "attempts exhausted"
    assert "refused" in str(connection.error.value.__cause__), "the last error is beneath it"
    assert attempts == [
        ("idle", 0),
        ("connecting", 0),
        *(pair for n in range(1, 6) for pair in (("waiting", n), ("connecting", n))),
        ("failed", 0),
    ]
    await asyncio.sleep(3600)
    assert len(server.handshakes) == 6


@pytest.mark.contract("RC1", "RC3")
async def test_the_guides_schedule_after_a_loss_makes_five_retries_too():
    server = FakeServer(accept(), pause(100))
    connection = WebSocketStore("ws://fake", transport=server, reconnect=LINEAR)
    connection.connect()
    await asyncio.sleep(100)
    server.go_down()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    assert times(server) == [0, 103, 109, 118, 130, 145]


@pytest.mark.contract("RC3")
@pytest.mark.parametrize(
    ("attempts", "handshakes", "error"),
    [
        (0, 1, "refused"),
        (1, 2, "Failed to reconnect after 1 attempt"),
        (7, 8, "Failed to reconnect after 7 attempts"),
    ],
)
async def test_so_many_attempts_are_so_many_retries_in_a_row(attempts, handshakes, error):
    server = FakeServer()
    server.go_down()
    connection = WebSocketStore(
        "ws://fake", transport=server, reconnect=Reconnect.exponential(attempts=attempts)
    )
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    assert len(server.handshakes) == handshakes
    assert error in connection.state.value.error


@pytest.mark.contract("RC1", "CN9")
async def test_reconnect_false_never_retries_and_true_does_for_ever():
    server = FakeServer()
    server.go_down()
    never = WebSocketStore("ws://fake", transport=server, reconnect=False)
    never.connect()
    await asyncio.sleep(1000)
    assert (never.phase.value, len(server.handshakes)) == ("failed", 1)
    async with WebSocketStore("ws://fake", transport=server, reconnect=True) as always:
        await asyncio.sleep(24 * 3600)
        assert always.phase.value == "waiting"
        assert len(server.handshakes) > 24 * 3600 / 30
        server.come_up()
        await always.ready(31)


@pytest.mark.contract("RC2")
async def test_a_thousand_clients_that_are_dropped_together_do_not_return_together():
    server = FakeServer()
    connections = [WebSocketStore("ws://fake", transport=server) for _ in range(1000)]
    for connection in connections:
        connection.connect()
    await asyncio.sleep(60)
    dropped_at = asyncio.get_running_loop().time()
    server.go_down()
    server.handshakes.clear()
    await asyncio.sleep(29)
    returns = sorted(handshake.at - dropped_at for handshake in server.handshakes)
    first = [at for at in returns if at <= 1.0][:1000]
    tenths = [sum(tenth <= at * 10 < tenth + 1 for at in first) for tenth in range(10)]
    assert max(tenths) <= 180, tenths
    assert min(tenths) >= 40, tenths
    for connection in connections:
        connection.close()
    await turns()


@pytest.mark.contract("RC2")
async def test_the_clients_are_further_apart_with_each_attempt():
    retry_times: dict[int, list[float]] = {}
    server = FakeServer()
    server.go_down()

    def url(attempt: Attempt) -> str:
        now = asyncio.get_running_loop().time()
        retry_times.setdefault(attempt.number, []).append(now)
        return "ws://fake"

    connections = [WebSocketStore(url, transport=server) for _ in range(300)]
    for connection in connections:
        connection.connect()
    await asyncio.sleep(60)
    for connection in connections:
        connection.close()
    await turns()
    spread = [max(at) - min(at) for at in (retry_times[number] for number in range(6))]
    assert spread == sorted(spread)
    assert spread[0] == 0
    assert 0.9 < spread[1] <= 1
    assert spread[5] > 10


@pytest.mark.contract("RC2")
async def test_every_schedule_takes_jitter_and_an_rng_and_the_same_seed_waits_the_same():
    def policy(seed: int) -> Reconnect:
        return Reconnect.exponential(base=2, factor=3, max=50, rng=random.Random(seed))

    async def story(seed: int) -> list[float]:
        server = FakeServer()
        server.go_down()
        async with WebSocketStore("ws://fake", transport=server, reconnect=policy(seed)):
            await asyncio.sleep(200)
        return waits(server)

    one, again, other = await story(1), await story(1), await story(2)
    assert one == pytest.approx(again)
    assert one != pytest.approx(other)
    assert len(one) >= 5
    for wait, longest in zip(one[1:5], [6, 18, 50, 50], strict=True):
        assert longest / 2 <= wait <= longest
    assert 0 <= one[0] <= 2


@pytest.mark.contract("RC2", "RC6")
async def test_a_callable_is_a_schedule_and_is_told_the_attempt_and_the_outcome():
    told: list[tuple[int, Outcome]] = []

    def schedule(attempt: int, outcome: Outcome) -> float:
        told.append((attempt, outcome))
        return attempt * 10

    server = FakeServer(refuse(503), refuse(), accept(), pause(2), drop(4000), accept())
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=Reconnect(schedule=schedule)
    ) as connection:
        await asyncio.sleep(100)
        assert connection.phase.value == "open"
    assert waits(server) == [10, 20, 2 + 30]
    assert [attempt for attempt, _ in told] == [1, 2, 3]
    outcomes = [outcome for _, outcome in told]
    assert [outcome.attempt for outcome in outcomes] == [0, 1, 2]
    assert [outcome.status for outcome in outcomes] == [503, None, None]
    assert [outcome.close for outcome in outcomes] == [None, None, Close(4000, clean=True)]
    assert [outcome.uptime for outcome in outcomes] == [None, None, 2]
    assert [outcome.opened_before for outcome in outcomes] == [False, False, True]


@pytest.mark.contract("RC4")
async def test_a_server_that_accepts_and_drops_sees_at_most_10_handshakes_in_30_seconds():
    server = FakeServer(repeat(accept(), drop()))
    async with WebSocketStore("ws://fake", transport=server):
        await asyncio.sleep(30)
        assert 4 <= len(server.handshakes) <= 10


@pytest.mark.contract("RC4", "RC3")
@pytest.mark.parametrize(("lived", "next_wait", "attempt"), [(4.9, 9, 3), (5.0, 3, 1)])
async def test_only_a_connection_that_lived_resets_the_count(lived, next_wait, attempt):
    server = FakeServer(refuse(), refuse(), accept(), pause(lived), drop(), accept())
    async with WebSocketStore("ws://fake", transport=server, reconnect=LINEAR) as connection:
        await connection.ready()
        opened_at = times(server)[-1]
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert connection.state.value.attempt == attempt
        await connection.ready()
        assert times(server)[-1] - opened_at == pytest.approx(lived + next_wait)


# Outcomes

CODES = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
CODES += [3000, 3999, 4000, 4400, 4401, 4403, 4404, 4408, 4410, 4429, 4999]


@pytest.mark.contract("RC6", "RC5")
@pytest.mark.parametrize("code", CODES)
async def test_what_follows_a_close_code_is_what_the_table_says(code):
    server = FakeServer(accept(), pause(10), drop(code))
    connection = WebSocketStore("ws://fake", transport=server, reconnect=LINEAR)
    connection.connect()
    await asyncio.sleep(11)
    state = connection.state.value
    assert state.close.code == code
    match classify(Outcome(close=Close(code), uptime=10)):
        case Classification.RETRY:
            assert (state.phase, state.retry_at) == ("waiting", 13)
        case Classification.THROTTLE:
            assert (state.phase, state.retry_at) == ("waiting", 25), "the schedule's fifth step"
        case Classification.GOODBYE:
            assert (state.phase, state.retry_at) == ("waiting", 13), "a store returns"
        case Classification.UNAUTHORISED:
            assert (state.phase, state.failure.reason) == ("failed", "unauthorised")
        case Classification.FATAL:
            assert (state.phase, state.failure.reason) == ("failed", "fatal close code")
    await connection.aclose()


@pytest.mark.contract("RC6")
@pytest.mark.parametrize(
    ("status", "retry_at"),
    [(408, 3), (425, 3), (429, 15), (500, 3), (502, 3), (503, 3), (504, 3), (599, 3)]
    + [(status, None) for status in (400, 401, 403, 404, 405, 407, 410, 418, 451)],
)
async def test_what_follows_an_http_status_is_what_the_table_says(status, retry_at):
    connection = WebSocketStore("ws://fake", transport=FakeServer(refuse(status)), reconnect=LINEAR)
    connection.connect()
    await asyncio.sleep(1)
    state = connection.state.value
    assert state.retry_at == retry_at
    assert state.phase == ("waiting" if retry_at else "failed")
    await connection.aclose()


@pytest.mark.contract("RC5", "CN7")
async def test_a_store_returns_after_a_goodbye_and_shows_how_the_server_closed_meanwhile():
    server = FakeServer(accept(), pause(60), close(1000), accept(), pause(60), close(1005))
    errors: list[str | None] = []
    async with WebSocketStore("ws://fake", transport=server, reconnect=LINEAR) as connection:
        connection.state.subscribe(lambda state: errors.append(state.error))
        stream = connection.stream()
        receipt = None
        await connection.ready()
        await asyncio.sleep(61)
        assert connection.state.value.phase == "waiting"
        assert connection.state.value.close == Close(1000, clean=True)
        receipt = connection.send("kept over it")
        await asyncio.sleep(100)
        assert waits(server) == [63, 63]
        assert receipt.state == "sent"
        assert [error for error in dict.fromkeys(errors) if error] == [
            "the server closed the connection with 1000 (normal closure)",
            "the server closed the connection with 1005 (no status received)",
        ]
        server.send("and its streams go on")
        assert (await anext(stream)).data == "and its streams go on"


@pytest.mark.contract("RC5")
@pytest.mark.parametrize("code", [1000, 1005])
@pytest.mark.parametrize("reconnect", [True, Reconnect.exponential(), Reconnect.linear(1)])
async def test_a_provider_keeps_the_guides_rule_unless_it_is_told_to_return(code, reconnect):
    server = FakeServer(accept(), pause(60), close(code))
    async with WebSocketProvider("ws://fake", transport=server, reconnect=reconnect) as connection:
        await asyncio.sleep(3600)
        state = connection.state.value
        assert (state.phase, state.error, state.close.code) == ("closed", None, code)
    server = FakeServer(accept(), pause(60), close(code))
    told = Reconnect.linear(after_goodbye=True)
    async with WebSocketProvider("ws://fake", transport=server, reconnect=told) as connection:
        await asyncio.sleep(3600)
        assert connection.connected.value
        assert waits(server) == [63]


@pytest.mark.contract("RC6")
async def test_a_subprotocol_that_once_worked_is_retried():
    server = FakeServer(accept("chat"), pause(60), drop(), accept("other"), accept("chat"))
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=LINEAR, subprotocols=["chat"]
    ) as connection:
        await asyncio.sleep(64)
        assert "subprotocol" in connection.state.value.error
        await connection.ready()
        assert connection.socket.value.subprotocol == "chat"


# Tokens


class Tokens:
    """A token callable with its memory."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []
        self.serial = 1

    async def headers(self, attempt: Attempt) -> dict[str, str]:
        self.asked.append((attempt.number, attempt.refresh))
        if attempt.refresh:
            self.serial += 1
            await asyncio.sleep(0.5)
        return {"Authorization": f"Bearer {self.serial}"}

    def url(self, attempt: Attempt) -> str:
        self.asked.append((attempt.number, attempt.refresh))
        self.serial += attempt.refresh
        return f"ws://fake?token={self.serial}"


@pytest.mark.contract("RC7", "CN11")
@pytest.mark.parametrize("way", ["headers", "url"])
@pytest.mark.parametrize("status", [401, 403, 407])
async def test_a_refused_token_is_refreshed_once_and_tried_at_once(way, status):
    tokens = Tokens()
    server = FakeServer(refuse(status), accept())
    options = {"headers": tokens.headers} if way == "headers" else {}
    url = tokens.url if way == "url" else "ws://fake"
    async with WebSocketStore(url, transport=server, **options) as connection:
        await connection.ready()
        assert tokens.asked == [(0, False), (0, True)]
        assert times(server) == [0, 0.5 if way == "headers" else 0]
        second = server.handshakes[1].target
        assert (second.headers, second.url) in [
            ((("Authorization", "Bearer 2"),), "ws://fake"),
            ((), "ws://fake?token=2"),
        ]
        await asyncio.sleep(100)
        server.drop()
        await connection.phase.wait_for(lambda phase: phase == "connecting")
        await connection.ready()
        assert tokens.asked[2:] == [(1, False)], "an ordinary retry refreshes nothing"


@pytest.mark.contract("RC7", "CN9")
async def test_a_token_refused_twice_in_a_row_is_the_end():
    tokens = Tokens()
    server = FakeServer(refuse(401), refuse(401), accept())
    connection = WebSocketStore("ws://fake", transport=server, headers=tokens.headers)
    connection.connect()
    with pytest.raises(ConnectionEnded, match="401") as caught:
        await connection.ready()
    assert caught.value.reason == "unauthorised"
    assert tokens.asked == [(0, False), (0, True)]
    connection.connect()
    await connection.ready()
    assert tokens.asked[2:] == [(0, False)]
    await connection.aclose()


@pytest.mark.contract("RC7")
async def test_a_token_that_expires_again_and_again_is_refreshed_each_time():
    tokens = Tokens()
    server = FakeServer(repeat(accept(), pause(600), close(4401, "expired")))
    async with WebSocketStore("ws://fake", transport=server, headers=tokens.headers) as connection:
        await asyncio.sleep(3000)
        assert connection.phase.value in {"open", "connecting"}
        assert tokens.serial == 5
        assert [asked[1] for asked in tokens.asked] == [False, *[True] * 4]


@pytest.mark.contract("RC7")
async def test_an_outage_between_two_refusals_leaves_one_refresh_each():
    tokens = Tokens()
    server = FakeServer(refuse(401), refuse(503), refuse(401), accept())
    async with WebSocketStore(
        "ws://fake", transport=server, headers=tokens.headers, reconnect=EVERY_SECOND
    ) as connection:
        await connection.ready()
    assert tokens.asked == [(0, False), (0, True), (1, False), (1, True)]


@pytest.mark.contract("RC7")
async def test_a_server_that_accepts_and_then_refuses_the_token_is_not_hammered():
    tokens = Tokens()
    server = FakeServer(repeat(accept(), close(4401)))
    connection = WebSocketStore("ws://fake", transport=server, headers=tokens.headers)
    connection.connect()
    with pytest.raises(ConnectionEnded):
        await connection.ready()
        await connection.phase.wait_for(lambda phase: phase == "failed", 1)
        await connection.ready()
    assert len(server.handshakes) == 2


# Retry-After


@pytest.mark.contract("RC8")
@pytest.mark.parametrize(
    ("status", "retry_after", "wait"),
    [
        (503, 12, 12),
        (429, 12, 12),
        (429, 100, 100),
        (503, 301, 300),
        (503, 1e300, 300),
        (503, 0, 1),
        (429, -5, 1),
        (503, float("nan"), 3),
        (503, float("inf"), 3),
        (500, 12, 3),
        (502, 12, 3),
    ],
)
async def test_retry_after_beats_the_schedule_within_reason(status, retry_after, wait):
    server = FakeServer(refuse(status, retry_after=retry_after), accept())
    async with WebSocketStore("ws://fake", transport=server, reconnect=LINEAR) as connection:
        await connection.ready()
    assert waits(server) == [wait]


@pytest.mark.contract("RC8", "RC3")
async def test_retry_after_counts_as_an_attempt_like_any_other():
    server = FakeServer(repeat(refuse(503, retry_after=60)))
    connection = WebSocketStore("ws://fake", transport=server, reconnect=LINEAR)
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    assert waits(server) == [60] * 5


# should_reconnect


@pytest.mark.contract("RC9")
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_predicate_is_asked_before_each_retry_and_may_refuse(is_async):
    asked: list[Outcome] = []

    def decide(outcome: Outcome) -> bool:
        asked.append(outcome)
        return len(asked) < 3

    async def decide_later(outcome: Outcome) -> bool:
        await asyncio.sleep(2)
        return decide(outcome)

    server = FakeServer(refuse(503), accept(), pause(10), close(1011, "bug"), refuse())
    connection = WebSocketStore(
        "ws://fake",
        transport=server,
        reconnect=EVERY_SECOND,
        should_reconnect=decide_later if is_async else decide,
    )
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    assert [outcome.status for outcome in asked] == [503, None, None]
    assert asked[1].close == Close(1011, "bug", clean=True)
    assert connection.state.value.failure.reason == "refused by predicate"
    assert "connection was refused" in connection.state.value.error, "the last error is shown"
    assert len(server.handshakes) == 3
    assert waits(server)[0] == (3 if is_async else 1)


@pytest.mark.contract("RC2", "RC10")
@pytest.mark.parametrize("raises", [False, True])
async def test_a_schedule_that_changes_its_own_connection_is_obeyed_and_its_answer_is_not(raises):
    server = FakeServer(accept(), drop())

    def schedule(attempt: int, outcome: Outcome) -> float:
        connection.connect("ws://other")
        if raises:
            raise ZeroDivisionError("a bug of mine")
        return 1000

    connection = WebSocketStore(
        "ws://fake", transport=server, reconnect=Reconnect(schedule=schedule, min_uptime=0)
    )
    connection.connect()
    while len(server.handshakes) < 2:
        await asyncio.sleep(0)
    await connection.ready(1)
    assert connection.socket.value.url == "ws://other"
    assert times(server) == [0, 0]
    await connection.aclose()


@pytest.mark.contract("RC9")
async def test_a_predicate_is_not_asked_about_what_is_no_retry():
    asked: list[Outcome] = []
    stories = [
        [accept(), close(1000)],
        [refuse(404)],
        [accept(), close(4404)],
        [refuse(401)],
    ]
    for script in stories:
        connection = WebSocketStore(
            "ws://fake",
            transport=FakeServer(*script),
            should_reconnect=asked.append,
            reconnect=Reconnect.exponential(after_goodbye=False),
        )
        connection.connect()
        await connection.phase.wait_for(lambda phase: phase in {"closed", "failed"})
    connection = WebSocketStore("ws://fake", transport=FakeServer(), should_reconnect=asked.append)
    async with connection:
        await connection.ready()
        connection.reconnect()
        await connection.ready()
        connection.connect("ws://other")
        await connection.ready()
    assert asked == []


@pytest.mark.contract("RC9", "CN5")
async def test_a_predicate_that_never_answers_is_cancelled_by_close():
    cancelled: list[bool] = []

    async def ponder(outcome: Outcome) -> bool:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return True

    connection = WebSocketStore(
        "ws://fake", transport=FakeServer(refuse()), should_reconnect=ponder
    )
    connection.connect()
    await asyncio.sleep(100)
    state = connection.state.value
    assert (state.phase, state.retry_at) == ("waiting", None)
    await connection.aclose()
    assert cancelled == [True]


# reconnect()


@pytest.mark.contract("RC10", "CN6")
@pytest.mark.parametrize(
    "phase",
    [
        "idle",
        "asking",
        "handshake",
        "preparing",
        "open",
        "deciding",
        "waiting",
        "closing",
        "closed",
        "goodbye",
        "failed",
    ],
)
async def test_reconnect_opens_anew_at_once_in_every_phase(phase):
    slow_first: list[int] = []

    async def slow_once(answer: object) -> object:
        slow_first.append(1)
        if len(slow_first) == 1:
            await asyncio.sleep(1e6)
        return answer

    async def url(attempt: Attempt) -> str:
        await slow_once(None)
        return "ws://fake"

    script = {
        "handshake": [hang()],
        "deciding": [refuse()],
        "waiting": [refuse()],
        "failed": [refuse(404)],
        "goodbye": [accept(), close()],
    }.get(phase, [])
    server = FakeServer(*script)
    connection = WebSocketStore(
        url if phase == "asking" else "ws://fake",
        transport=server,
        on_open=slow_once if phase == "preparing" else None,
        should_reconnect=slow_once if phase == "deciding" else None,
        reconnect=Reconnect(schedule=lambda attempt, outcome: 1e6, after_goodbye=False),
    )
    if phase != "idle":
        connection.connect()
        await asyncio.sleep(0.5)
    if phase in {"closing", "closed"}:
        connection.close()
        if phase == "closed":
            await turns()
    before = len(server.handshakes)
    connection.reconnect()
    state = connection.state.value
    assert (state.phase, state.attempt) == ("connecting", 0)
    await connection.ready(0.01)
    assert len(server.handshakes) == before + 1
    await asyncio.sleep(1000)
    assert connection.phase.value == "open"
    assert len(server.open_connections) == 1
    await connection.aclose()


@pytest.mark.contract("RC10", "RC3")
async def test_reconnect_resets_the_count_and_works_after_the_attempts_ran_out():
    server = FakeServer()
    server.go_down()
    connection = WebSocketStore("ws://fake", transport=server, reconnect=LINEAR)
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    server.handshakes.clear()
    connection.reconnect()
    assert connection.status.value == "error", "the last error stays until a connection opens"
    await asyncio.sleep(4)
    connection.reconnect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    assert waits(server) == [3, 1, 3, 6, 9, 12, 15]
    server.come_up()
    connection.reconnect()
    await connection.ready()
    assert connection.status.value == "connected"
    await connection.aclose()


@pytest.mark.contract("RC10", "CN11")
async def test_reconnect_asks_the_callables_as_for_a_first_attempt():
    asked: list[Attempt] = []

    def url(attempt: Attempt) -> str:
        asked.append(attempt)
        return "ws://fake"

    server = FakeServer(refuse(), refuse(), accept(), send("hello"))
    async with WebSocketStore(url, transport=server, reconnect=EVERY_SECOND) as connection:
        await asyncio.sleep(1.5)
        connection.reconnect()
        await connection.ready()
    assert [(attempt.number, attempt.refresh) for attempt in asked] == [
        (0, False),
        (1, False),
        (0, False),
    ]
    assert isinstance(asked[1].previous.exception, HandshakeFailed)
    assert asked[0].previous is None


# Nothing grows


def stack_depth() -> int:
    frame, depth = inspect.currentframe(), 0
    while (frame := frame.f_back) is not None:
        depth += 1
    return depth


@pytest.mark.contract("RC11", "RC3")
@pytest.mark.parametrize("story", ["refused", "accepted and dropped", "url raises", "predicate"])
async def test_thousands_of_retries_use_constant_stack_and_memory(story):
    depths: set[int] = set()
    sizes: list[int] = []
    retries = 2000

    def url(attempt: Attempt) -> str:
        depths.add(stack_depth())
        server.handshakes.clear()
        server.connections[:-1] = []
        if attempt.number in {retries // 2, retries - 1}:
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        if story == "url raises":
            raise ValueError("no url today")
        return "ws://fake"

    server = FakeServer(repeat(accept(), drop()) if story == "accepted and dropped" else slow(0))
    if story != "accepted and dropped":
        server.go_down()
    connection = WebSocketStore(
        url,
        transport=server,
        reconnect=Reconnect(schedule=lambda attempt, outcome: 0, attempts=retries),
        should_reconnect=(lambda outcome: True) if story == "predicate" else None,
    )
    tracemalloc.start()
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    tracemalloc.stop()
    assert len(depths) == 1
    early, late = sizes
    assert late - early < 20_000
