"""Frames, exactly as PROTOCOL.md has them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from sockstore.cli import main
from sockstore.server import Limits
from sockstore.server.plain import frames

pytestmark = pytest.mark.contract("SV6")

PROTOCOL = (Path(__file__).parents[4] / "PROTOCOL.md").read_text()
MESSAGE = frames.ChatMessage("Ann", "<i>grüße</i>", "2026-05-01T10:00:00Z", "0" * 32, 7)
AS_JSON = (
    '{"type":"message","sender":"Ann","content":"<i>grüße</i>",'
    '"timestamp":"2026-05-01T10:00:00Z","id":"00000000000000000000000000000000","offset":7}'
)


def test_the_frames_of_the_server_are_exact():
    assert frames.encode(MESSAGE) == AS_JSON
    assert frames.encode(frames.History(UNSET, [MESSAGE], more=True)) == (
        f'{{"type":"history","messages":[{AS_JSON}],"more":true}}'
    )
    assert frames.encode(frames.History(7, [], more=False)) == (
        '{"type":"history","before":7,"messages":[],"more":false}'
    )
    assert frames.encode(frames.Join(None, "t", 2)) == (
        '{"type":"join","sender":null,"timestamp":"t","count":2}'
    )
    assert frames.encode(frames.Leave("Ann", "t", 1)) == (
        '{"type":"leave","sender":"Ann","timestamp":"t","count":1}'
    )
    assert frames.encode(frames.Presence(["Ann", None], 2)) == (
        '{"type":"presence","members":["Ann",null],"count":2}'
    )
    assert frames.encode(frames.Error("not_stored", "Try later.")) == (
        '{"type":"error","code":"not_stored","message":"Try later."}'
    )


def test_what_a_client_says_is_content_and_perhaps_a_timestamp():
    assert frames.parse('{"content":" a\\n"}') == frames.Draft(" a\n", None)
    assert frames.parse('{"type":"chat","content":"a","timestamp":"now"}') == frames.Draft(
        "a", "now"
    )
    assert frames.parse('{"content":"a","timestamp":null,"x":[1,{}]}') == frames.Draft("a", None)


def test_what_a_client_asks_for_is_a_page_before_an_offset():
    assert frames.parse('{"type":"history","before":7}') == frames.HistoryRequest(7, 100)
    assert frames.parse('{"before":1,"limit":1,"type":"history","x":[]}') == frames.HistoryRequest(
        1, 1
    )
    assert frames.parse('{"type":"history","before":0,"content":"a"}') == frames.Draft("a", None)


@pytest.mark.parametrize(
    "fields",
    [
        "",
        ',"before":0',
        ',"before":-1',
        ',"before":9007199254740992',
        ',"before":1e400',
        ',"before":1.5',
        ',"before":"1"',
        ',"before":true',
        ',"before":null',
        ',"before":1,"limit":0',
        ',"before":1,"limit":101',
        ',"before":1,"limit":null',
    ],
)
def test_a_request_with_a_wrong_value_is_told_what_would_be_right(fields):
    with pytest.raises(frames.FrameError) as refused:
        frames.parse(f'{{"type":"history"{fields}}}')
    assert refused.value.code == "invalid_message"
    assert '"before": offset' in refused.value.message


@pytest.mark.parametrize("frame", ["[]", '{"type":"chat"}', '{"type":"history","content":null}'])
def test_what_is_neither_is_told_how_to_say_something(frame):
    with pytest.raises(frames.FrameError) as refused:
        frames.parse(frame)
    assert refused.value.code == "invalid_message"
    assert '"content": text' in refused.value.message


@pytest.mark.parametrize("frame", ["", "a", "{", '{"content":"\\ud83d"}', '{"content":NaN}'])
def test_what_is_no_json_is_refused(frame):
    with pytest.raises(frames.FrameError) as refused:
        frames.parse(frame)
    assert refused.value.code == "invalid_json"


def test_the_protocol_lists_every_error_code():
    for code in get_args(frames.ErrorCode):
        assert f"| `{code}` |" in PROTOCOL


def test_the_protocol_and_the_help_tell_the_defaults_as_they_are(capsys):
    limits = Limits()
    assert limits.max_message_bytes == 64 * 1024
    assert limits.buffer_bytes == 1024 * 1024
    for told in (
        "64 KiB",
        f"{limits.rate:g} a second, {limits.burst} at once",
        f"{limits.buffer_messages:,} frames or 1 MiB",
        f"| {limits.clients:,} | 503",
        f"last {limits.history_messages} messages",
        f"more than {limits.announced_members} clients",
        f"| {limits.close_seconds:g} s |",
    ):
        assert told in PROTOCOL, told
    assert main(["serve", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"(default: {limits.rate:g})" in shown
    assert f"(default: {limits.max_message_bytes})" in shown


def test_the_rules_of_the_protocol_are_numbered_without_a_gap():
    numbers = [int(number) for number in re.findall(r"^- \*\*P(\d+)\*\*", PROTOCOL, re.MULTILINE)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


# Whatever comes

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


@pytest.mark.contract("SV4")
@given(FRAMES)
def test_a_frame_is_a_draft_a_request_or_an_error_with_a_code_and_a_sentence(frame):
    try:
        said = frames.parse(frame)
    except frames.FrameError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.code
        assert refused.message.endswith(".")
    elif isinstance(said, frames.HistoryRequest):
        assert "content" not in json.loads(frame)
        assert 1 <= said.before < 2**53
        assert 1 <= said.limit <= 100
    else:
        assert json.loads(frame)["content"] == said.content
        assert said.content.strip()
        message = frames.ChatMessage(None, said.content, said.timestamp or "", "id", 1)
        assert json.loads(frames.encode(message))["content"] == said.content


@pytest.mark.contract("SV3")
@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=300).filter(str.strip),
    st.booleans(),
)
def test_what_comes_in_within_the_limit_goes_out_within_reach(content, escaped):
    frame = json.dumps({"content": content}, ensure_ascii=escaped)
    draft = frames.parse(frame)
    message = frames.ChatMessage("x" * 64, draft.content, "9" * 64, "0" * 32, 2**53)
    overhead = len(frames.encode(frames.ChatMessage("x" * 64, "", "9" * 64, "0" * 32, 2**53)))
    out = frames.encode(message).encode()
    assert len(out) <= len(frame.encode()) + overhead
    assert overhead < Limits().buffer_bytes - 2 * Limits().max_message_bytes
