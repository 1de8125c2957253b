"""What is drawn of a figure's last minute, and what is said of it."""

from __future__ import annotations

import pytest

from sockstore.ui.inspector import SECONDS_PLOTTED
from sockstore.ui.plot import plot

pytestmark = pytest.mark.contract("UI1")


def test_nothing_is_known_at_first():
    for values in ((), (None, None)):
        drawn = plot(values, "ms", least=10)
        assert (drawn.line, drawn.area, drawn.highest) == ("", "", "")
        assert drawn.latest == "\N{EN DASH}"


def test_the_latest_value_stands_at_the_right():
    assert plot([7.0], "ms", least=10).line == f"M{SECONDS_PLOTTED - 1} 30.0"


def test_a_value_that_is_not_known_is_a_hole_and_its_neighbours_are_joined():
    assert plot([0, None, 10], "ms", least=10).line == "M57 100.0L59 0.0"


def test_small_values_do_not_fill_the_height_and_great_ones_just_do():
    assert plot([1.0], "a second", least=3).line == "M59 66.7"
    assert plot([1.0, 300.0], "a second", least=3).line == "M58 99.7L59 0.0"


def test_the_area_is_closed_at_the_ground():
    assert plot([5, 10], "ms", least=10).area.endswith("L59 100L58 100Z")


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0 ms"), (3.0, "3 ms"), (3.14, "3.1 ms"), (42.6, "43 ms")]
)
def test_values_are_as_exact_as_a_reader_wants_them(value, said):
    assert plot([value], "ms", least=10).latest == said


def test_the_highest_is_said_beside_the_latest():
    drawn = plot([50.0, 20.0], "ms", least=10)
    assert (drawn.latest, drawn.highest) == ("20 ms", "50 ms")
