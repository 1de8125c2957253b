"""The machine, phase by phase: connecting, closing, stale events, errors and ends."""

import copy
import math

import pytest

from sockstore import (
    Close,
    ConnectionEnded,
    FailureReason,
    Gap,
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    Reconnect,
    SocketInfo,
    StopReconnecting,
)
from sockstore.machine import (
    HandOver,
    Machine,
    Outgoing,
    Queued,
    Refused,
    Settings,
    effects,
    events,
)
from sockstore.protocols import Heartbeat

URL = "ws://server.test/feed"
OTHER_URL = "ws://other.test/feed"
SOCKET = SocketInfo(URL)
REFUSED = HandshakeFailed(URL, "the connection was refused")


class Bench:
    """A machine on a bench: tell it facts, look at the orders it gives."""

    def __init__(self, url=URL, **settings):
        settings.setdefault("reconnect", Reconnect.linear(attempts=5))
        self.machine = Machine(Settings(**settings), url)
        self.now = 100.0
        self.orders = []
        self.transport = 0  # the number of the newest one

    def tell(self, event, after=0.0):
        self.now += after
        self.effects = self.machine.handle(event, self.now)
        for each in self.effects:
            if isinstance(each, effects.OpenTransport):
                self.transport = each.transport
        said = (effects.RetireTransport, effects.RecordDecision, effects.RecordState)
        self.orders = [each for each in self.effects if not isinstance(each, said)]
        return self.orders

    @property
    def state(self):
        return self.machine.state

    def connect(self, url=URL):
        return self.tell(events.ConnectRequested(url))

    def open(self):
        return self.tell(events.TransportOpened(self.transport, SOCKET))

    def fail(self, exception=REFUSED):
        return self.tell(events.AttemptFailed(self.transport, exception))

    def lose(self, code=1006, *, clean=False, after=0.0):
        close = Close(code, clean=clean)
        return self.tell(
            events.TransportClosed(self.transport, close, "the connection broke"), after
        )

    def release(self, transport=None):
        return self.tell(events.TransportReleased(transport or self.transport))

    def wait(self):
        """Let time pass until the machine's deadline."""
        self.now = max(self.now, self.machine.deadline)
        return self.tell(events.DeadlineReached())

    def retry(self):
        """Let time pass until the next attempt starts."""
        while not any(isinstance(each, effects.OpenTransport) for each in self.wait()):
            pass
        return self.orders

    def offer(self, data="hello", **options):
        return self.machine.offer(Outgoing(data, len(data), None), self.now, **options)


def idle(**settings):
    return Bench(**settings)


def connecting(**settings):
    bench = Bench(**settings)
    bench.connect()
    return bench


def preparing(**settings):
    bench = connecting(has_on_open=True, **settings)
    bench.open()
    return bench


def opened(**settings):
    bench = connecting(**settings)
    bench.open()
    return bench


def deciding(**settings):
    bench = connecting(has_predicate=True, **settings)
    bench.fail()
    return bench


def waiting(**settings):
    bench = connecting(**settings)
    bench.fail()
    return bench


def lingering(**settings):
    """Waiting, while the socket of the lost connection is not released yet."""
    bench = opened(**settings)
    bench.lose()
    return bench


def closing(**settings):
    bench = opened(**settings)
    bench.tell(events.CloseRequested())
    return bench


def cancelling(**settings):
    """Closing, while the opening handshake that was cancelled is not gone yet."""
    bench = connecting(**settings)
    bench.tell(events.CloseRequested())
    return bench


def closed(**settings):
    bench = closing(**settings)
    bench.lose(1000, clean=True)
    bench.release()
    return bench


def failed(**settings):
    bench = connecting(**settings)
    bench.fail(StopReconnecting("enough"))
    return bench


PHASES = {
    "idle": idle,
    "connecting": connecting,
    "preparing": preparing,
    "open": opened,
    "deciding": deciding,
    "waiting": waiting,
    "lingering": lingering,
    "closing": closing,
    "cancelling": cancelling,
    "closed": closed,
    "failed": failed,
}
SHOWN = {
    "idle": "idle",
    "connecting": "connecting",
    "preparing": "connecting",
    "open": "open",
    "deciding": "waiting",
    "waiting": "waiting",
    "lingering": "waiting",
    "closing": "closing",
    "cancelling": "closing",
    "closed": "closed",
    "failed": "failed",
}

in_every_phase = pytest.mark.parametrize("phase", PHASES)


# What everyone sees


@pytest.mark.contract("CN2", "CN3")
@in_every_phase
def test_each_phase_is_shown_under_its_public_name(phase):
    assert PHASES[phase]().state.phase == SHOWN[phase]


@pytest.mark.contract("CN2", "CN3")
@in_every_phase
def test_connected_socket_error_and_status_agree_in_every_phase(phase):
    state = PHASES[phase]().state
    assert state.connected == (state.phase == "open") == (state.socket is not None)
    assert not (state.connected and state.error)
    guide = "error" if state.error else "connected" if state.connected else "disconnected"
    assert state.status == guide


@pytest.mark.contract("CN2")
def test_the_snapshot_is_the_same_object_until_something_visible_changes():
    bench = opened()
    before = bench.state
    bench.tell(events.WritingPaused(bench.transport), after=1)
    bench.wait()
    assert bench.state is before


@pytest.mark.contract("CN2")
def test_since_is_when_the_phase_began():
    bench = deciding()
    began = bench.now
    bench.tell(events.PredicateAnswered(1, allowed=True), after=0.5)
    assert bench.state.retry_at == began + 0.5 + 3.0
    assert bench.state.since == began


@pytest.mark.contract("CN14")
def test_a_socket_shows_no_secret_of_its_url_or_headers():
    socket = SocketInfo("wss://me:pass@h/x?token=tok", None, (("Set-Cookie", "sid"), ("A", "b")))
    shown = repr(socket)
    assert not any(secret in shown for secret in ("me", "pass", "tok", "sid"))
    assert "('A', 'b')" in shown


# connect()


@pytest.mark.contract("CN4")
@pytest.mark.parametrize("phase", ["idle", "closing", "cancelling", "closed", "failed"])
def test_connect_starts_an_attempt_where_none_is_live(phase):
    bench = PHASES[phase]()
    old = bench.transport
    orders = bench.connect()
    assert [type(each) for each in orders] == [effects.OpenTransport]
    assert orders[0].transport == old + 1
    assert orders[0].attempt.number == 0
    assert bench.state.phase == "connecting"
    assert bench.state.error is None


@pytest.mark.contract("CN4")
@pytest.mark.parametrize(
    "phase", ["connecting", "preparing", "open", "deciding", "waiting", "lingering"]
)
def test_connect_to_the_same_url_does_nothing_while_one_is_live(phase):
    bench = PHASES[phase]()
    before = bench.state
    assert bench.connect() == []
    assert bench.state is before


@pytest.mark.contract("CN4", "PV6")
@pytest.mark.parametrize(
    ("phase", "retired"),
    [
        ("connecting", effects.AbortTransport(1)),
        ("preparing", effects.CloseTransport(1, 1000, "")),
        ("open", effects.CloseTransport(1, 1000, "")),
        ("deciding", None),
        ("waiting", None),
    ],
)
def test_connect_to_another_url_retires_the_socket_first(phase, retired):
    bench = PHASES[phase]()
    orders = bench.connect(OTHER_URL)
    assert [*orders][:-1] == ([retired] if retired else [])
    assert isinstance(orders[-1], effects.OpenTransport)
    assert orders[-1].transport == 2
    assert bench.state.phase == "connecting"
    assert bench.state.error is None


@pytest.mark.contract("CN4", "CN6")
def test_the_old_socket_is_silent_after_connect_to_another_url():
    bench = opened()
    bench.connect(OTHER_URL)
    assert bench.machine.live_transport is None
    bench.open()
    before = bench.state
    bench.tell(events.TransportClosed(1, Close(1006), "broke"))
    bench.tell(events.TransportReleased(1))
    assert bench.state is before


@pytest.mark.contract("CN4", "CN5")
def test_connect_during_closing_leaves_the_old_closing_handshake_going_on():
    bench = closing()
    bench.connect()
    bench.tell(events.TransportClosed(1, Close(1000, clean=True), "closed"))
    bench.tell(events.TransportReleased(1))
    assert bench.state.phase == "connecting"
    assert bench.open() == [effects.DeliverGap(Gap(None, None, "reconnected"))]
    assert bench.state.connected


# close()


@pytest.mark.contract("CN5")
@in_every_phase
def test_close_is_legal_in_every_phase_and_takes_effect_at_once(phase):
    bench = PHASES[phase]()
    had_transport = phase in {
        "connecting", "preparing", "open", "closing", "cancelling"
    }  # fmt: skip
    bench.tell(events.CloseRequested())
    state = bench.state
    assert state.phase == ("closing" if had_transport else "closed")
    assert (state.connected, state.socket, state.error) == (False, None, None)
    assert bench.machine.live_transport is None


@pytest.mark.contract("CN5")
@in_every_phase
def test_a_second_close_changes_nothing(phase):
    bench = PHASES[phase]()
    bench.tell(events.CloseRequested())
    before = bench.state
    assert bench.tell(events.CloseRequested(4000, "again"), after=1) == []
    assert bench.state is before


@pytest.mark.contract("CN5")
@pytest.mark.parametrize("phase", ["preparing", "open"])
def test_close_gives_its_code_and_reason_to_the_closing_handshake(phase):
    bench = PHASES[phase]()
    assert bench.tell(events.CloseRequested(4001, "bye")) == [
        effects.CloseTransport(1, 4001, "bye")
    ]


@pytest.mark.contract("CN5", "CN12")
def test_close_cuts_an_opening_handshake():
    assert connecting().tell(events.CloseRequested()) == [effects.AbortTransport(1)]


@pytest.mark.contract("CN5")
@pytest.mark.parametrize("ends_cleanly", [True, False])
def test_only_closed_follows_closing_and_it_comes_with_the_release(ends_cleanly):
    bench = closing()
    before = bench.state
    bench.lose(1000 if ends_cleanly else 1006, clean=ends_cleanly)
    assert bench.state is before
    bench.release()
    assert bench.state.phase == "closed"
    assert bench.state.error is None
    assert bench.state.close == Close(1000 if ends_cleanly else 1006, clean=ends_cleanly)
    assert bench.machine.at_rest
    assert bench.machine.deadline == math.inf


@pytest.mark.contract("CN5")
@pytest.mark.parametrize("ends", ["failed attempt", "late open"])
def test_a_cancelled_handshake_ends_in_closed_however_it_ends(ends):
    bench = cancelling()
    if ends == "late open":
        assert bench.open() == [effects.AbortTransport(1)]
        assert bench.state.phase == "closing"
        bench.lose()
        bench.release()
    else:
        bench.fail()
    assert bench.state.phase == "closed"
    assert bench.state.error is None
    assert bench.machine.at_rest


@pytest.mark.contract("CN5")
def test_a_closing_handshake_is_cut_after_close_timeout_once():
    bench = closing(close_timeout=7.0)
    assert bench.machine.deadline == bench.now + 7.0
    assert bench.wait() == [effects.AbortTransport(1)]
    assert bench.tell(events.DeadlineReached(), after=100) == []
    bench.lose()
    bench.release()
    assert bench.state.phase == "closed"


@pytest.mark.contract("CN5", "CN12")
def test_a_handshake_that_ignores_its_cancelling_is_aborted_again():
    bench = connecting(connect_timeout=10.0, close_timeout=5.0)
    assert bench.wait() == [effects.AbortTransport(1)]
    assert bench.state.phase == "waiting"
    assert bench.wait()[0] == effects.OpenTransport(2, bench.orders[0].attempt)
    assert effects.AbortTransport(1) in bench.wait()


@pytest.mark.contract("CN10")
@pytest.mark.parametrize("phase", ["lingering", "closing", "cancelling"])
def test_a_machine_is_not_at_rest_while_a_transport_is_left(phase):
    bench = PHASES[phase]()
    bench.tell(events.CloseRequested())
    assert not bench.machine.at_rest
    bench.release()
    assert bench.machine.at_rest


# Stale events


def stale_events(bench):
    """Every kind of event, from every transport and question that decides nothing here."""
    machine = bench.machine
    live = {phase.transport for phase in [machine.phase] if hasattr(phase, "transport")}
    for number in {*range(1, bench.transport + 1), 99} - live:
        yield events.TransportOpened(number, SOCKET)
        yield events.AttemptFailed(number, REFUSED)
        yield events.AttemptFailed(number, StopReconnecting("stale"))
        yield events.OnOpenFinished(number)
        yield events.OnOpenFinished(number, REFUSED)
        yield events.TransportClosed(number, Close(1006), "broke")
        yield events.TransportClosed(number, Close(1000, clean=True), "bye")
        yield events.TransportReleased(number)
        yield events.PongReceived(number, b"\0\0\0\1")
        yield events.WritingPaused(number)
        yield events.WritingResumed(number)
    for question in (0, 99):
        yield events.PredicateAnswered(question, allowed=True)
        yield events.PredicateAnswered(question, allowed=False)
        yield events.PredicateAnswered(question, allowed=False, exception=OSError("stale"))


@pytest.mark.contract("CN6")
@in_every_phase
def test_stale_events_of_every_kind_change_nothing(phase):
    bench = PHASES[phase]()
    if bench.machine.live_transport or phase == "connecting":
        bench.tell(events.ReconnectRequested(URL))  # an older transport that is still there
        if phase != "connecting":
            bench.open()
    bench.offer("kept")
    before, inside, kept = bench.state, copy.copy(bench.machine.phase), len(bench.machine.outbox)
    for event in stale_events(bench):
        orders = bench.tell(event, after=0.001)
        late_open = isinstance(event, events.TransportOpened)
        assert orders == ([effects.AbortTransport(event.transport)] if late_open else [])
        assert bench.state is before, event
        assert bench.machine.phase == inside, event
        assert len(bench.machine.outbox) == kept


@pytest.mark.contract("CN6")
def test_an_early_deadline_changes_nothing():
    for make in PHASES.values():
        bench = make()
        before = bench.state
        assert bench.tell(events.DeadlineReached(), after=0.1) == []
        assert bench.state is before


# error


@pytest.mark.contract("CN7")
def test_a_failed_attempt_sets_the_error_until_a_connection_opens():
    bench = waiting()
    assert (
        bench.state.error == "cannot connect to ws://server.test/feed: the connection was refused"
    )
    assert bench.state.status == "error"
    bench.wait()
    assert bench.state.phase == "connecting"
    assert bench.state.error is not None
    bench.open()
    assert bench.state.error is None
    assert bench.state.status == "connected"


@pytest.mark.contract("CN7")
def test_a_loss_sets_the_error_and_shows_its_close():
    bench = opened()
    bench.lose(1012, clean=True)
    assert bench.state.error == "the connection broke"
    assert bench.state.close == Close(1012, clean=True)
    bench.wait()
    assert bench.state.close == Close(1012, clean=True)


@pytest.mark.contract("CN7")
def test_what_a_loss_was_caused_by_is_its_cause():
    bench = opened()
    cause = OSError("reset")
    bench.tell(events.TransportClosed(1, Close(1006), "broke", cause))
    assert bench.state.exception.__cause__ is cause


@pytest.mark.contract("CN7")
@pytest.mark.parametrize("event", [events.ConnectRequested(OTHER_URL), events.CloseRequested()])
def test_connect_and_close_clear_the_error(event):
    bench = waiting()
    bench.tell(event)
    assert bench.state.error is None


@pytest.mark.contract("CN7")
def test_connect_after_a_failure_clears_its_error():
    bench = failed()
    assert bench.state.error == "enough"
    bench.connect()
    assert bench.state.error is None


@pytest.mark.contract("CN7")
def test_the_users_own_close_sets_no_error_even_if_it_ends_badly():
    bench = closing()
    bench.lose(1002)
    bench.release()
    assert bench.state.error is None
    assert bench.state.phase == "closed"


# Time limits of an attempt, and on_open


@pytest.mark.contract("CN12")
def test_an_attempt_that_takes_too_long_is_cut_and_counts():
    bench = connecting(connect_timeout=4.0)
    assert bench.machine.deadline == bench.now + 4.0
    assert bench.wait() == [effects.AbortTransport(1)]
    assert bench.state.exception.kind == "timeout"
    assert bench.state.error == f"cannot connect to {URL}: no answer within 4 s"
    assert bench.state.attempt == 1


@pytest.mark.contract("CN14")
def test_a_timeout_shows_no_secret_of_the_url():
    for url, shown in [("ws://me:pass@h/?tok", "ws://***@h/?***"), (lambda _: "", "the server")]:
        bench = Bench(url)
        bench.connect(url)
        bench.wait()
        assert bench.state.exception.url == shown


@pytest.mark.contract("OB2")
def test_a_connection_is_not_open_before_on_open_has_finished():
    bench = connecting(has_on_open=True)
    assert bench.open() == [effects.RunOnOpen(1)]
    assert bench.state.phase == "connecting"
    assert bench.machine.live_transport == 1
    bench.tell(events.OnOpenFinished(1))
    assert bench.state.phase == "open"
    assert bench.state.socket == SOCKET


@pytest.mark.contract("CN11")
def test_on_open_that_raises_is_a_failed_attempt_and_retires_the_socket():
    bench = preparing()
    error = HandshakeFailed(URL, "on_open raised ValueError()", kind="on_open")
    assert bench.tell(events.OnOpenFinished(1, error)) == [effects.CloseTransport(1, 1000, "")]
    assert bench.state.phase == "waiting"
    assert bench.state.exception is error


@pytest.mark.contract("CN11", "CN12")
def test_on_open_that_hangs_is_cut():
    bench = preparing(connect_timeout=4.0)
    assert bench.wait() == [effects.CloseTransport(1, 1000, "")]
    assert bench.state.exception.kind == "on_open"
    assert "on_open took over 4 s" in bench.state.error


@pytest.mark.contract("CN9")
def test_a_connection_that_breaks_during_on_open_is_a_failed_attempt():
    bench = preparing()
    bench.lose()
    assert bench.state.error.endswith("the connection broke, before the connection was open")
    assert isinstance(bench.state.exception, HandshakeFailed)
    assert bench.machine.decision.outcome.uptime is None
    assert bench.tell(events.OnOpenFinished(1)) == []
    assert bench.state.phase == "waiting"


# Ends


def fatal(exception=None, code=None, status=None):
    def end(bench):
        if code is not None:
            bench.open()
            bench.lose(code, clean=True, after=100)
        else:
            http = HandshakeFailed(URL, f"HTTP {status}", kind="http", status=status)
            bench.fail(exception or http)

    return end


def refused_in_its_opening(bench):
    bench.open()
    error = HandshakeFailed(URL, "no such user", kind="refused")
    bench.tell(events.OnOpenFinished(1, error, "fatal"))


def exhausted(bench):
    while bench.state.phase != "failed":
        bench.fail()
        if bench.state.phase == "waiting":
            bench.retry()


def refused_by_predicate(bench):
    bench.fail()
    bench.tell(events.PredicateAnswered(1, allowed=False))


def predicate_raised(bench):
    bench.fail()
    bench.tell(events.PredicateAnswered(1, allowed=False, exception=LookupError("oops")))


CERTIFICATE = HandshakeFailed(URL, "expired", kind="certificate")
SUBPROTOCOL = HandshakeFailed(URL, "no common one", kind="subprotocol")
OFF = {"reconnect": None}
ASKING = {"has_predicate": True}
OWN_WORD = {"reconnect": Reconnect.linear(classify=lambda outcome: "fatal")}


@pytest.mark.contract("CN9", "RC6", "RC9")
@pytest.mark.parametrize(
    ("settings", "end", "reason"),
    [
        ({}, exhausted, FailureReason.ATTEMPTS_EXHAUSTED),
        (OFF, fatal(REFUSED), FailureReason.RECONNECTING_IS_OFF),
        (ASKING, refused_by_predicate, FailureReason.REFUSED_BY_PREDICATE),
        ({}, fatal(StopReconnecting("enough")), FailureReason.STOPPED_BY_CALLABLE),
        ({}, fatal(code=1002), FailureReason.FATAL_CLOSE_CODE),
        ({}, fatal(status=404), FailureReason.FATAL_HTTP_STATUS),
        ({}, fatal(CERTIFICATE), FailureReason.FATAL_TLS),
        ({}, fatal(SUBPROTOCOL), FailureReason.NO_SUBPROTOCOL),
        ({"has_on_open": True}, refused_in_its_opening, FailureReason.REFUSED_BY_SERVER),
        ({}, fatal(InvalidURI("x", "bad")), FailureReason.FATAL_URL),
        ({}, fatal(InvalidOption("headers", "X-A", "bad")), FailureReason.FATAL_OPTION),
        ({}, fatal(status=401), FailureReason.UNAUTHORISED),
        ({}, fatal(code=4401), FailureReason.UNAUTHORISED),
        (OWN_WORD, fatal(REFUSED), FailureReason.CLASSIFIED_AS_FATAL),
        (ASKING, predicate_raised, FailureReason.POLICY_ERROR),
    ],
)
def test_every_terminal_failure_has_its_reason_and_happens_once(settings, end, reason):
    bench = connecting(**settings)
    end(bench)
    state = bench.state
    assert state.phase == "failed"
    assert state.failure.reason is reason
    assert state.failure.reason == str(reason)
    assert state.error
    for event in stale_events(bench):
        bench.tell(event, after=1)
    bench.tell(events.DeadlineReached(), after=1000)
    assert bench.state is state
    assert bench.machine.deadline == math.inf


@pytest.mark.contract("CN9")
def test_no_failure_reason_is_left_without_a_test():
    (marks,) = [
        mark
        for mark in test_every_terminal_failure_has_its_reason_and_happens_once.pytestmark
        if mark.name == "parametrize"
    ]
    assert {reason for _, _, reason in marks.args[1]} == set(FailureReason)


@pytest.mark.contract("CN9")
def test_a_failure_carries_the_exception_beneath_it():
    bench = connecting(reconnect=Reconnect.linear(attempts=1))
    exhausted(bench)
    assert bench.state.failure.exception is REFUSED
    assert bench.state.exception.__cause__ is REFUSED
    assert isinstance(bench.state.exception, ConnectionEnded)
    assert bench.state.exception.reason is FailureReason.ATTEMPTS_EXHAUSTED


BELIEVES_A_GOODBYE = {"reconnect": Reconnect.linear(attempts=5, after_goodbye=False)}


@pytest.mark.contract("CN9", "RC5")
@pytest.mark.parametrize("code", [1000, 1005])
def test_a_goodbye_that_is_believed_closes_without_error(code):
    bench = opened(**BELIEVES_A_GOODBYE)
    bench.lose(code, clean=True, after=0.1)
    assert bench.state.phase == "closed"
    assert bench.state.error is None
    assert bench.state.close.code == code
    assert bench.state.failure is None
    bench.release()
    assert bench.machine.deadline == math.inf
    assert bench.machine.at_rest


# Reconnecting


@pytest.mark.contract("RC1")
def test_the_guides_schedule_waits_3_6_9_12_15_seconds_and_then_fails():
    bench = connecting(reconnect=Reconnect.linear())
    waits, handshakes = [], 1
    while True:
        bench.fail()
        if bench.state.phase == "failed":
            break
        waits.append(bench.state.retry_at - bench.now)
        assert bench.state.attempt == len(waits)
        bench.wait()
        assert bench.orders[0].attempt.number == len(waits)
        handshakes += 1
    assert waits == [3, 6, 9, 12, 15]
    assert handshakes == 6
    assert bench.state.error == "Failed to reconnect after 5 attempts"


@pytest.mark.contract("RC3")
@pytest.mark.parametrize("attempts", [1, 2, 7])
@pytest.mark.parametrize("first", ["failed attempt", "loss"])
def test_attempts_n_means_n_retries_after_the_first_failure(attempts, first):
    bench = connecting(reconnect=Reconnect.linear(attempts=attempts))
    if first == "loss":
        bench.open()
        bench.lose(after=100)
    else:
        bench.fail()
    retries = 0
    while bench.state.phase == "waiting":
        bench.retry()
        retries += 1
        bench.fail()
    assert retries == attempts
    assert bench.state.error == f"Failed to reconnect after {attempts} attempts"


@pytest.mark.contract("RC3")
def test_attempts_0_means_no_retry_and_leaves_the_error_as_it_is():
    bench = connecting(reconnect=Reconnect.linear(attempts=0))
    assert bench.fail() == []
    assert bench.state.failure.reason is FailureReason.RECONNECTING_IS_OFF
    assert bench.state.exception is REFUSED


@pytest.mark.contract("RC3", "RC11")
def test_attempts_none_retries_100_000_times_without_growing():
    bench = connecting(reconnect=Reconnect.linear(interval=0.001, attempts=None))
    handle = bench.machine.handle
    for number in range(1, 100_001):
        handle(events.AttemptFailed(number, REFUSED), bench.now)
        bench.now = bench.machine.deadline
        handle(events.DeadlineReached(), bench.now)
    assert bench.machine.phase.transport == 100_001
    streak = bench.machine.phase.streak
    assert streak.failures == 100_000
    assert streak.previous.exception is REFUSED  # one outcome, and no chain of them
    assert REFUSED.__context__ is None
    handle(events.CloseRequested(), bench.now)
    handle(events.TransportReleased(100_001), bench.now)
    assert bench.machine.at_rest, "no earlier transport is retired"


@pytest.mark.contract("RC11")
def test_connections_that_open_and_break_20_000_times_leave_nothing():
    bench = connecting(reconnect=Reconnect.linear(interval=0.001, attempts=None, min_uptime=0))
    for _ in range(20_000):
        bench.open()
        bench.lose()
        bench.release()
        bench.wait()
    assert bench.state.attempt == 1
    assert bench.state.exception.__context__ is None
    bench.tell(events.CloseRequested())
    bench.release()
    assert bench.machine.at_rest, "no earlier transport is retired"


@pytest.mark.contract("RC4")
def test_a_connection_that_lived_shorter_than_min_uptime_counts_as_a_failed_attempt():
    bench = connecting(reconnect=Reconnect.linear(attempts=2, min_uptime=5))
    for attempt in (1, 2):
        bench.open()
        bench.lose(after=4.99)
        assert bench.state.attempt == attempt
        bench.retry()
    bench.open()
    bench.lose(after=4.99)
    assert bench.state.failure.reason is FailureReason.ATTEMPTS_EXHAUSTED


@pytest.mark.contract("RC4")
def test_a_connection_that_lived_min_uptime_resets_the_count():
    bench = connecting(reconnect=Reconnect.linear(attempts=2, min_uptime=5))
    for _ in range(10):
        bench.open()
        bench.lose(after=5)
        assert bench.state.attempt == 1
        bench.retry()


@pytest.mark.contract("RC4")
def test_opening_alone_does_not_reset_the_count():
    bench = waiting()
    bench.wait()
    bench.open()
    assert bench.state.attempt == 0
    bench.lose()
    assert bench.state.attempt == 2


@pytest.mark.contract("RC5", "CN7")
@pytest.mark.parametrize("after_goodbye", [None, True])
@pytest.mark.parametrize("code", [1000, 1005])
def test_a_goodbye_after_which_one_returns_is_a_loss(code, after_goodbye):
    bench = opened(reconnect=Reconnect.linear(after_goodbye=after_goodbye))
    bench.offer("waits through it")
    bench.tell(events.WritingPaused(1))
    bench.offer("waits through it")
    assert bench.lose(code, clean=True, after=100) == []
    assert bench.state.phase == "waiting"
    assert (bench.state.status, bench.state.error) == ("error", "the connection broke")
    assert bench.state.close.code == code
    assert bench.state.retry_at == bench.now + 3
    assert len(bench.machine.outbox) == 1


@pytest.mark.contract("RC5", "RC4")
def test_a_server_that_accepts_and_says_goodbye_at_once_is_not_hammered():
    bench = opened(reconnect=Reconnect.linear(interval=3, attempts=4, min_uptime=5))
    waits = []
    while bench.lose(1000, clean=True, after=0.1) == [] and bench.state.phase == "waiting":
        waits.append(bench.state.retry_at - bench.now)
        bench.release()
        bench.retry()
        bench.open()
    assert waits == pytest.approx([3, 6, 9, 12])
    assert bench.state.error == "Failed to reconnect after 4 attempts"
    assert bench.state.close.code == 1000


@pytest.mark.contract("RC5")
@pytest.mark.parametrize("policy", [None, Reconnect.linear(attempts=0)])
def test_a_goodbye_is_no_error_where_reconnecting_is_off(policy):
    bench = opened(reconnect=policy)
    bench.lose(1000, clean=True)
    assert (bench.state.phase, bench.state.error) == ("closed", None)


@pytest.mark.contract("RC6")
def test_an_own_classification_that_raises_is_a_policy_error_that_names_it():
    def wrong(outcome):
        raise LookupError("oops")

    bench = opened(reconnect=Reconnect.linear(classify=wrong))
    bench.lose(4406, clean=True)
    assert bench.state.error == "policy error: Reconnect(classify=) raised LookupError('oops')"
    assert bench.state.failure.reason is FailureReason.POLICY_ERROR


@pytest.mark.contract("RC6")
def test_an_own_classification_that_says_nonsense_is_a_policy_error_that_shows_it():
    bench = opened(reconnect=Reconnect.linear(classify=lambda outcome: "maybe"))
    bench.lose(4406, clean=True)
    assert "returned 'maybe', which is not one of 'retry', 'throttle'," in bench.state.error
    assert bench.state.failure.reason is FailureReason.POLICY_ERROR


@pytest.mark.contract("RC6")
def test_an_own_classification_that_closes_the_connection_has_decided():
    def close_it(outcome):
        bench.tell(events.CloseRequested())

    bench = opened(reconnect=Reconnect.linear(classify=close_it))
    bench.lose(4406, clean=True)
    assert bench.state.phase == "closed"


def http(status, retry_after=None):
    return HandshakeFailed(
        URL, f"HTTP {status}", kind="http", status=status, retry_after=retry_after
    )


@pytest.mark.contract("RC7")
@pytest.mark.parametrize("status", [401, 403, 407])
def test_unauthorised_asks_the_callables_anew_and_tries_at_once(status):
    bench = connecting(can_refresh=True)
    (opening,) = bench.fail(http(status))
    assert opening.attempt.refresh
    assert opening.attempt.number == 0
    assert opening.attempt.previous.status == status
    assert bench.state.phase == "connecting"


@pytest.mark.contract("RC7")
def test_a_callable_url_can_be_asked_anew_too():
    url = lambda attempt: URL
    bench = Bench(url)
    bench.connect(url)
    (opening,) = bench.fail(http(401))
    assert opening.attempt.refresh


@pytest.mark.contract("RC7")
def test_unauthorised_twice_in_a_row_is_terminal():
    bench = connecting(can_refresh=True)
    bench.fail(http(401))
    bench.fail(http(403))
    assert bench.state.failure.reason is FailureReason.UNAUTHORISED


@pytest.mark.contract("RC7")
def test_unauthorised_without_a_callable_is_terminal_at_once():
    bench = connecting()
    bench.fail(http(401))
    assert bench.state.failure.reason is FailureReason.UNAUTHORISED


@pytest.mark.contract("RC7")
@pytest.mark.parametrize(("code", "uptime"), [(1008, 1), (3000, 100), (4401, 100), (4403, 100)])
def test_a_close_code_that_says_unauthorised_refreshes_too(code, uptime):
    bench = opened(can_refresh=True)
    opening = bench.lose(code, clean=True, after=uptime)[-1]
    assert opening.attempt.refresh
    bench.open()
    bench.lose(code, clean=True, after=1)
    assert bench.state.failure.reason is FailureReason.UNAUTHORISED


@pytest.mark.contract("RC7")
def test_after_a_connection_that_lived_a_refresh_is_due_again():
    bench = connecting(can_refresh=True)
    bench.fail(http(401))
    bench.open()
    bench.lose(4401, clean=True, after=100)
    assert bench.state.phase == "connecting"
    assert bench.orders[-1].attempt.refresh


@pytest.mark.contract("RC7")
def test_a_refresh_that_ends_otherwise_is_followed_by_an_ordinary_retry():
    bench = connecting(can_refresh=True)
    bench.fail(http(401))
    bench.fail()
    assert bench.state.phase == "waiting"
    (opening,) = bench.wait()
    assert not opening.attempt.refresh


@pytest.mark.contract("RC8")
@pytest.mark.parametrize(
    ("status", "asked", "waits"),
    [(429, 12, 12), (503, 12, 12), (503, 9999, 300), (429, 301, 300), (503, 0, 1), (500, 12, 3)],
)
def test_retry_after_beats_the_schedule_within_bounds(status, asked, waits):
    bench = connecting(reconnect=Reconnect.linear())
    bench.fail(http(status, retry_after=asked))
    assert bench.state.retry_at - bench.now == waits


@pytest.mark.contract("RC6")
@pytest.mark.parametrize("how", ["HTTP 429", "close 1013", "close 4429"])
def test_a_throttling_server_is_given_at_least_the_schedules_fifth_step(how):
    bench = connecting(reconnect=Reconnect.linear(attempts=None))
    if how == "HTTP 429":
        bench.fail(http(429))
    else:
        bench.open()
        bench.lose(int(how[-4:]), clean=True, after=100)
    assert bench.state.attempt == 1
    assert bench.state.retry_at - bench.now == 15
    for _ in range(6):
        bench.retry()
        bench.fail(http(429))
    assert bench.state.retry_at - bench.now == 21


@pytest.mark.contract("RC9")
def test_the_predicate_is_asked_before_each_retry_and_told_the_outcome():
    bench = connecting(has_predicate=True)
    (asking,) = bench.fail()
    assert isinstance(asking, effects.AskPredicate)
    assert asking.outcome.exception is REFUSED
    assert bench.machine.asks(asking.question)
    assert bench.state.phase == "waiting"
    assert bench.state.retry_at is None
    bench.tell(events.PredicateAnswered(asking.question, allowed=True), after=1)
    assert bench.state.retry_at == bench.now + 3
    assert not bench.machine.asks(asking.question)


@pytest.mark.contract("RC9")
def test_a_predicate_may_refuse_and_the_last_error_stays_to_be_seen():
    bench = deciding()
    bench.tell(events.PredicateAnswered(1, allowed=False))
    assert bench.state.failure.reason is FailureReason.REFUSED_BY_PREDICATE
    assert bench.state.exception is REFUSED


@pytest.mark.contract("RC9")
def test_a_predicate_is_asked_about_a_goodbye_and_its_refusal_shows_how_the_server_closed():
    bench = opened(has_predicate=True)
    (asking,) = bench.lose(1000, clean=True)
    assert asking.outcome.close.code == 1000
    bench.tell(events.PredicateAnswered(1, allowed=False))
    assert bench.state.error == "the connection broke"
    assert bench.state.failure.reason is FailureReason.REFUSED_BY_PREDICATE


@pytest.mark.contract("RC9")
def test_a_predicate_that_raises_is_a_policy_error_that_names_it():
    bench = deciding()
    error = LookupError("oops")
    bench.tell(events.PredicateAnswered(1, allowed=False, exception=error))
    assert bench.state.error == "policy error: should_reconnect raised LookupError('oops')"
    assert bench.state.failure.reason is FailureReason.POLICY_ERROR
    assert bench.state.exception.__cause__ is error


@pytest.mark.contract("RC9")
@pytest.mark.parametrize("returned", [-1, float("nan"), float("inf"), None, "3", True, 10**400, 1j])
def test_a_schedule_that_returns_nonsense_is_a_policy_error(returned):
    bench = connecting(reconnect=Reconnect(schedule=lambda attempt, outcome: returned))
    bench.fail()
    assert bench.state.failure.reason is FailureReason.POLICY_ERROR
    assert bench.state.error.startswith("policy error: the reconnect schedule raised ")


@pytest.mark.contract("RC9")
def test_a_schedule_that_raises_is_a_policy_error_with_its_cause():
    def schedule(attempt, outcome):
        raise KeyError("my bug")

    bench = connecting(reconnect=Reconnect(schedule=schedule))
    bench.fail()
    assert bench.state.error == "policy error: the reconnect schedule raised KeyError('my bug')"
    assert isinstance(bench.state.failure.exception, KeyError)


@pytest.mark.contract("RC9")
@in_every_phase
def test_the_predicate_is_never_asked_about_the_users_own_close(phase):
    if phase == "deciding":
        return
    bench = PHASES[phase](has_predicate=True)
    orders = bench.tell(events.CloseRequested())
    orders += bench.lose() + bench.release()
    assert not any(isinstance(each, effects.AskPredicate) for each in orders)


@pytest.mark.contract("RC10")
@in_every_phase
def test_reconnect_starts_an_uncounted_attempt_in_every_phase(phase):
    bench = PHASES[phase]()
    old = bench.transport
    opening = bench.tell(events.ReconnectRequested(URL))[-1]
    assert isinstance(opening, effects.OpenTransport)
    assert opening.transport == old + 1
    assert opening.attempt.number == 0
    assert bench.state.phase == "connecting"
    assert bench.state.attempt == 0


@pytest.mark.contract("RC10", "CN6")
@pytest.mark.parametrize(
    ("phase", "retired"),
    [
        ("connecting", effects.AbortTransport(1)),
        ("preparing", effects.CloseTransport(1, 1000, "")),
        ("open", effects.CloseTransport(1, 1000, "")),
    ],
)
def test_reconnect_retires_the_socket_it_replaces(phase, retired):
    assert PHASES[phase]().tell(events.ReconnectRequested(URL))[0] == retired


@pytest.mark.contract("RC10")
def test_reconnect_works_after_the_attempts_ran_out_and_gives_all_of_them_again():
    bench = connecting(reconnect=Reconnect.linear(attempts=2))
    for _ in range(2):
        bench.fail()
        bench.wait()
    bench.fail()
    assert bench.state.phase == "failed"
    bench.tell(events.ReconnectRequested(URL))
    assert bench.state.error == "Failed to reconnect after 2 attempts"
    for attempt in (1, 2):
        bench.fail()
        assert bench.state.attempt == attempt
        bench.wait()
    bench.fail()
    assert bench.state.phase == "failed"


@pytest.mark.contract("RC10")
def test_reconnect_skips_a_wait_whose_end_then_changes_nothing():
    bench = waiting()
    until = bench.machine.deadline
    bench.tell(events.ReconnectRequested(URL))
    before = bench.state
    bench.now = until
    assert bench.tell(events.DeadlineReached()) == []
    assert bench.state is before


# Sending


@pytest.mark.contract("OB2")
@pytest.mark.parametrize(
    ("phase", "answer"),
    [
        ("idle", Queued),
        ("connecting", Queued),
        ("preparing", Queued),
        ("open", HandOver),
        ("deciding", Queued),
        ("waiting", Queued),
        ("lingering", Queued),
        ("closing", Refused),
        ("cancelling", Refused),
        ("closed", Refused),
        ("failed", Refused),
    ],
)
def test_what_becomes_of_a_message_depends_on_the_phase(phase, answer):
    bench = PHASES[phase]()
    offer = bench.offer()
    assert isinstance(offer, answer)
    assert answer is not Refused or offer.why
    assert len(bench.machine.outbox) == (answer is Queued)


@pytest.mark.contract("OB2")
@in_every_phase
def test_without_an_outbox_a_message_is_handed_over_or_refused(phase):
    bench = PHASES[phase](outbox=None)
    expected = HandOver if phase == "open" else Refused
    assert isinstance(bench.offer(), expected)


def drain(bench):
    taken = []
    while (offer := bench.machine.next_to_send(bench.now)) is not None:
        taken.append(offer.data)
    return taken


@pytest.mark.contract("OB2")
def test_queued_messages_leave_in_order_after_the_open():
    bench = connecting()
    for number in range(5):
        bench.offer(str(number))
    assert drain(bench) == []
    assert bench.open() == [effects.FlushOutbox()]
    assert drain(bench) == ["0", "1", "2", "3", "4"]


@pytest.mark.contract("OB2")
def test_what_on_open_sends_goes_before_what_waits():
    bench = connecting(has_on_open=True)
    bench.offer("waits")
    bench.open()
    assert isinstance(bench.offer("hello", from_on_open=True), HandOver)
    assert isinstance(bench.offer("later"), Queued)
    assert drain(bench) == []
    assert bench.tell(events.OnOpenFinished(1)) == [effects.FlushOutbox(), effects.DeliverLeft(1)]
    assert drain(bench) == ["waits", "later"]


@pytest.mark.contract("OB2")
def test_a_message_sent_while_others_wait_goes_behind_them():
    bench = connecting()
    bench.offer("first")
    bench.open()
    assert isinstance(bench.offer("second"), Queued)
    assert drain(bench) == ["first", "second"]
    assert isinstance(bench.offer("third"), HandOver)


@pytest.mark.contract("OB2")
@pytest.mark.parametrize("end", ["loss", "reconnect"])
def test_what_waits_is_kept_across_a_reconnect_in_order(end):
    bench = connecting()
    for text in ("a", "b", "c"):
        bench.offer(text)
    bench.open()
    assert bench.machine.next_to_send(bench.now).data == "a"
    if end == "loss":
        bench.lose()
        assert drain(bench) == []
        bench.retry()
    else:
        bench.tell(events.ReconnectRequested(URL))
    bench.offer("d")
    bench.open()
    assert drain(bench) == ["b", "c", "d"]


@pytest.mark.contract("OB2")
@pytest.mark.parametrize(
    ("event", "words"),
    [
        (events.CloseRequested(), "closed"),
        (events.AttemptFailed(1, StopReconnecting("enough")), "failed: enough"),
        (events.ConnectRequested(OTHER_URL), "another url"),
        (events.ReconnectRequested(OTHER_URL), "another url"),
    ],
)
def test_close_failure_and_another_url_drop_what_waits(event, words):
    bench = connecting()
    bench.offer("secret of this server")
    (settled,) = [each for each in bench.tell(event) if isinstance(each, effects.SettleReceipts)]
    assert settled.state == "dropped"
    assert words in settled.why
    assert [entry.data for entry in settled.entries] == ["secret of this server"]
    assert len(bench.machine.outbox) == 0


@pytest.mark.contract("OB2")
def test_a_goodbye_drops_what_waits():
    bench = opened(**BELIEVES_A_GOODBYE)
    bench.tell(events.WritingPaused(1))
    bench.offer()
    (settled,) = bench.lose(1000, clean=True)
    assert settled.state == "dropped"


@pytest.mark.contract("OB2")
def test_messages_queued_before_the_first_connect_never_reach_another_url():
    bench = idle()
    bench.offer("for the first url")
    orders = bench.connect(OTHER_URL)
    assert isinstance(orders[0], effects.SettleReceipts)


@pytest.mark.contract("OB2")
def test_messages_queued_before_any_url_is_known_wait_for_the_first_one():
    bench = Bench(None)
    bench.offer()
    assert not any(isinstance(each, effects.SettleReceipts) for each in bench.connect())
    assert len(bench.machine.outbox) == 1


@pytest.mark.contract("OB4")
def test_above_the_high_water_mark_messages_wait_in_the_outbox():
    bench = opened()
    bench.tell(events.WritingPaused(1))
    assert isinstance(bench.offer("a"), Queued)
    assert drain(bench) == []
    assert bench.tell(events.WritingResumed(1)) == [effects.FlushOutbox()]
    assert drain(bench) == ["a"]
    assert bench.tell(events.WritingResumed(1)) == []


@pytest.mark.contract("OB4")
def test_writing_that_pauses_during_on_open_is_still_paused_when_open():
    bench = preparing()
    bench.tell(events.WritingPaused(1))
    bench.offer()
    bench.tell(events.OnOpenFinished(1))
    assert drain(bench) == []
    bench.tell(events.WritingResumed(1))
    assert drain(bench) == ["hello"]


# What was handed over


@pytest.mark.contract("OB3")
def test_what_was_handed_over_before_a_ping_is_proven_by_its_pong():
    bench = opened()
    before = bench.machine.flight
    (ping,) = bench.wait()
    after = bench.machine.flight
    bench.tell(events.PongReceived(1, ping.payload))
    assert (before.proven, after.proven) == (True, False)
    bench.lose()
    assert (before.lost, after.lost) == (False, True)
    assert bench.machine.flight is None


@pytest.mark.contract("OB3")
def test_a_pong_that_nobody_asked_for_proves_nothing():
    bench = opened()
    flight = bench.machine.flight
    bench.wait()
    bench.tell(events.PongReceived(1, b"who am I"))
    assert not flight.proven


@pytest.mark.contract("OB3")
@pytest.mark.parametrize("clean", [True, False])
def test_only_a_clean_answer_to_our_close_proves_what_was_sent(clean):
    bench = opened()
    sealed = bench.machine.flight
    bench.wait()
    current = bench.machine.flight
    bench.tell(events.CloseRequested())
    assert (current.proven, current.lost) == (False, False)
    bench.lose(1000 if clean else 1006, clean=clean)
    bench.release()
    assert [(each.proven, each.lost) for each in (sealed, current)] == [(clean, not clean)] * 2


@pytest.mark.contract("OB3")
def test_a_clean_close_by_the_server_leaves_what_was_sent_unknown():
    bench = opened()
    flight = bench.machine.flight
    bench.lose(1012, clean=True)
    assert flight.lost


@pytest.mark.contract("OB3")
@pytest.mark.parametrize(
    "event", [events.ReconnectRequested(URL), events.ConnectRequested(OTHER_URL)]
)
def test_what_went_over_a_replaced_socket_is_settled_by_its_own_end(event):
    bench = opened()
    flight = bench.machine.flight
    bench.tell(event)
    assert not flight.lost
    bench.tell(events.TransportClosed(1, Close(1000, clean=True), "closed"))
    assert flight.proven


@pytest.mark.contract("OB3")
def test_a_released_transport_that_never_said_how_it_ended_proves_nothing():
    bench = opened()
    flight = bench.machine.flight
    bench.tell(events.CloseRequested())
    bench.release()
    assert flight.lost


# Liveness


@pytest.mark.contract("LV1")
def test_a_silent_peer_is_noticed_within_interval_plus_timeout():
    bench = opened(ping_interval=20.0, ping_timeout=15.0)
    began = bench.now
    (ping,) = bench.wait()
    assert (bench.now, ping) == (began + 20, effects.SendPing(1, b"\0\0\0\1"))
    orders = bench.wait()
    assert bench.now == began + 35
    assert orders == [effects.AbortTransport(1)]
    assert bench.state.error == "no answer to ping"
    assert bench.state.phase == "waiting"
    assert bench.state.close == Close(1006)


@pytest.mark.contract("LV1", "OB3")
def test_a_lost_connection_is_aborted_and_what_was_sent_is_unknown_at_once():
    bench = opened()
    flight = bench.machine.flight
    bench.wait()
    bench.wait()
    assert flight.lost
    bench.tell(events.TransportClosed(1, Close(1000, clean=True), "too late"))
    assert flight.lost
    assert not flight.proven


@pytest.mark.contract("LV1")
def test_a_peer_that_answers_is_pinged_for_ever():
    bench = opened()
    for heard in range(100):
        bench.now = bench.machine.deadline
        bench.tell(events.DeadlineReached(heard))
    assert bench.state.connected


@pytest.mark.contract("LV3")
def test_an_idle_connection_ends_although_pongs_flow():
    bench = opened(idle_timeout=50.0, ping_interval=20.0)
    began = bench.now
    heard = 0
    while bench.state.connected:
        heard += 1
        bench.now = bench.machine.deadline
        bench.tell(events.DeadlineReached(heard, last_message_at=None))
    assert bench.now == began + 50
    assert bench.state.error == "no message for 50 s"


@pytest.mark.contract("LV4")
def test_a_loop_that_was_blocked_gives_the_peer_one_more_ping_and_says_so():
    bench = opened(ping_interval=20.0, ping_timeout=20.0)
    bench.wait()
    warning, ping = bench.tell(events.DeadlineReached(), after=20 + 13)
    assert isinstance(warning, effects.Warn)
    assert "blocked for at least 13.0 s" in warning.text
    assert ping == effects.SendPing(1, b"\0\0\0\2")
    assert bench.state.connected
    bench.wait()
    assert bench.state.error == "no answer to ping"


@pytest.mark.contract("OB3")
def test_a_server_that_closes_in_the_same_moment_does_not_prove_what_was_sent():
    bench = opened()
    flight, transport = bench.machine.flight, bench.transport
    bench.tell(events.CloseRequested(1000))
    bench.tell(events.TransportClosed(transport, Close(1001, clean=True), "going away"))
    assert flight.lost


# A transport that cannot ping


@pytest.mark.contract("LV1", "LV5")
@pytest.mark.parametrize("hint", ["resume", "online"])
def test_where_nothing_can_be_pinged_waking_up_costs_no_connection(hint):
    bench = Bench(can_ping=False, ping_interval=None)
    bench.connect()
    bench.open()
    assert bench.tell(events.Hinted(hint, 0), after=5) == []
    assert bench.tell(events.Slept(3600, 0)) == []
    assert bench.machine.deadline == math.inf
    assert bench.state.connected


@pytest.mark.contract("LV2", "LV5")
def test_where_nothing_can_be_pinged_waking_up_sends_the_heartbeat():
    heartbeat = Heartbeat("ping", reply="pong")
    bench = Bench(can_ping=False, ping_interval=None, heartbeat=heartbeat)
    bench.connect()
    bench.open()
    beat = effects.SendHeartbeat(bench.transport, heartbeat)
    assert bench.tell(events.Hinted("resume", 0), after=1) == [beat]
