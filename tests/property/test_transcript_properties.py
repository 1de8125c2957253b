"""Properties of a chat's lines: whatever comes in whatever order, each once and in its place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.history_server import HistoryServer
from sockstore import Message, WebSocketStore
from sockstore.testing import VirtualClock
from sockstore.ui.chat import backlog, own_messages, transcript

pytestmark = pytest.mark.contract("UI3", "SV1", "SV6")

QUEUED = WebSocketStore("ws://x").send("waits")


@dataclass
class Room:
    """A room, one reader of it, and what that reader should see."""

    top: int = 0
    is_there: bool = False
    known: set[int] = field(default_factory=set)
    others: list[tuple[str, int]] = field(default_factory=list)
    """What has no offset, and the newest offset when it came."""
    received: list[Message] = field(default_factory=list)
    posts: list[own_messages.Post] = field(default_factory=list)

    def receive(self, data: object) -> None:
        self.received.append(Message(data, "json", len(self.received) + 1, 0.0))

    def message(self, offset: int) -> dict[str, object]:
        return {"type": "message", "id": f"m{offset}", "offset": offset, "content": f"{offset}"}

    def history(self, start: int, end: int, **fields: object) -> None:
        offsets = range(max(1, start), min(end, self.top + 1))
        messages = [self.message(offset) for offset in offsets]
        self.receive({"type": "history", "messages": messages, "more": start > 1, **fields})
        self.known.update(offsets)

    def say(self, count: int) -> None:
        for _ in range(count):
            self.top += 1
            if self.is_there:
                self.receive(self.message(self.top))
                self.known.add(self.top)

    def come(self, shown: int) -> None:
        self.is_there = True
        self.history(self.top + 1 - shown, self.top + 1)

    def leave(self, _: int) -> None:
        self.is_there = False

    def page(self, share: int) -> None:
        if self.is_there and self.known:
            before = min(self.known) + share * (max(self.known) - min(self.known)) // 10
            self.history(before - share, before, before=before)

    def repeat(self, number: int) -> None:
        live = [m for m in self.received if m.data["type"] == "message"]
        if self.is_there and live:
            self.receive(live[number % len(live)].data)

    def notice(self, number: int) -> None:
        if self.is_there and self.known:
            name = f"{number} {len(self.others)}"
            self.receive({"type": "join", "sender": name})
            self.others.append((f"{name} joined", max(self.known)))

    def post(self, _: int) -> None:
        if self.known:
            text = f"post {len(self.others)}"
            self.posts.append(own_messages.Post(text, "now", QUEUED, len(self.received)))
            self.others.append((text, max(self.known)))


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["say", "come", "leave", "page", "repeat", "notice", "post"]),
        st.integers(1, 9),
    ),
    max_size=40,
).map(lambda story: [("come", 3), *story])


def check(shown: transcript.Transcript, room: Room) -> None:
    """Compare what is shown with what the reader was told."""
    assert len({line.key for line in shown.lines}) == len(shown.lines)
    offsets = [line.offset for line in shown.lines if line.kind == "message" and line.offset]
    assert offsets == sorted(room.known)
    assert [line.content for line in shown.lines if line.kind == "message" and line.offset] == [
        str(offset) for offset in offsets
    ]
    texts = [
        line.content
        for line in shown.lines
        if line.kind in {"message", "notice"} and not line.offset
    ]
    assert texts == [text for text, _ in room.others]
    last, newest, holes = 0, dict(room.others), []
    for line in shown.lines:
        if line.kind == "gap":
            holes.append((last, line.offset, line.content))
        elif line.offset:
            last = line.offset
        else:
            assert last == newest[line.content]
    assert holes == [
        (
            n,
            m,
            f"{m - n - 1} messages are missing here" if m > n + 2 else "1 message is missing here",
        )
        for n, m in pairwise(offsets)
        if m > n + 1
    ]
    seen = backlog.see(shown.lines)
    assert (seen.oldest, list(seen.gaps)) == (
        min(room.known, default=None),
        [m for _, m, _ in reversed(holes)],
    )


@given(ACTIONS, st.lists(st.integers(1, 20), max_size=10))
def test_whatever_comes_stands_once_in_its_place_however_it_is_read(story, portions):
    room = Room()
    for action, number in story:
        getattr(room, action)(number)
    conversation = transcript.Conversation()
    read = 0
    for portion in portions:
        read += portion
        conversation.read(room.received[:read])
        conversation.merge(room.posts)
    conversation.read(room.received)
    check(conversation.merge(room.posts), room)


class CountingServer(HistoryServer):
    """Sees to it that nobody asks again before the answer."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.unanswered: object = None
        self.asked_twice = False

    def hear(self, peer, frame) -> None:
        self.asked_twice = self.asked_twice or self.unanswered is peer
        self.unanswered = peer if self.is_mute else None
        super().hear(peer, frame)


STORIES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["say", "miss"]), st.integers(1, 700)),
        st.tuples(st.sampled_from(["older", "gap", "drop", "wait", "mute", "break", "mend"])),
    ),
    max_size=12,
)


async def live_through(story, server: CountingServer) -> tuple[set[int], transcript.Transcript]:
    """Read a room until all that can be had is there; return what was told, and what is shown."""
    conversation = transcript.Conversation()
    told: set[int] = set()
    shown = transcript.Transcript(())

    def show(view) -> None:
        nonlocal shown
        conversation.read(view)
        shown = conversation.merge()
        told.update(line.offset for line in shown.lines if line.kind == "message")
        older.shown(shown)

    connection = WebSocketStore("ws://localhost/chat/lobby", transport=server, history=None)
    older = backlog.backlog_of(connection)
    async with connection:
        with connection.messages.subscribe(show):
            leave = older.follow()
            await asyncio.sleep(5)
            for action, *numbers in story:
                match action:
                    case "say":
                        server.say(*numbers)
                    case "miss":
                        server.drop_all()
                        server.top += numbers[0]
                    case "drop":
                        server.drop_all()
                    case "older":
                        older.load_older()
                    case "gap" if gaps := backlog.see(shown.lines).gaps:
                        older.load_before(gaps[-1])
                    case "mute" | "break" | "mend":
                        server.is_mute = action == "mute"
                        server.is_broken = action == "break"
                    case "wait":
                        await asyncio.sleep(40)
                await asyncio.sleep(0.5)
            server.is_mute = server.is_broken = False
            server.drop_all()
            await asyncio.sleep(40)
            for _ in range(200):
                gaps = backlog.see(shown.lines).gaps
                if older.has_older.value:
                    older.load_older()
                elif gaps:
                    older.load_before(gaps[0])
                else:
                    break
                await asyncio.sleep(1)
            assert not older.is_loading.value
            leave()
    return told, shown


@settings(max_examples=40, deadline=None)
@given(STORIES, st.integers(0, 300), st.sampled_from([1, 10, 100]))
def test_a_reader_gets_everything_that_is_kept_and_asks_for_one_page_at_a_time(
    story, said, on_entry
):
    async def main() -> None:
        server = CountingServer(said=said, shown=on_entry)
        told, shown = await live_through(story, server)
        assert told == set(range(1, server.top + 1))
        offsets = [line.offset for line in shown.lines if line.kind in {"message", "gap"}]
        assert offsets == [*range(offsets[0] if offsets else 1, server.top + 1)]
        assert not server.asked_twice

    VirtualClock().run(main())
