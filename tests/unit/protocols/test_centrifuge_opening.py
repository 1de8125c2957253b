"""How a conversation with a Centrifugo server begins, stays alive and ends."""

import pytest

from centrifuge_kit import OURS, STOCK, Talk
from sockstore import InvalidOption
from sockstore.protocols import Ask, Centrifuge, Failed, Opened


@pytest.mark.contract("SE0", "PR7")
def test_connect_says_the_name_and_the_token():
    talk = Talk(Centrifuge(token="t", name="shop"), token="t")
    assert talk.commands() == [{"id": 1, "connect": {"name": "shop", "token": "t"}}]
    assert Talk().commands() == [{"id": 1, "connect": {"name": "sockstore"}}]


@pytest.mark.contract("SE0", "SE5", "PR7")
def test_the_reply_to_connect_opens():
    talk = Talk()
    assert talk.hear({"id": 1, "connect": STOCK}) == [Opened()]
    assert talk.conversation.max_message_bytes is None
    assert talk.memory.remembers is None
    talk = Talk.opened(OURS)
    assert talk.conversation.max_message_bytes == 65536
    assert talk.memory.remembers == 3600


@pytest.mark.contract("SE0", "RC6")
@pytest.mark.parametrize(
    ("code", "more", "kind"),
    [
        (100, {}, "retry"),
        (110, {}, "retry"),
        (112, {}, "retry"),
        (111, {}, "throttle"),
        (101, {}, "unauthorised"),
        (103, {}, "unauthorised"),
        (109, {}, "unauthorised"),
        (107, {}, "fatal"),
        (4000, {"temporary": True}, "retry"),
    ],
)
def test_an_error_to_connect_says_what_is_next(code, more, kind):
    talk = Talk()
    assert talk.hear({"id": 1, "error": {"code": code, "message": "no", **more}}) == [
        Failed(f"no ({code})", kind)
    ]
    assert talk.hear({"id": 1, "connect": STOCK}) == []


@pytest.mark.contract("SE0")
def test_the_token_stands_in_no_sentence():
    talk = Talk(token="s3cret")
    (failed,) = talk.hear({"id": 1, "error": {"code": 101, "message": "bad token s3cret"}})
    assert failed == Failed("bad token *** (101)", "unauthorised")
    assert "s3cret" not in repr(Centrifuge(token="s3cret"))


@pytest.mark.contract("SE0")
def test_a_token_that_is_no_text_is_refused():
    (failed,) = Talk(token=5).outputs
    assert failed == Failed("the token is not a text", "fatal")
    with pytest.raises(InvalidOption) as refused:
        Centrifuge(token=5)
    assert "5" not in str(refused.value)
    with pytest.raises(InvalidOption):
        Centrifuge(name="")


@pytest.mark.contract("SE0")
@pytest.mark.parametrize(
    "frame",
    [
        b"\x00",
        "hello",
        "[]",
        '{"type": "history", "messages": []}',
        '{"id": 1, "connect": {"name": "sockstore"}}',
        '{"id": true}',
        '{"id": 1, "connect": {"client": "c", "data": {"sockstore": {"rate": -1}}}}',
        '{"push": 5}',
        '{"push": {"channel": 5, "pub": {"data": 1}}}',
        '{"push": {"channel": "a", "join": {"info": {"client": 5}}}}',
        '{"id": 9, "rpc": 5}',
    ],
)
def test_another_protocol_is_named(frame):
    (failed,) = Talk().hear_text(frame)
    assert failed.why.startswith("the server does not speak Centrifugo's protocol: it said ")
    assert failed.kind == "fatal"
    talk = Talk.opened()
    if frame != '{"type": "history", "messages": []}' and '"id": 1' not in str(frame):
        (failed,) = talk.hear_text(frame)
        assert failed.kind == "retry"


@pytest.mark.contract("SE0")
def test_what_is_not_known_is_ignored():
    talk = Talk.opened()
    said = talk.hear({"push": {"channel": "r", "message": {}}}, {"id": 77, "rpc": {}}, {"new": 1})
    assert said == []
    assert talk.hear_text("") == talk.hear_text(" \n ") == []


@pytest.mark.contract("SE0")
def test_pings_are_answered_if_the_server_wants_that():
    talk = Talk.opened()
    talk.hear({})
    assert talk.frames == ["{}"]
    talk = Talk.opened({"client": "c", "ping": 25})
    talk.hear({})
    assert talk.frames == []


@pytest.mark.contract("SE0")
def test_a_server_that_says_nothing_is_lost():
    talk = Talk.opened()
    talk.now += 34.5
    talk.hear({})
    assert talk.tick(talk.now + 1) == []
    assert talk.conversation.deadline == talk.now - 1 + 35
    assert talk.tick() == [Failed("the server said nothing for 35 s", "retry")]
    assert talk.conversation.deadline is None
    assert talk.tick(talk.now + 1) == []


def expiring(ttl):
    return {**OURS, "expires": True, "ttl": ttl}


@pytest.mark.contract("SE0", "SE6", "PR7")
@pytest.mark.parametrize(("ttl", "after"), [(3600, 3570), (60, 54), (0.1, 0.5)])
def test_a_token_is_renewed_before_it_expires(ttl, after):
    talk = Talk.opened({**expiring(ttl), "ping": None}, token="t")
    assert talk.conversation.deadline == pytest.approx(talk.now + after)
    talk.tokens[None] = "t2"
    assert talk.tick() == []
    (refresh,) = talk.commands()
    assert refresh == {"id": 2, "refresh": {"token": "t2"}}
    assert talk.hear({"id": 2, "refresh": {"expires": True, "ttl": 100}}) == []
    assert talk.conversation.deadline == pytest.approx(talk.now + 90)


@pytest.mark.contract("SE0", "SE6")
def test_a_token_that_cannot_be_renewed_ends_the_connection():
    talk = Talk.opened(expiring(10), token="t")
    assert talk.tick() == [Ask("token", None, refresh=True)]
    ask = Ask("token", None, refresh=True)
    talk.take(talk.conversation.told(ask, "t2", talk.now))
    (refresh,) = talk.commands()
    assert talk.hear({"id": refresh["id"], "error": {"code": 100, "message": "later"}}) == []
    assert talk.tick() == [ask]
    talk.take(talk.conversation.told(ask, "t3", talk.now))
    (refresh,) = talk.commands()
    (failed,) = talk.hear({"id": refresh["id"], "error": {"code": 109, "message": "t3 is old"}})
    assert failed == Failed("the token was not renewed: *** is old (109)", "unauthorised")
    talk = Talk.opened(expiring(10), token="t")
    talk.tokens[None] = None
    (failed,) = talk.tick()
    assert failed.kind == "unauthorised"


@pytest.mark.contract("SE0")
def test_without_a_token_nothing_is_renewed():
    talk = Talk.opened({**expiring(10), "ping": None})
    assert talk.conversation.deadline is None


@pytest.mark.contract("SE0")
def test_what_was_not_asked_for_is_not_taken():
    talk = Talk.opened(token="t")
    assert talk.take(talk.conversation.told(Ask("name"), "x", talk.now)) == []
    talk.hear_text("no JSON")
    assert talk.take(talk.conversation.told(Ask("token", refresh=True), "x", talk.now)) == []
    assert talk.commands() == []


@pytest.mark.contract("SE0", "RC6")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (3500, "unauthorised"),
        (3507, "unauthorised"),
        (3005, "unauthorised"),
        (3501, "fatal"),
        (3999, "fatal"),
        (4500, "fatal"),
        (3000, "retry"),
        (3001, None),
        (1012, None),
        (4429, None),
    ],
)
def test_close_codes(code, kind):
    assert Centrifuge().classify(code) == kind
