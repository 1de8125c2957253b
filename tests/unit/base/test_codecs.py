"""Codecs: msgspec and the standard library read and write the same JSON; typed codecs."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import importlib.util
import json
import math
import sys
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import InvalidOption
from sockstore.base import json_stdlib
from sockstore.base.codecs import (
    Codec,
    decode_json,
    encode,
    encode_json,
    encode_with,
    json_decoder,
    make_codec,
)

DEEP = 100_000
TOO_LONG = pytest.param("1" * 5000, id="5,000 digits")

both_decoders = pytest.mark.parametrize("decode", [decode_json, json_stdlib.decode_json])
both_encoders = pytest.mark.parametrize(
    "write", [encode_json, lambda data: json_stdlib.encode_json(data).decode()]
)


def test_msgspec_is_used_where_it_is_installed():
    assert isinstance(json_decoder().__self__, msgspec.json.Decoder)


def test_without_msgspec_the_standard_library_reads_and_writes(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    spec = importlib.util.find_spec("sockstore.base.codecs")
    codecs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(codecs)
    assert codecs.json_decoder() is json_stdlib.decode_json
    assert codecs.encode_json({"a": "é"}) == '{"a":"é"}'


# Reading


@pytest.mark.contract("MS1")
@both_decoders
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        (" [1, 2.5, true] ", [1, 2.5, True]),
        ('{"a":1,"a":2}', {"a": 2}),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ("1" * 40, int("1" * 40)),
        ("9007199254740993", 2**53 + 1),
        ("1e5", 100000.0),
        ("1e-400", 0.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        (r'"\ud83d\ude00"', "😀"),
        (r'"a\\ud800"', r"a\ud800"),
        (r'"\u0000\/\b"', "\0/\b"),
        ('"\x7f\u2028"', "\x7f\u2028"),
    ],
)
def test_what_is_json_is_read_the_same_by_both(decode, text, value):
    read = decode(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.contract("MS1")
@both_decoders
@pytest.mark.parametrize(
    "text",
    [
        "NaN", "Infinity", "-Infinity", '{"a":NaN}', "1e400", "-1E400", TOO_LONG,
        "01", "1.", ".5", "+1", "-", "0x1", "1_000", "\uff11", "", "  ", "nul", "hello",
        "[1,]", '{"a":1,}', "{1:2}", "{'a':1}", '"abc', "1 2", "[1]x", "/**/1",
        "\ufeff1", "\x0b1", '"\x01"', '"\t"', r'"\x"', r'"\u12"',
        r'"\ud800"', r'"\udc00"', r'"\uD800x"', r'{"\ud800":1}',
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_by_both(decode, text):
    with pytest.raises(ValueError):
        decode(text)


@pytest.mark.contract("MS1")
@both_decoders
@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("closing", ["", "]"])
def test_json_that_is_nested_too_deeply_ends_in_an_error_and_not_in_a_crash(
    decode, opening, closing
):
    with pytest.raises((RecursionError, ValueError)):
        decode(opening * DEEP + closing * DEEP)


texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
    max_leaves=20,
)


def same(one, other):
    """Equal, and of the same types: 1 is not 1.0, and -0.0 is not 0.0."""
    return repr(one) == repr(other)


@pytest.mark.contract("MS1", "OB1")
@given(values)
def test_both_write_what_both_read_back_unchanged(value):
    for text in (encode_json(value), json_stdlib.encode_json(value).decode()):
        for read in (decode_json, json_stdlib.decode_json):
            assert same(read(text), value)


@pytest.mark.contract("MS1")
@given(
    st.one_of(
        st.text(st.sampled_from('{}[]",:\\u0dD8c1eE+-. \t\ntrufalsn\x01é😀')),
        values.map(json.dumps).flatmap(
            lambda text: st.tuples(st.just(text), st.integers(0, len(text)), st.text(max_size=2))
        ).map(lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]),
    )
)  # fmt: skip
def test_both_read_the_same_or_both_refuse(text):
    def outcome(read):
        try:
            return repr(read(text))
        except ValueError:
            return "refused"

    assert outcome(decode_json) == outcome(json_stdlib.decode_json)


# Writing


class Colour(enum.Enum):
    RED = "red"
    ONE = 1
    MANY = ("a", 1)
    NOTHING = None


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    HELLO = "hello"


@dataclasses.dataclass
class Point:
    x: float
    y: object = None


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    name: str


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 - that is what is tested
ODD_TEXT = '\x7f\x01\b"\\/\u2028é😀'
IN_INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.contract("OB1")
@both_encoders
@pytest.mark.parametrize(
    ("data", "meaning"),
    [
        (None, None),
        (math.nan, None),
        ([math.inf, -math.inf], [None, None]),
        ({"a": {"b": math.nan}}, {"a": {"b": None}}),
        (10**30, 10**30),
        (-(2**63) - 1, -(2**63) - 1),
        (Colour.RED, "red"),
        ([Colour.ONE, Colour.MANY, Colour.NOTHING], [1, ["a", 1], None]),
        ([Level.HIGH, Word.HELLO], [3, "hello"]),
        (Point(1.5, Point(math.nan)), {"x": 1.5, "y": {"x": None, "y": None}}),
        (Slotted("a"), {"name": "a"}),
        (Pair(1, "b"), [1, "b"]),
        ((1, (2, 3)), [1, [2, 3]]),
        ({7}, [7]),
        (frozenset(["x"]), ["x"]),
        ([b"ab", bytearray(b"x"), memoryview(b"x")], ["YWI=", "eA==", "eA=="]),
        (ID, str(ID)),
        (decimal.Decimal("1.50"), "1.50"),
        (dt.datetime(2020, 1, 2, 3, 4, 5, 6, dt.UTC), "2020-01-02T03:04:05.000006Z"),
        (dt.datetime(2020, 1, 2, tzinfo=IN_INDIA), "2020-01-02T00:00:00+05:30"),
        (dt.datetime(2020, 1, 2), "2020-01-02T00:00:00"),  # noqa: DTZ001 - naive on purpose
        (dt.date(2020, 1, 2), "2020-01-02"),
        (dt.time(1, 2, tzinfo=dt.UTC), "01:02:00Z"),
        ({1: 1, 1.5: 2, -3: 3}, {"1": 1, "1.5": 2, "-3": 3}),
        ({Colour.RED: 1, Colour.ONE: 2, Level.HIGH: 3, Word.HELLO: 4},
         {"red": 1, "1": 2, "3": 3, "hello": 4}),
        ({ID: 1, decimal.Decimal("1.50"): 2, b"ab": 3}, {str(ID): 1, "1.50": 2, "YWI=": 3}),
        ({dt.date(2020, 1, 2): 1, dt.datetime(2020, 1, 2, tzinfo=dt.UTC): 2},
         {"2020-01-02": 1, "2020-01-02T00:00:00Z": 2}),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ([Text("safe"), Whole(5), Real(1.5), Real("nan")], ["safe", 5, 1.5, None]),
        ({Text("key"): Text("safe")}, {"key": "safe"}),
        (ODD_TEXT, ODD_TEXT),
    ],
)  # fmt: skip
def test_what_can_be_sent_is_written_the_same_by_both(write, data, meaning):
    assert same(json.loads(write(data)), meaning)


@pytest.mark.contract("OB1")
@both_encoders
@pytest.mark.parametrize(
    "data",
    [
        object(), print, 1j, range(3), iter([1]), {None: 1}, {True: 1}, {(1, 2): 1},
        {Colour.NOTHING: 1}, {frozenset(): 1}, collections.deque([1]), Point, ..., [object()],
        {"a": 1j}, "\ud800", ["\ud800"], {"\ud800": 1}, pytest.param(10**5000, id="5,000 digits"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_by_both_with_a_type_error(write, data):
    with pytest.raises((TypeError, ValueError)):
        write(data)
    if isinstance(data, str):
        return
    with pytest.raises(TypeError, match=f"^{type(data).__name__} data cannot be sent: "):
        encode_with(write, data)


@pytest.mark.contract("OB1")
@both_encoders
def test_data_that_contains_itself_or_is_too_deep_is_a_type_error(write):
    endless = []
    endless.append(endless)
    deep = []
    for _ in range(DEEP):
        deep = [deep]
    for data in (endless, deep):
        with pytest.raises(TypeError, match="nested too deeply"):
            encode_with(write, data)
    while deep:  # freed without recursion
        deep = deep.pop()


@pytest.mark.contract("OB1")
@pytest.mark.parametrize(
    ("data", "frame"),
    [
        ("plain", "plain"),
        ('{"a":1}', '{"a":1}'),
        ("é😀", "é😀"),
        (b"\0\1", b"\0\1"),
        (bytearray(b"\0\1"), b"\0\1"),
        (memoryview(b"\0\1"), b"\0\1"),
        ({"a": 1}, '{"a":1}'),
        ([], "[]"),
        (None, "null"),
        (True, "true"),
    ],
)
def test_str_goes_as_text_bytes_as_binary_and_everything_else_as_json(data, frame):
    made = encode(data)
    assert made == frame
    assert type(made) is type(frame)


@pytest.mark.contract("OB1")
def test_a_text_that_is_no_unicode_cannot_be_sent():
    with pytest.raises(TypeError, match=r"str data cannot be sent: .*surrogates not allowed"):
        encode("a\ud800")


# Typed codecs


class Chat(msgspec.Struct):
    content: str
    likes: int = 0


@dataclasses.dataclass
class Plain:
    content: str


@pytest.mark.contract("MS5")
@pytest.mark.parametrize(
    ("wanted", "value"), [(Chat, Chat("hi")), (Plain, Plain("hi")), (dict, {"content": "hi"})]
)
@pytest.mark.parametrize("frame", ['{"content":"hi"}', b'{"content":"hi"}'])
def test_a_type_is_a_codec_for_text_and_binary_frames(wanted, value, frame):
    codec = make_codec(wanted)
    assert isinstance(codec, Codec)
    assert codec.decode(frame) == value
    assert json.loads(codec.encode(value))["content"] == "hi"


@pytest.mark.contract("MS5")
@pytest.mark.parametrize("wanted", [Chat, Plain])
@pytest.mark.parametrize("frame", ["{}", '{"content":3}', "[]", "hello", "", b"\xff"])
def test_invalid_data_is_refused_by_a_typed_codec(wanted, frame):
    with pytest.raises(ValueError):
        make_codec(wanted).decode(frame)


@pytest.mark.contract("MS5")
def test_a_pair_of_functions_is_a_codec():
    codec = make_codec((lambda frame: frame.upper(), lambda data: data.lower()))
    assert isinstance(codec, Codec)
    assert (codec.decode("a"), codec.encode("B")) == ("A", "b")


@pytest.mark.contract("MS5")
def test_an_object_with_decode_and_encode_is_a_codec():
    class Mine:
        def decode(self, frame, /):
            return frame

        def encode(self, data, /):
            return data

    mine = Mine()
    assert make_codec(mine) is mine


@pytest.mark.contract("MS5")
def test_without_a_codec_there_is_none():
    assert make_codec(None) is None


@pytest.mark.contract("MS5")
@pytest.mark.parametrize(
    "wanted", [3, "json", object(), (len,), (len, 3), (3, len), (len, len, len), [len]]
)
def test_what_is_no_codec_is_refused(wanted):
    with pytest.raises(InvalidOption, match="codec="):
        make_codec(wanted)


@pytest.mark.contract("MS5")
def test_a_type_that_msgspec_cannot_decode_into_is_refused_at_once():
    class Odd(msgspec.Struct):
        a: Chat | Plain

    with pytest.raises(InvalidOption, match="msgspec cannot decode into it"):
        make_codec(Odd)


@pytest.mark.contract("MS5")
def test_typed_codecs_say_that_they_need_msgspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(InvalidOption, match="typed codecs need the msgspec package"):
        make_codec(Chat)


@pytest.mark.contract("MS5")
def test_a_class_with_the_methods_of_pydantic_is_asked_by_them():
    class Model:
        def __init__(self, text):
            self.text = text

        @classmethod
        def model_validate_json(cls, frame):
            return cls(frame)

        def model_dump_json(self):
            return self.text

    codec = make_codec(Model)
    assert codec.decode("{}").text == "{}"
    assert codec.encode(Model("[1]")) == "[1]"
    assert codec.encode({"a": 1}) == '{"a":1}'


@pytest.mark.contract("MS5")
def test_a_pydantic_model_is_a_codec():
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):
        content: str

    codec = make_codec(Model)
    assert codec.decode('{"content":"hi"}') == Model(content="hi")
    assert json.loads(codec.encode(Model(content="hi"))) == {"content": "hi"}
    with pytest.raises(ValueError):
        codec.decode("{}")
