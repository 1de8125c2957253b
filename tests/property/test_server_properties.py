"""Properties of the server's pure parts: no input crashes them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.base.token_bucket import TokenBucket
from sockstore.server import Limits, admission
from sockstore.server.admission import Handshake, Refused
from sockstore.server.plain import frames
from sockstore.server.plain.frames import ChatMessage, FrameError, HistoryRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FRAMES = st.one_of(
    st.binary(),
    st.text(),
    JSON.map(json.dumps),
    st.fixed_dictionaries({"content": JSON}, optional={"timestamp": JSON}).map(json.dumps),
    st.fixed_dictionaries(
        {"type": st.just("history") | JSON},
        optional={
            "before": st.integers() | JSON,
            "limit": st.integers(-1, 102) | JSON,
            "content": JSON,
        },
    ).map(json.dumps),
)


@pytest.mark.contract("SV4", "SV6")
@given(FRAMES)
def test_a_frame_is_a_draft_a_request_or_an_error_with_a_code_and_a_sentence(frame):
    try:
        said = frames.parse(frame)
    except FrameError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.code
        assert refused.message.endswith(".")
    elif isinstance(said, HistoryRequest):
        assert "content" not in json.loads(frame)
        assert 1 <= said.before < 2**53
        assert 1 <= said.limit <= 100
    else:
        assert json.loads(frame)["content"] == said.content
        assert said.content.strip()
        message = ChatMessage(None, said.content, said.timestamp or "", "id", 1)
        assert json.loads(frames.encode(message))["content"] == said.content


@pytest.mark.contract("SV3")
@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=300).filter(str.strip),
    st.booleans(),
)
def test_what_comes_in_within_the_limit_goes_out_within_reach(content, escaped):
    frame = json.dumps({"content": content}, ensure_ascii=escaped)
    draft = frames.parse(frame)
    message = ChatMessage("x" * 64, draft.content, "9" * 64, "0" * 32, 2**53)
    overhead = len(frames.encode(ChatMessage("x" * 64, "", "9" * 64, "0" * 32, 2**53)))
    out = frames.encode(message).encode()
    assert len(out) <= len(frame.encode()) + overhead
    assert overhead < Limits().buffer_bytes - 2 * Limits().max_message_bytes


@pytest.mark.contract("SV4")
@given(st.text() | st.text(st.characters(categories=["L", "N", "M", "P", "C"])))
def test_a_room_is_refused_or_stays_the_same_when_it_is_checked_again(name):
    try:
        checked = admission.check_room(name)
    except Refused as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.status == 404
    else:
        assert 1 <= len(checked) <= 64
        assert admission.check_room(checked) == checked
        assert "/" not in checked


@pytest.mark.contract("SV4")
@given(
    st.lists(
        st.tuples(st.sampled_from([b"origin", b"host", b"authorization", b"x"]), st.binary()),
        max_size=5,
    ),
    st.binary(),
    st.sets(st.sampled_from(["https://a.example", "null"])),
)
def test_no_handshake_crashes_the_door(headers, query, allowed):
    refused = None
    try:
        handshake = Handshake.read(headers, query)
        admission.check_origin(handshake, frozenset(allowed))
        admission.check_name(handshake.query.get("name"))
        assert handshake.token is None or isinstance(handshake.token, str)
    except Refused as error:
        refused = error
    if refused is not None:
        assert refused.status in {400, 403}
        assert refused.message.endswith(".")
        assert refused.message.isprintable()


@pytest.mark.contract("SV3")
@given(
    st.floats(0.01, 1000),
    st.integers(1, 100),
    st.lists(st.floats(0, 10), max_size=200),
)
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(rate, burst, waits):
    bucket = TokenBucket(rate, burst, 0.0)
    now, given_out = 0.0, 0
    for wait in waits:
        now += wait
        given_out += bucket.take(now)
        assert given_out <= burst + rate * now + 1e-6
