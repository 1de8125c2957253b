"""Frames, exactly as PROTOCOL.md has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from sockstore.cli import main
from sockstore.server import Limits, frames
from sockstore.server.frames import ChatMessage, Draft, ErrorCode, FrameError

pytestmark = pytest.mark.contract("SV6")

PROTOCOL = (Path(__file__).parent.parent.parent / "PROTOCOL.md").read_text()
MESSAGE = ChatMessage("Ann", "<i>grüße</i>", "2026-05-01T10:00:00Z", "0" * 32, 7)
AS_JSON = (
    '{"type":"message","sender":"Ann","content":"<i>grüße</i>",'
    '"timestamp":"2026-05-01T10:00:00Z","id":"00000000000000000000000000000000","offset":7}'
)


def test_the_frames_of_the_server_are_exact():
    assert frames.encode_message(MESSAGE) == AS_JSON
    assert frames.encode_history([MESSAGE]) == f'{{"type":"history","messages":[{AS_JSON}]}}'
    assert frames.encode_join(None, "t", 2) == (
        '{"type":"join","sender":null,"timestamp":"t","count":2}'
    )
    assert frames.encode_leave("Ann", "t", 1) == (
        '{"type":"leave","sender":"Ann","timestamp":"t","count":1}'
    )
    assert frames.encode_presence(["Ann", None], 2) == (
        '{"type":"presence","members":["Ann",null],"count":2}'
    )
    assert frames.encode_error("not_stored", "Try later.") == (
        '{"type":"error","code":"not_stored","message":"Try later."}'
    )


def test_what_a_client_says_is_content_and_perhaps_a_timestamp():
    assert frames.parse('{"content":" a\\n"}') == Draft(" a\n", None)
    assert frames.parse('{"type":"chat","content":"a","timestamp":"now"}') == Draft("a", "now")
    assert frames.parse('{"content":"a","timestamp":null,"x":[1,{}]}') == Draft("a", None)


@pytest.mark.parametrize("frame", ["", "a", "{", '{"content":"\\ud83d"}', '{"content":NaN}'])
def test_what_is_no_json_is_refused(frame):
    with pytest.raises(FrameError) as refused:
        frames.parse(frame)
    assert refused.value.code == "invalid_json"


def test_the_protocol_lists_every_error_code():
    for code in get_args(ErrorCode):
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
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"(default: {limits.rate:g})" in shown
    assert f"(default: {limits.max_message_bytes})" in shown


def test_the_rules_of_the_protocol_are_numbered_without_a_gap():
    numbers = [int(number) for number in re.findall(r"^- \*\*P(\d+)\*\*", PROTOCOL, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
