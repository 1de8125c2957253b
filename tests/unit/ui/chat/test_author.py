"""Who wrote a message is known by its id, which nobody else can make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.ui.chat.author import Author

pytestmark = pytest.mark.contract("UI3")

MESSAGE = ("lobby", "hello", "2026-03-01T12:00:00.000Z")
ANN, EVE = Author("the secret of Ann"), Author("the secret of Eve")

# As `harmless` makes it: halves of surrogate pairs cannot be sent.
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts, texts)
def test_a_message_is_known_to_who_wrote_it_in_whatever_process(room, content, timestamp):
    message_id = ANN.sign(room, content, timestamp)
    assert Author("the secret of Ann").wrote(room, message_id, content, timestamp)
    assert not EVE.wrote(room, message_id, content, timestamp)


def test_an_id_is_one_that_a_server_takes_and_is_never_used_twice():
    ids = {ANN.sign(*MESSAGE) for _ in range(100)}
    assert len(ids) == 100
    assert all(
        len(each) <= 64 and each.isascii() and each.isprintable() and " " not in each
        for each in ids
    )


@pytest.mark.parametrize("place", [0, 1, 2], ids=["room", "content", "timestamp"])
def test_an_id_cannot_be_copied_to_another_message(place):
    message_id = ANN.sign(*MESSAGE)
    copied = [*MESSAGE]
    copied[place] = "another"
    room, *said = copied
    assert not ANN.wrote(room, message_id, *said)


@given(st.none() | st.text(max_size=64))
def test_whatever_a_server_gives_for_an_id_is_nobodys(message_id):
    assert not ANN.wrote(MESSAGE[0], message_id, *MESSAGE[1:])


def test_every_secret_is_another_one():
    assert Author.new_secret() != Author.new_secret()
