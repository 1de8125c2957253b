"""The standard library's JSON, which a browser has instead of msgspec: what it must refuse."""

import pytest

from sockstore.base.json_stdlib import DEEPEST, decode_json, encode_json

pytestmark = pytest.mark.contract("MS1")


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("depth", [DEEPEST + 1, 100_000])
@pytest.mark.parametrize("closing", ["", "]"])
def test_what_is_nested_too_deeply_is_refused_and_python_lives_on(opening, depth, closing):
    with pytest.raises((RecursionError, ValueError)):
        decode_json(opening * depth + closing * depth)


def test_a_value_as_deep_as_anyone_needs_is_read_and_written():
    text = "[" * 200 + "]" * 200
    assert encode_json(decode_json(text)).decode() == text


def test_many_brackets_beside_each_other_are_not_deep():
    assert decode_json(f"[{','.join(['[]'] * 5000)}]") == [[]] * 5000
    assert decode_json(f"[{','.join(['{}'] * 5000)}]") == [{}] * 5000


@pytest.mark.parametrize("text", ["[" * 5000, '\\"[{' * 2000, "\\\\" * 10 + "[" * 5000])
def test_brackets_in_a_string_mean_nothing(text):
    value = text.replace("\\\\", "\\").replace('\\"', '"')
    assert decode_json(f'["{text}"]') == [value]
    assert decode_json(f'{{"{text}": []}}') == {value: []}


def test_a_string_that_never_ends_is_an_error():
    with pytest.raises(ValueError, match="Unterminated string"):
        decode_json('["' + "[" * 5000)
