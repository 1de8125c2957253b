"""Frozen classes: dataclasses for everyone who asks, made without being compiled at import."""

import copy
import dataclasses
import inspect
import pickle
import pydoc
import typing
from dataclasses import FrozenInstanceError, field

import pytest

from sockstore.base.frozen import frozen


@frozen
class Point:
    """A place."""

    x: int
    y: int = 0
    kind: typing.ClassVar[str] = "point"


@frozen
class Place(Point):
    """A place with a name."""

    name: str = "somewhere"


@frozen(kw_only=True)
class Choice:
    """Options."""

    limit: int
    secret: str = field(default="", repr=False)
    seen: list[int] = field(default_factory=list, compare=False)

    def __post_init__(self):
        if self.limit < 0:
            raise ValueError("a limit is not negative")


@frozen
class Nothing:
    """Holds nothing."""


def test_fields_are_given_by_place_or_name_and_have_defaults():
    assert (Point(1).x, Point(1).y, Point(1, 2).y, Point(y=4, x=3).x) == (1, 0, 2, 3)
    assert (Place(1, 2, "home").name, Place(1).name) == ("home", "somewhere")
    assert Point.kind == Place.kind == "point"


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "z": 2}], ids=repr)
def test_wrong_arguments_are_refused_as_by_any_function(arguments):
    with pytest.raises(TypeError, match=r"Point.__init__\(\)"):
        Point(**arguments)
    with pytest.raises(TypeError, match="positional"):
        Choice(1)


def test_it_is_checked_when_it_is_made():
    with pytest.raises(ValueError, match="not negative"):
        Choice(limit=-1)


def test_a_factory_makes_a_new_default_each_time():
    assert Choice(limit=1).seen is not Choice(limit=1).seen


def test_nothing_can_be_changed_and_nothing_added():
    point = Point(1)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: setattr(point, "z", 2),
        lambda: delattr(point, "x"),
    ):
        with pytest.raises(FrozenInstanceError):
            change()
    assert not hasattr(point, "__dict__")


def test_values_are_equal_by_what_they_hold_and_by_their_class():
    assert Point(1) == Point(1, 0) != Point(2)
    assert hash(Point(1)) == hash(Point(1, 0))
    assert Point(1) != Place(1)
    assert Choice(limit=1, seen=[1]) == Choice(limit=1)
    assert Nothing() == Nothing() != Point(1)


def test_what_is_shown_is_what_a_dataclass_shows():
    assert repr(Place(1)) == "Place(x=1, y=0, name='somewhere')"
    assert repr(Choice(limit=1, secret="s")) == "Choice(limit=1, seen=[])"
    assert repr(Nothing()) == "Nothing()"


def test_the_functions_for_dataclasses_know_it():
    assert dataclasses.is_dataclass(Point)
    assert [one.name for one in dataclasses.fields(Place)] == ["x", "y", "name"]
    assert dataclasses.replace(Point(1), y=5) == Point(1, 5)
    assert dataclasses.replace(Choice(limit=1), limit=2).limit == 2
    assert dataclasses.asdict(Place(1)) == {"x": 1, "y": 0, "name": "somewhere"}


def test_patterns_know_its_fields():
    match Place(1, 2, "home"):
        case Place(x, y, name):
            assert (x, y, name) == (1, 2, "home")
    assert Choice.__match_args__ == ()


def test_its_signature_and_its_types_can_be_asked_for():
    assert str(inspect.signature(Point)) == "(x: int, y: int = 0) -> None"
    assert str(inspect.signature(Choice)).startswith("(*, limit: int, secret: str = '', seen:")
    assert typing.get_type_hints(Place.__init__ if Place(1) else None)["name"] is str


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_it_can_be_copied(clone):
    assert clone(Place(1, 2, "home")) == Place(1, 2, "home")


def test_a_class_of_ones_own_may_be_derived_from_it():
    class Named(Point):
        def __init__(self, x):
            super().__init__(x, x)

    assert (Named(3).y, Named(3) == Named(3)) == (3, True)


def test_help_shows_what_is_the_users_and_no_machinery():
    @frozen
    class Point:
        """A point."""

        x: int

    text = pydoc.plain(pydoc.render_doc(Point))
    assert "A point." in text
    assert "x: int" in text
    for machinery in ("_plan", "_Plan", "Compile", "by_place"):
        assert machinery not in text
