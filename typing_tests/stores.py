"""Checked by mypy --strict, never run: what the stores' types say and what they refuse."""

from collections.abc import Callable
from typing import Any, assert_type

from sockstore.stores import (
    Readable,
    Stream,
    Unsubscriber,
    Writable,
    derived,
    derived_emit,
    get,
    readable,
    readonly,
    subscribe_weakly,
    writable,
)


class Foreign:
    def subscribe(self, run: Callable[[bytes], object]) -> Callable[[], None]:
        raise NotImplementedError


count = writable(1)
name = writable("Ada")
on = readable(False, lambda set, update: set(True))

assert_type(count, Writable[int])
assert_type(count.value, int)
assert_type(get(count), int)
assert_type(get(Foreign()), bytes)
assert_type(readonly(name), Readable[str])
assert_type(on, Readable[bool])
assert_type(count.subscribe(print), Unsubscriber)
assert_type(subscribe_weakly(count, print), Unsubscriber)
assert_type(count.stream(buffer=3), Stream[int])
count.set(2)
count.update(lambda number: number + 1)
count.set("two")  # type: ignore[arg-type]
readonly(count).set(3)  # type: ignore[attr-defined]

assert_type(derived(count, lambda a: a + 0.5), Readable[float])
assert_type(derived(Foreign(), lambda a: a), Readable[bytes])
assert_type(derived((count,), lambda a: a), Readable[int])
assert_type(derived((count, name), lambda a, b: b * a), Readable[str])
assert_type(derived((count, name, on), lambda a, b, c: (a, b, c)), Readable[tuple[int, str, bool]])
assert_type(derived((count, count, count, name), lambda a, b, c, d: d), Readable[str])
assert_type(derived((count, count, count, count, name), lambda a, b, c, d, e: e), Readable[str])
assert_type(
    derived((count, count, count, count, on, name), lambda a, b, c, d, e, f: (e, f)),
    Readable[tuple[bool, str]],
)
assert_type(derived([count, name], lambda *values: len(values)), Readable[int])
assert_type(
    derived((count, name, on, on, on, on, on, on), lambda *values: len(values)), Readable[int]
)
many: list[Writable[int]] = []
assert_type(derived(many, lambda *values: len(values)), Readable[int])


def one(a: int) -> int:
    return a


def two(a: int, b: str) -> str:
    return b * a


derived(count, two)  # type: ignore[arg-type]
derived((count, name), one)  # type: ignore[arg-type]
derived((count, name, on), two)  # type: ignore[arg-type]
derived((name, count), two)  # type: ignore[arg-type]
derived((count, name), lambda a: a)  # type: ignore[arg-type]
derived(3, one)  # type: ignore[call-overload]


def emits(emit: Callable[[str], None], a: int) -> Callable[[], None]:
    raise NotImplementedError


assert_type(derived_emit(count, emits, ""), Readable[str])
assert_type(derived_emit((count,), emits, ""), Readable[str])
derived_emit((count, name), emits, "")  # type: ignore[arg-type]
derived_emit(count, one, 1)  # type: ignore[arg-type]


async def waits() -> None:
    async for value in count:
        assert_type(value, int)
    assert_type(await name.wait_for(bool), str)
    assert_type(await name.wait_for(lambda text: text.isdigit(), timeout=1), str)


def anything(store: Readable[Any]) -> Readable[object]:
    return store


wider: Readable[float] = count
