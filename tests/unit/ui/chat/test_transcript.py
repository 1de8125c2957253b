"""The lines of a chat: what is shown, once, in order, and never as markup."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import Message
from sockstore.protocols import Publication
from sockstore.ui.chat.lines import Page
from sockstore.ui.chat.transcript import Conversation, Post, Transcript

MOMENT = "2026-03-01T12:00:00.000Z"


def received(*data: object) -> list[Message]:
    return [
        Message(one, "text" if isinstance(one, str) else "json", number, 0.0)
        for number, one in enumerate(data, 1)
    ]


def transcript(messages: list[Message], posts: list[Post] = ()) -> Transcript:
    conversation = Conversation()
    conversation.read(messages)
    return conversation.merge(posts)


def live(number: int, content: str = "hello", sender: str | None = "Ann") -> dict[str, object]:
    return {
        "type": "message",
        "sender": sender,
        "content": content,
        "timestamp": MOMENT,
        "id": f"m{number}",
        "offset": number,
    }


@dataclass
class Fate:
    """A receipt, as far as a chat looks at it."""

    state: str
    id: str | None = None
    offset: int | None = None


def post(content: str, timestamp: str = MOMENT, state: str = "sent") -> Post:
    return Post(content, timestamp, Fate(state))


@pytest.mark.contract("UI3")
def test_a_message_shows_sender_content_and_time():
    [line] = transcript(received(live(1))).lines
    assert (line.sender, line.content, line.time) == ("Ann", "hello", "2026-03-01T12:00:00+00:00")
    assert line.mark is None
    assert line.kind == "message"


@pytest.mark.contract("UI3")
@pytest.mark.parametrize("sender", [None, "", 7, ["Ann"]])
def test_a_message_without_a_sender_is_from_anonymous(sender):
    [line] = transcript(received({"content": "hi", "sender": sender})).lines
    assert line.sender == "Anonymous"


@pytest.mark.contract("UI3")
def test_plain_text_is_a_line_without_a_sender():
    [line] = transcript(received("just text")).lines
    assert (line.content, line.sender, line.time) == ("just text", None, None)


@pytest.mark.contract("UI3")
def test_markup_stays_the_text_that_it_is():
    text = "<script>alert(1)</script> **bold** [red]x[/red]"
    assert transcript(received(live(1, text))).lines[0].content == text


@pytest.mark.contract("UI3")
@pytest.mark.contract("SV6")
def test_history_after_a_reconnect_doubles_nothing_and_adds_what_was_missed():
    messages = received(
        {"type": "history", "messages": [live(1), live(2)]},
        live(3),
        {"type": "history", "messages": [live(2), live(3), live(4)]},
        live(5),
    )
    assert [line.key for line in transcript(messages).lines] == [f"id m{n}" for n in range(1, 6)]


def test_messages_without_an_id_are_told_apart_by_their_number():
    same = {"content": "again"}
    assert len(transcript(received(same, same)).lines) == 2


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        (MOMENT, "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T14:00:00+02:00", "2026-03-01T12:00:00+00:00"),
        (1772366400000, "2026-03-01T12:00:00+00:00"),
        ("yesterday", None),
        (None, None),
        (float("nan"), None),
        (1e300, None),
        ({}, None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_times_are_read_as_javascript_would_and_nonsense_is_no_time(timestamp, time):
    [line] = transcript(received({"content": "x", "timestamp": timestamp})).lines
    assert line.time == time


@pytest.mark.contract("UI3")
def test_who_comes_and_goes_is_a_notice_and_an_error_says_so():
    lines = transcript(
        received(
            {"type": "presence", "members": ["Ann"], "count": 1},
            {"type": "join", "sender": "Bob"},
            {"type": "leave", "sender": None},
            {"type": "error", "code": "invalid", "message": "send {content}"},
        )
    ).lines
    assert [(line.kind, line.content) for line in lines] == [
        ("notice", "Bob joined"),
        ("notice", "Anonymous left"),
        ("error", "send {content}"),
    ]


@pytest.mark.contract("UI3")
@pytest.mark.parametrize(
    ("state", "mark"),
    [
        ("queued", "queued"),
        ("sent", "sent"),
        ("acknowledged", "acknowledged"),
        ("expired", "failed"),
        ("dropped", "failed"),
        ("refused", "failed"),
        ("unknown", "failed"),
    ],
)
def test_an_own_message_that_is_not_back_stands_last_with_its_mark(state, mark):
    lines = transcript(received(live(1)), [post("mine", state=state)]).lines
    assert [(line.content, line.mark) for line in lines] == [("hello", None), ("mine", mark)]


@pytest.mark.contract("UI3")
def test_an_own_message_that_came_back_is_one_line_marked_acknowledged():
    mine = post("mine")
    shown = transcript(received(live(1, "mine")), [mine])
    assert [(line.content, line.mark) for line in shown.lines] == [("mine", "acknowledged")]
    assert shown.returned == (mine,)


def test_an_own_message_that_came_back_and_has_left_the_log_is_not_shown_again():
    mine = post("mine")
    mine.returned = True
    assert transcript(received(live(2, "later")), [mine]).lines[-1].content == "later"


def test_the_same_text_of_somebody_else_at_another_time_is_theirs():
    shown = transcript(received(live(1, "mine")), [post("mine", "2026-03-01T12:00:01.000Z")])
    assert [line.mark for line in shown.lines] == [None, "sent"]


def test_two_own_messages_of_the_same_moment_are_two():
    posts = [post("mine"), post("mine")]
    shown = transcript(received(live(1, "mine")), posts)
    assert [line.mark for line in shown.lines] == ["acknowledged", "sent"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "content", "sender", "timestamp", "id", "messages", "members"])
            | st.text(max_size=3),
            inner | st.sampled_from(["history", "presence", "join", "leave", "error", "message"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(ANYTHING, max_size=6))
def test_nothing_that_a_server_sends_breaks_the_page(story):
    messages = received(*story)
    lines = transcript(messages, [post("mine")]).lines
    assert len({line.key for line in lines}) == len(lines)
    assert all(isinstance(line.content, str) for line in lines)


@pytest.mark.contract("UI3")
def test_an_own_message_that_never_came_back_stays_where_it_was_sent():
    lost = post("lost", state="unknown")
    lost.after = 1
    lines = transcript(received(live(1), live(2, "later")), [lost]).lines
    assert [line.content for line in lines] == ["hello", "lost", "later"]


@pytest.mark.contract("UI3")
def test_an_own_message_keeps_its_line_and_its_sender_when_it_comes_back():
    first, second = post("one"), post("two")
    before = transcript(received(live(1, "one")), [first, second]).lines
    after = transcript(received(live(1, "one"), live(2, "two")), [first, second]).lines
    assert [line.key for line in before] == [line.key for line in after]
    assert [line.sender for line in before] == ["Ann", "Ann"]


@pytest.mark.contract("UI3")
def test_a_text_that_nobody_else_has_is_shown_whole():
    text = "x" * 100_000
    [line] = transcript([], [post(text, state="unknown")]).lines
    assert line.content == text
    [line] = transcript(received(live(1, text)), [post(text)]).lines
    assert len(line.content) < len(text)
    assert line.mark == "acknowledged"


def test_a_conversation_reads_each_message_once_and_forgets_the_oldest_lines():
    conversation = Conversation()
    messages = received(*(live(number) for number in range(3000)))
    for end in range(0, 3001, 100):
        conversation.read(messages[max(0, end - 1000) : end])
        lines = conversation.merge().lines
    assert [line.key for line in lines] == [f"id m{number}" for number in range(2000, 3000)]
    conversation.read(messages[-1000:])
    assert conversation.merge().lines == lines


def test_a_history_frame_of_any_size_is_bounded():
    frame = {"type": "history", "messages": [live(number) for number in range(5000)]}
    assert len(transcript(received(frame)).lines) == 1000


@pytest.mark.contract("UI3", "SE0")
def test_a_message_of_a_room_is_the_senders_who_speaks_for_nobody_else():
    def told(data, sender="Ann", message_id="m1"):
        return Message(data, "json", 1, 0.0, Publication(1, "e", message_id, sender))

    [line] = transcript([told({"content": "hello", "timestamp": "2026-05-01T10:00:00Z"})]).lines
    assert (line.sender, line.content, line.offset) == ("Ann", "hello", 1)
    assert line.time == "2026-05-01T10:00:00+00:00"
    for forged in (
        {"type": "join", "sender": "Bob"},
        {"type": "history", "messages": [{"sender": "Bob", "content": "I resign"}]},
        {"type": "error", "message": "the end"},
        {"type": "presence", "members": ["Bob"]},
        ["I", "resign"],
        "text",
    ):
        [line] = transcript([told(forged)]).lines
        assert (line.sender, line.kind) == ("Ann", "message"), forged
    [line] = transcript([told({"content": "x", "sender": "Bob", "id": "other", "offset": 9})]).lines
    assert (line.sender, line.offset) == ("Ann", 1)
    [line] = transcript([told("text", sender=None, message_id=None)]).lines
    assert (line.sender, line.content) == ("Anonymous", "text")


def published(
    number: int,
    content: str = "hello",
    *,
    message_id: str | None = None,
    sender: str = "Ann",
    epoch: str = "e",
    log_number: int | None = None,
) -> Message:
    data = {"content": content, "timestamp": MOMENT}
    publication = Publication(number, epoch, message_id or f"m{number}", sender)
    return Message(data, "json", number if log_number is None else log_number, 0.0, publication)


def stored(content: str, message_id: str, offset: int | None = None) -> Post:
    return Post(content, MOMENT, Fate("acknowledged", message_id, offset))


@pytest.mark.contract("UI3", "SE2")
def test_an_own_message_of_a_room_is_known_by_the_id_of_its_receipt_alone():
    mine = stored("hello", "m2")
    lines = transcript([published(1), published(2, "changed"), published(3)], [mine]).lines
    assert [line.mark for line in lines] == [None, "acknowledged", None]


@pytest.mark.contract("UI3", "SE2")
def test_a_message_that_copies_an_id_is_somebody_elses():
    mine = stored("hello", "m1", offset=1)
    copied = published(2, message_id="m1", sender="Eve")
    lines = transcript([published(1), copied], [mine]).lines
    assert [(line.sender, line.mark) for line in lines] == [("Ann", "acknowledged"), ("Eve", None)]


@pytest.mark.contract("UI3", "SE2")
def test_where_a_room_gives_no_ids_an_own_message_is_known_by_its_text_and_time():
    data = {"content": "hello", "timestamp": MOMENT}
    message = Message(data, "json", 1, 0.0, Publication(None, "", None, None))
    [line] = transcript([message], [stored("hello", "m1")]).lines
    assert line.mark == "acknowledged"


@pytest.mark.contract("UI3")
def test_messages_that_were_sent_before_a_reload_are_known_once_it_is_known_who_the_user_is():
    conversation = Conversation()
    conversation.read([published(1), published(2, "mine")])
    assert [line.mark for line in conversation.merge().lines] == [None, None]
    conversation.recognise_by(lambda *said: said[:2] == ("m2", "mine"))
    conversation.read([published(3, "mine")])
    assert [line.mark for line in conversation.merge().lines] == [None, "acknowledged", None]


@pytest.mark.contract("UI3", "SU9")
def test_a_page_of_a_room_stands_before_what_was_received():
    conversation = Conversation()
    conversation.read([published(7, log_number=1), published(8, log_number=2)])
    conversation.read_page(Page((published(5, log_number=0), published(6, log_number=0)), 7))
    conversation.read_page(Page((published(7, log_number=0), published(8, log_number=0)), None))
    assert [line.offset for line in conversation.merge().lines] == [5, 6, 7, 8]


@pytest.mark.contract("UI3", "SU9")
@pytest.mark.parametrize(
    "page", [{"epoch": "other"}, {"message_id": "another"}], ids=["epoch", "fork"]
)
def test_a_page_of_another_log_stands_after_the_old_one(page):
    conversation = Conversation()
    conversation.read([published(1), published(2)])
    conversation.read_page(Page((published(2, "new", **page, log_number=0),), None))
    assert [line.content for line in conversation.merge().lines] == ["hello", "hello", "new"]


@pytest.mark.contract("UI3")
def test_members_who_come_and_go_are_told_where_they_do():
    conversation = Conversation()
    conversation.see_members(["Ann"])
    conversation.read([published(1)])
    conversation.see_members(["Ann", "Bob"])
    conversation.read([published(2)])
    conversation.see_members(["Ann", None])
    told = [line.content for line in conversation.merge().lines]
    assert told == ["hello", "Bob joined", "hello", "Bob left", "Anonymous joined"]
    conversation.see_members(["Ann", "Bob", None])
    told = [line.content for line in conversation.merge().lines]
    assert told == ["hello", "Bob joined", "hello", "Anonymous joined"]


def entry(*numbers: int, more: bool = True) -> dict[str, object]:
    return {"type": "history", "messages": [live(number) for number in numbers], "more": more}


def page(before: int, *numbers: int) -> dict[str, object]:
    return {**entry(*numbers), "before": before}


def told(lines) -> list[object]:
    """Offsets of messages, and the texts of everything else."""
    return [
        line.offset if line.kind == "message" and line.offset else line.content for line in lines
    ]


@pytest.mark.contract("UI3", "SV6")
def test_older_pages_stand_before_what_is_newer_whenever_they_come():
    lines = transcript(received(entry(7, 8), live(9), page(7, 5, 6), live(10), page(5, 3, 4))).lines
    assert told(lines) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert [line.key for line in lines] == [f"id m{number}" for number in range(3, 11)]


@pytest.mark.contract("UI3", "SV6")
def test_what_a_page_brings_again_is_one_line():
    lines = transcript(received(entry(3, 4), page(3, 1, 2), page(4, 2, 3), live(5), live(4))).lines
    assert told(lines) == [1, 2, 3, 4, 5]


@pytest.mark.contract("UI3")
def test_what_has_no_offset_stays_behind_what_was_the_newest_when_it_came():
    joined = {"type": "join", "sender": "Bob", "count": 2}
    story = [
        entry(7, 8),
        joined,
        live(9),
        "text",
        page(7, 5, 6),
        {"type": "leave", "sender": "Bob"},
    ]
    assert told(transcript(received(*story, live(10))).lines) == [
        *(5, 6, 7, 8, "Bob joined", 9, "text", "Bob left", 10),
    ]


@pytest.mark.contract("UI3")
def test_what_came_before_the_first_offset_stands_above_it_and_below_older_pages():
    early = post("early", state="unknown")
    early.after = 0
    lines = transcript(received("first", "second", entry(7, 8), page(7, 5, 6)), [early]).lines
    assert told(lines) == [5, 6, "early", "first", "second", 7, 8]


@pytest.mark.contract("UI3")
@pytest.mark.parametrize(
    ("missed", "text"),
    [
        (1, "1 message is missing here"),
        (12, "12 messages are missing here"),
        (1500, "1,500 messages are missing here"),
    ],
)
def test_messages_that_were_missed_are_a_gap_until_they_come(missed, text):
    after = missed + 3
    story = [
        entry(1, 2),
        {"type": "leave", "sender": "Bob"},
        entry(after, after + 1),
        live(after + 2),
    ]
    lines = transcript(received(*story)).lines
    assert told(lines) == [1, 2, "Bob left", text, after, after + 1, after + 2]
    assert (lines[3].kind, lines[3].offset) == ("gap", after)


@pytest.mark.contract("UI3")
def test_a_gap_shrinks_page_by_page_under_one_key():
    story = [entry(1, 2), entry(7, 8), page(7, 5, 6), page(5, 4), page(4, 3)]
    shown = [transcript(received(*story[:count])).lines for count in range(2, 6)]
    gaps = [[line for line in lines if line.kind == "gap"] for lines in shown]
    assert [[gap.content[:1] for gap in each] for each in gaps] == [["4"], ["2"], ["1"], []]
    assert [[gap.offset for gap in each] for each in gaps] == [[7], [5], [4], []]
    assert len({gap.key for each in gaps for gap in each}) == 1
    assert told(shown[-1]) == [*range(1, 9)]


@pytest.mark.contract("UI3")
def test_another_log_of_the_same_room_stands_behind_the_one_that_is_gone():
    def other(number: int) -> dict[str, object]:
        return {**live(number), "id": f"other {number}"}

    def again(*numbers: int) -> dict[str, object]:
        return {**entry(*numbers), "messages": [other(number) for number in numbers]}

    old = [entry(4, 5), "text"]
    for new in (
        [again(1, 2), other(3)],
        [again(4, 5), other(6)],
        [again(), other(5), other(6)],
        [entry(more=False), other(1), other(2)],
        [again(1, 2), {**page(1), "messages": []}, other(3)],
    ):
        lines = transcript(received(*old, *new)).lines
        offsets = [line.offset for line in lines[3:]]
        assert told(lines)[:3] == [4, 5, "text"], new
        assert offsets == [*range(offsets[0], offsets[0] + len(offsets))], new
        assert not [line for line in lines if line.kind == "gap"]


@pytest.mark.contract("UI3", "SE1")
def test_another_epoch_of_a_session_is_another_log():
    def publication(number: int, offset: int, epoch: str) -> Message:
        place = Publication(offset, epoch, f"{epoch} {offset}", "Ann")
        return Message({"content": "x"}, "json", number, 0.0, place)

    story = [(8, "a"), (9, "a"), (1, "b"), (2, "b"), (5, "b")]
    lines = transcript(publication(n, *each) for n, each in enumerate(story, 1)).lines
    assert [line.offset for line in lines if line.kind == "message"] == [8, 9, 1, 2, 5]
    assert [line.content for line in lines if line.kind == "gap"] == ["2 messages are missing here"]


@pytest.mark.contract("UI3")
@pytest.mark.parametrize("offset", [None, 0, -1, True, 1.5, "7", 2**53, [1]])
def test_what_is_no_offset_is_none(offset):
    [first, second] = transcript(
        received({**live(1), "offset": offset}, {**live(9), "id": "x"})
    ).lines
    assert (first.offset, second.offset) == (None, 9)
    assert (
        transcript(received({"type": "chat", "content": "x", "offset": 5})).lines[0].offset is None
    )


@pytest.mark.contract("UI3")
def test_a_reader_who_pages_back_keeps_what_was_paged_in():
    conversation = Conversation()
    story = [entry(*range(20_001, 20_101))]
    for before in range(20_001, 10_001, -100):
        story.append(page(before, *range(before - 100, before)))
    messages = received(*story)
    for message in messages[:60]:
        conversation.read([message])
    shown = conversation.merge()
    assert told(shown.lines) == [*range(14_101, 20_101)]
    assert not shown.is_full
    number = messages[59].number
    flood = [
        Message(message.data, message.kind, number + message.number, 0.0)
        for message in received(*(live(n) for n in range(20_101, 21_101)))
    ]
    conversation.read(flood)
    assert told(conversation.merge().lines) == [*range(14_101, 21_101)]
    for count, message in enumerate(messages[60:], number + 1001):
        conversation.read([Message(message.data, message.kind, count, 0.0)])
    shown = conversation.merge()
    assert shown.is_full
    assert told(shown.lines) == [*range(11_101, 21_101)]


@pytest.mark.contract("UI3")
def test_what_is_forgotten_are_the_oldest_lines_not_those_that_came_first():
    conversation = Conversation()
    conversation.read(received(entry(*range(101, 201)), page(101, *range(1, 101))))
    flood = [Message(live(n), "json", n, 0.0) for n in range(201, 2001)]
    conversation.read(flood)
    assert told(conversation.merge().lines) == [*range(801, 2001)]
