"""JSON is kept as it came, and decoded for who looks."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from types import FrameType
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import Message, MessageView
from sockstore.messages.kept import CHUNK
from sockstore.transports.native.incoming import BINARY, TEXT, after_frames, short_messages
from written_log import WrittenLog, WrittenStream


def fail(*what: object) -> None:
    raise AssertionError(what)


def fill(log: WrittenLog, *texts: str) -> None:
    log.writer.begin_slice()
    log.writer.extend(iter(texts), json.loads, lambda text, _: log.writer.append(text, "text"))
    log.writer.end_slice()


@pytest.mark.contract("MS2")
def test_a_view_shows_what_a_callback_was_given_as_a_value_of_its_own():
    log = WrittenLog(10, report=fail)
    given_: list[Message] = []
    log.on_append(given_.append)
    fill(log, '{"price": 1}', "no JSON", "[2]")
    view = log.value
    assert list(view) == given_
    assert [message.kind for message in view] == ["json", "text", "json"]
    assert view[0].data is not given_[0].data
    given_[0].data["price"] = 7
    assert view[0].data == {"price": 1}


@pytest.mark.contract("MS2")
def test_who_looks_twice_sees_the_same_object():
    log = WrittenLog(10, report=fail)
    fill(log, '{"a": 1}')
    assert log.value[0] is log.value[0]


@pytest.mark.contract("MS2")
def test_each_message_is_decoded_when_its_turn_comes_and_once():
    log = WrittenLog(CHUNK + 50, report=fail)
    fill(log, *["1"] * 2 * CHUNK)
    with mock.patch("sockstore.messages.kept.decode_json", side_effect=json.loads) as decode:
        messages = iter(log.value)
        for read in range(1, 60):
            assert next(messages).number == CHUNK - 50 + read
            assert decode.call_count == read
        assert len(list(messages)) == CHUNK + 50 - 59
        assert len(list(log.value)) == decode.call_count == CHUNK + 50


@pytest.mark.contract("MS2")
@given(
    slices=st.lists(st.integers(1, CHUNK + 3), max_size=6), history=st.sampled_from([None, 3, 300])
)
def test_each_message_has_the_number_and_the_time_of_its_slice(slices, history):
    log = WrittenLog(history, report=fail)
    model: list[tuple[int, float]] = []
    for index, size in enumerate(slices):
        with mock.patch("sockstore.messages.writer.time", lambda at=index: float(at)):
            log.writer.begin_slice()
        log.writer.extend(iter(["1"] * size), json.loads, fail)
        model += [(len(model) + n, float(index)) for n in range(1, size + 1)]
    seen = [(message.number, message.received_at) for message in log.value]
    assert seen == [(n, at) for n, at in model[len(model) - len(log) :]]


def look_while(log: WrittenLog, meanwhile: Callable[[], None], after: int) -> MessageView | None:
    """Look at a log; after so many lines, let something else happen as if in its thread.

    Returns:
        What was seen; None if looking has fewer lines.
    """
    count = 0

    def trace(_frame: FrameType, event: str, _: object) -> object:
        nonlocal count
        if event == "line":
            count += 1
            if count == after:
                meanwhile()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        view = log.value
    finally:
        sys.settrace(before)
    return view if count >= after else None


@pytest.mark.contract("MS2")
@pytest.mark.parametrize("history", [None, 1, 3, 300])
@pytest.mark.parametrize("come", [1, 300, 1000])
def test_another_thread_may_look_while_messages_come(history, come):
    for after in count(1):
        log = WrittenLog(history, report=fail)
        fill(log, *(json.dumps({"n": n}) for n in range(1, 700)))
        more = [json.dumps({"n": n}) for n in range(700, 700 + come)]
        view = look_while(log, partial(fill, log, *more), after)
        if view is None:
            break
        for message in (view[0], view[-1]):
            assert message.data == {"n": message.number}
        assert view[-1].number in {699, 699 + come}
    assert after > 4, "looking was not interrupted"


def test_nothing_is_kept_of_a_log_without_history():
    log = WrittenLog(0, report=fail)
    told: list[object] = []
    log.on_append(lambda message: told.append(message.data))
    fill(log, *["1"] * (CHUNK + 1))
    assert (len(told), len(log.value), log.total) == (CHUNK + 1, 0, CHUNK + 1)


@pytest.mark.contract("MS4")
def test_readers_of_different_limits_never_lag_while_they_wait():
    """A batch is no larger than the half of what the most impatient reader can hold."""
    log = WrittenLog(10, report=fail)
    texts = iter(["1"] * 100)
    stream = WrittenStream(limit=4)
    log.add(stream)
    log.writer.begin_slice()
    log.writer.extend(texts, json.loads, fail)
    assert stream.lag == 2
    assert len(list(texts)) == 98, "what was not taken is left in the iterator"


KINDS = st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.text(max_size=200)), max_size=12)


@given(messages=KINDS, many=st.integers(1, 20), cut=st.integers(0, 30))
def test_short_messages_are_the_first_whole_ones_of_one_kind(messages, many, cut):
    frames = []
    for first, text in messages:
        data = text.encode()
        size = len(data)
        header = (
            bytes((first, size)) if size < 126 else bytes((first, 126, *size.to_bytes(2, "big")))
        )
        frames.append(header + data)
    whole = b"".join(frames)
    buffer = whole[: max(0, len(whole) - cut)]
    is_text, found, at = short_messages(buffer, 0, 2**20, many)
    kinds = [first for first, _ in messages]
    expected = [text if is_text else text.encode() for _, text in messages][: len(found)]
    assert found == expected
    assert len(found) <= many
    assert set(kinds[: len(found)]) <= {TEXT if is_text else BINARY}
    assert at == sum(map(len, frames[: len(found)])) == after_frames(buffer, 0, len(found))


def test_without_msgspec_a_record_is_a_frozen_dataclass(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    records = importlib.reload(importlib.import_module("sockstore.base.records"))
    try:

        class Point(records.Record, frozen=True):
            x: int
            y: int = 0

        assert Point(1) == Point(1, 0)
        assert repr(Point(1)).endswith("Point(x=1, y=0)")
        with pytest.raises(AttributeError):
            Point(1).x = 2
    finally:
        monkeypatch.undo()
        importlib.reload(records)


@pytest.mark.contract("MS4")
def test_a_patient_log_is_patient_again_when_the_impatient_reader_has_gone():
    log = WrittenLog(10, report=fail)

    def left_of_a_hundred() -> int:
        texts = iter(["1"] * 100)
        log.writer.begin_slice()
        log.writer.extend(texts, json.loads, fail)
        return len(list(texts))

    patient, impatient = WrittenStream(limit=100), WrittenStream(limit=2)
    log.add(patient)
    log.add(impatient)
    assert left_of_a_hundred() == 99
    del impatient
    assert left_of_a_hundred() == 50
    del patient
    assert left_of_a_hundred() == 0
