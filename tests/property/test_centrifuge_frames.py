"""Frames of a Centrifugo server: the hot path and the careful one say the same; nothing raises."""

import json
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centrifuge_kit import OURS, Talk, history
from sockstore import Position
from sockstore.protocols import Failed, Missed, Raised, Received, Subscribed, WireSubscription

FRAMES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "integration" / "centrifugo_frames.jsonl")
    .read_text()
    .splitlines()
]
STORIES = {story: list(steps) for story, steps in groupby(FRAMES, key=lambda each: each["story"])}

texts = st.sampled_from(["", "x", "Ann", "é", "\u2028", '"', "\\"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | texts | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def fields(**kinds):
    """An object with some of these fields; now and then one of them is anything."""
    optional = {name: kind | anything for name, kind in kinds.items()}
    return st.fixed_dictionaries({}, optional=optional)


publications = st.builds(
    lambda offset, data, more: {**({} if offset is None else {"offset": offset}), **data, **more},
    st.none() | st.integers(0, 6) | st.sampled_from([1.0, True, "1", -1, 2**64]),
    st.just({}) | anything.map(lambda data: {"data": data}) | st.just({"data": {"n": 1}}),
    fields(tags=fields(id=texts), info=fields(user=texts, client=texts), epoch=texts),
)
channels = st.sampled_from(["a", "a", "a", "b", "c"])
broken = st.sampled_from(
    [
        '{"push":{"channel":"a","pub":{"data":1e400,"offset":1}}}',
        '{"push":{"channel":"a","pub":{"data":"\\ud800","offset":1}}}',
        '{"push":{"channel":"a","pub":{"data":' + "[" * 2000 + "]" * 2000 + ',"offset":1}}}',
        '{"push":{"channel":"a","pub":{"data":' + "1" * 5000 + ',"offset":2}}}',
        '{"push":{"channel":"a","pub":{"data":{"n":01},"offset":1}}}',
        '{"push":{"channel":"a","pub":{"offset":1,"data":1}}} x',
        '{"push":{"channel":"a","pub":{"offset":1,"data":1},"pub":null}}',
        '{"push":{"channel":"a","pub":{"offset":1,"data":1}},"id":2}',
        '{"push"',
        '{"push":{}}',
        '{"push":{"channel":"a","unsubscribe":{"code":2500}}}',
    ]
)
lines = broken | st.builds(
    lambda channel, pub: json.dumps({"push": {"channel": channel, "pub": pub}}),
    channels,
    publications,
)
sequences = st.lists(st.lists(lines, min_size=1, max_size=3).map("\n".join), max_size=12)


def opened(*, keeps_history):
    """Return a conversation in two rooms, and the rooms."""
    talk = Talk.opened(OURS)
    answer = history() if keeps_history else {}
    return talk, [talk.room("a", answer), talk.room("b", answer)]


def lines_taken(talk, frame):
    """Take the lines of a frame that are news; return what is said of them, and the rest."""
    said = []
    for news in talk.conversation.news([frame], talk.now):
        if isinstance(news, str):
            assert frame.endswith(news)
            return said, news
        assert news.again(news.frame) == (news.data, news.place())
        said.append((news.subscription, repr(news.data), news.place()))
        is_last = not news.more
    assert is_last
    return said, ""


def told(talk, rooms, frames, *, is_careful):
    """Return all that is said of these frames, in words that can be compared."""
    said = []
    for frame in frames:
        rest = frame
        if not is_careful:
            taken, rest = lines_taken(talk, frame)
            said += [(rooms.index(room), *what) for room, *what in taken]
        if not rest:
            continue
        for output in talk.hear_text(rest):
            match output:
                case Received(data=data, subscription=subscription, publication=place):
                    said.append((rooms.index(subscription), repr(data), place))
                case Raised():
                    said.append("raised")
                case _:
                    said.append(type(output))
    places = [talk.protocol.position(room) for room in rooms]
    return said, [len(frame) for frame in talk.frames], places


@pytest.mark.contract("SE1", "SE5")
@given(frames=sequences, keeps_history=st.booleans())
@settings(max_examples=500, deadline=None)
def test_the_hot_path_says_what_the_careful_one_says(frames, keeps_history):
    fast = told(*opened(keeps_history=keeps_history), frames, is_careful=False)
    slow = told(*opened(keeps_history=keeps_history), frames, is_careful=True)
    assert fast == slow


@pytest.mark.contract("SE0")
@given(
    frames=st.lists(st.text(max_size=5) | st.binary(max_size=5) | lines | anything.map(json.dumps))
)
@settings(deadline=None)
def test_nothing_that_a_server_says_raises(frames):
    talk, _ = opened(keeps_history=True)
    for frame in frames:
        talk.hear_text(frame)


# What the real engine said


def played(story):
    """Play a recorded story up to its first command that is not ours; return what was said."""
    talk, rooms, numbers, said = Talk(), {}, {}, []
    written = talk.commands()
    for step in STORIES[story]:
        for command in map(json.loads, step.get("client", "{}").split("\n")):
            name = next((each for each in command if each != "id"), None)
            if name == "subscribe":
                said += ask(talk, rooms, command["subscribe"])
            elif name == "publish":
                talk.send(rooms["r"], json.dumps(command["publish"]["data"]))
            elif name not in {"connect", None}:
                return talk, rooms, said
            written += talk.commands()
            if name is not None:
                numbers[command["id"]] = written[-1]["id"]
        if "server" in step:
            said += talk.hear_text(renumbered(step["server"], numbers))
    return talk, rooms, said


def ask(talk, rooms, fields):
    since = Position(fields["offset"], fields["epoch"]) if "recover" in fields else None
    params = {"join_leave": True} if "join_leave" in fields else {}
    room = rooms[fields["channel"]] = WireSubscription(fields["channel"], params, since=since)
    return talk.ask_for(room)


def renumbered(text, numbers):
    answers = [json.loads(line) for line in text.split("\n")]
    for answer in answers:
        if "id" in answer:
            answer["id"] = numbers[answer["id"]]
    return "\n".join(map(json.dumps, answers))


@pytest.mark.contract("SE5")
@pytest.mark.parametrize(
    ("story", "messages", "recovered", "top"),
    [
        ("fresh room, three publications", 3, None, 3),
        ("epoch", 0, None, 3),
        ("recover from 1 of 3: two publications", 2, True, 3),
        ("recover from 3 of 3: nothing missed", 0, True, 3),
        ("recover with another epoch", 0, False, 3),
        ("recover from 9, which is behind the newest (3)", 0, False, 3),
        ("recover from 0", 3, True, 3),
        ("live after a recovery", 2, True, 4),
        ("recover from 1 of 150, trimmed, second", 0, False, 150),
        ("connect and three rooms in one message", 2, True, 4),
    ],
)
def test_what_the_real_engine_said(story, messages, recovered, top):
    talk, rooms, said = played(story)
    room = list(rooms.values())[-1]
    assert sum(isinstance(each, Received) for each in said) == messages
    assert [each.recovered for each in said if isinstance(each, Subscribed)][-1] is recovered
    assert any(isinstance(each, Missed) for each in said) is (recovered is False)
    assert talk.protocol.position(room).offset == top
    assert not any(isinstance(each, Failed) for each in said)
