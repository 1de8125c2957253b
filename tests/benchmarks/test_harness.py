"""The harness judges and reports rightly; what it is given here are no measurements."""

from __future__ import annotations

import sys

import pytest
from benchmarks.browser.suite import staged_runtime
from benchmarks.harness import results
from benchmarks.harness.model import OURS, Contender, Measured, Row, Suite, Target, judge, ratio
from benchmarks.harness.programs import run
from benchmarks.harness.report import number, sections, verdict_lines
from benchmarks.harness.rounds import Absent, run_suite, run_suites
from benchmarks.suites import all_suites

FAST = Row("fast", "messages per CPU second", targets=(Target(0.5, "peer"),))
SMALL = Row("small", "KiB", "lower", targets=(Target(2.0, "peer"), Target(60, None)))


def measured(ours: list[dict[str, float]], peer: list[dict[str, float]]) -> Measured:
    return Measured("suite", {OURS: ours, "peer": peer})


def suite_of(*contenders: Contender, rows=(FAST, SMALL)) -> Suite:
    return Suite("suite", "A suite", "What it is.", tuple(rows), contenders)


def test_a_ratio_is_the_median_of_the_rounds_each_compared_with_itself():
    drifting = measured(
        [{"fast": 10.0}, {"fast": 1.0}, {"fast": 4.0}],
        [{"fast": 20.0}, {"fast": 2.0}, {"fast": 4.0}],
    )
    assert ratio(drifting, "fast", OURS, "peer") == 0.5
    assert ratio(drifting, "nothing", OURS, "peer") is None


@pytest.mark.parametrize(
    ("figure", "reached"), [(10.0, True), (9.99, False)], ids=["just enough", "too little"]
)
def test_where_more_is_better_a_target_is_the_least(figure, reached):
    [verdict] = judge(FAST, measured([{"fast": figure}], [{"fast": 20.0}]))
    assert verdict.reached is reached
    assert verdict.value == pytest.approx(figure / 20)


def test_where_less_is_better_a_target_is_the_most_of_a_ratio_or_of_the_figure_itself():
    ratio_of_two, absolute = judge(SMALL, measured([{"small": 61.0}], [{"small": 30.5}]))
    assert (ratio_of_two.value, ratio_of_two.reached) == (2.0, True)
    assert (absolute.value, absolute.reached) == (61.0, False)


def test_a_target_against_someone_who_was_not_measured_is_not_reached():
    [verdict] = judge(FAST, Measured("suite", {OURS: [{"fast": 10.0}]}))
    assert (verdict.value, verdict.reached) == (None, False)


def test_each_round_measures_everybody_once_in_another_order():
    order: list[str] = []

    def contender(name: str) -> Contender:
        def measure() -> dict[str, float]:
            order.append(name)
            return {"fast": 1.0}

        return Contender(name, measure)

    names = ["a", "b", "c", "d"]
    run_suite(suite_of(*map(contender, names)), rounds=10, say=lambda _: None)
    rounds = [order[start : start + 4] for start in range(0, 40, 4)]
    assert all(sorted(one) == names for one in rounds)
    assert len(set(map(tuple, rounds))) > 1


def test_who_cannot_be_measured_is_left_out_and_the_reason_is_told():
    def cannot() -> dict[str, float]:
        raise Absent("there is no node")

    suite = suite_of(Contender(OURS, lambda: {"fast": 10.0}), Contender("peer", cannot))
    said: list[str] = []
    outcome = run_suite(suite, rounds=2, say=said.append)
    assert outcome.absent == {"peer": "there is no node"}
    assert len(outcome.rounds[OURS]) == len(said) == 2
    page = sections([suite], {"suite": outcome}, {})
    assert "Not measured: peer (there is no node)." in page
    assert "**not reached**" in page


def test_a_suite_that_fails_loses_nothing_of_the_others_and_is_told():
    def fail() -> dict[str, float]:
        raise TypeError("'bool' object is not callable")

    def suite(name: str, measure) -> Suite:
        return Suite(name, name, "", (FAST,), (Contender(OURS, measure),), rounds=2)

    kept: list[tuple[str, int]] = []
    said: list[str] = []
    failed = run_suites(
        [suite("a", lambda: {"fast": 1.0}), suite("b", fail), suite("c", lambda: {"fast": 2.0})],
        rounds=None,
        say=said.append,
        keep=lambda suite, outcome: kept.append((suite.name, len(outcome.rounds[OURS]))),
    )
    assert failed == ["b"]
    assert kept == [("a", 2), ("c", 2)]
    assert any("test_harness.py" in line and "is not callable" in line for line in said)


def test_figures_are_kept_before_the_next_suite_begins():
    order: list[str] = []

    def suite(name: str) -> Suite:
        def measure() -> dict[str, float]:
            order.append(f"measure {name}")
            return {"fast": 1.0}

        return Suite(name, name, "", (FAST,), (Contender(OURS, measure),))

    keep = lambda suite, _: order.append(f"keep {suite.name}")
    assert not run_suites([suite("a"), suite("b")], rounds=1, say=order.append, keep=keep)
    assert [one for one in order if ":" not in one] == [
        "measure a", "keep a", "measure b", "keep b",
    ]  # fmt: skip


def test_what_a_program_imports_is_compiled_once_whatever_the_machine_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "slow_to_compile.py").write_text("figure = 1\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import importlib.util, json, slow_to_compile\n"
        "from pathlib import Path\n"
        "print(json.dumps(Path(slow_to_compile.__cached__).exists()))"
    )
    assert run([sys.executable, "-c", program])
    assert list(tmp_path.iterdir()) == [tmp_path / "slow_to_compile.py"]


def test_where_no_runtime_is_staged_a_suite_of_pages_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("sockstore.demo.browser.runtime.PACKAGE", tmp_path / "src" / "sockstore")
    with pytest.raises(Absent, match="make browser-runtime"):
        staged_runtime()


def test_a_staged_runtime_of_another_version_cannot_be_measured(monkeypatch, tmp_path):
    monkeypatch.setattr("sockstore.demo.browser.runtime.PACKAGE", tmp_path / "src" / "sockstore")
    (tmp_path / "build" / "browser-runtime").mkdir(parents=True)
    with pytest.raises(Absent, match="pyodide"):
        staged_runtime()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "·"), (0.1234, "0.123"), (12.0, "12"), (999.4, "999"), (1500.0, "1.5 k"),
     (999_700.0, "1 M"), (1_234_567.0, "1.23 M")],
)  # fmt: skip
def test_a_figure_is_written_with_three_digits(value, text):
    assert number(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_the_report_says_of_each_target_what_was_wanted_and_what_came_out():
    outcome = measured([{"fast": 9.0, "small": 30.0}], [{"fast": 20.0, "small": 20.0}])
    suite = suite_of(Contender(OURS, dict, "ours"), Contender("peer", dict, "theirs"))
    page = sections([suite], {"suite": outcome}, {"suite": "picture.svg"})
    assert "| fast, times peer | ≥ 0.5 | 0.45 | **not reached** |" in page
    assert "| small, times peer | ≤ 2 | 1.5 | reached |" in page
    assert "| small, KiB | ≤ 60 | 30 | reached |" in page
    assert "(picture.svg)" in page
    assert [line.split()[-1] for line in verdict_lines(suite, outcome)] == [
        "REACHED", "reached", "reached",
    ]  # fmt: skip


def test_every_suite_has_ours_and_each_target_names_a_contender():
    for suite in all_suites():
        names = {one.name for one in suite.contenders}
        assert OURS in names or suite.name == "history"
        against = {target.against for row in suite.rows for target in row.targets}
        assert against - {None} <= names
        assert len({row.name for row in suite.rows}) == len(suite.rows)


def test_the_page_in_the_docs_is_made_of_the_figures_that_are_kept():
    kept = results.read_results()
    assert results.PAGE.read_text(encoding="utf-8") == results.page(kept, all_suites())
