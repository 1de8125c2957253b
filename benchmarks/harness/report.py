"""Turn the results of the suites into Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.harness.model import OURS, Measured, Row, Suite, Verdict, judge

__all__ = ["number", "sections", "told", "verdict_lines"]

Measurements = Mapping[str, Measured]


def sections(
    suites: Iterable[Suite], measurements: Measurements, pictures: Mapping[str, str]
) -> str:
    """Return a section of Markdown for each suite that was measured.

    Args:
        suites: All suites, in order.
        measurements: The results, by the suite's name.
        pictures: The path of a picture, by the suite's name.
    """
    return "\n".join(
        _section(suite, measurements[suite.name], pictures.get(suite.name))
        for suite in suites
        if suite.name in measurements
    )


def verdict_lines(suite: Suite, measured: Measured) -> list[str]:
    """Return a line for each target: the target, the value, and whether the target is reached."""
    return [_verdict_line(row, verdict) for row in suite.rows for verdict in judge(row, measured)]


def told(facts: Mapping[str, str]) -> str:
    """Write names and values on one line.

    Example:
        >>> told({"python": "3.11", "node": "20"})
        'python 3.11, node 20'
    """
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def number(value: float | None) -> str:
    r"""Write a figure with three significant digits, for people; it stays on one line.

    Example:
        >>> number(1234567.0), number(0.1234), number(None)
        ('1.23\xa0M', '0.123', '·')
    """
    if value is None:
        return "·"
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:  # also if it is rounded up to `size`
            return f"{value / size:.3g}\N{NO-BREAK SPACE}{letter}"
    return f"{value:.3g}"


def _section(suite: Suite, measured: Measured, picture: str | None) -> str:
    parts = [f"## {suite.title}", "", suite.about.strip(), "", *_figures(suite, measured), ""]
    if any(row.targets for row in suite.rows):
        parts += [*_targets(suite, measured), ""]
    if picture is not None:
        parts += [f"![{suite.title}: each contender beside sockstore]({picture})", ""]
    if measured.absent:
        parts += [f"Not measured: {name} ({why})." for name, why in measured.absent.items()]
        parts.append("")
    return "\n".join(parts)


def _figures(suite: Suite, measured: Measured) -> list[str]:
    names = [row.name for row in suite.rows]
    notes = {each.name: each.note for each in suite.contenders}
    lines = [f"| | {' | '.join(names)} | |", f"|---|{'---:|' * len(names)}---|"]
    for contender in measured.rounds:
        shown = (number(measured.median(contender, name)) for name in names)
        name = f"**{contender}**" if contender == OURS else contender
        lines.append(f"| {name} | {' | '.join(shown)} | {notes.get(contender, '')} |")
    units = " · ".join(dict.fromkeys(f"{row.unit}, {row.better} is better" for row in suite.rows))
    return [*lines, "", f"Medians of {_rounds(measured)} rounds; {units}."]


def _rounds(measured: Measured) -> int:
    return max(map(len, measured.rounds.values()), default=0)


def _targets(suite: Suite, measured: Measured) -> Sequence[str]:
    lines = ["| target | wanted | measured | |", "|---|---:|---:|---|"]
    for row in suite.rows:
        for verdict in judge(row, measured):
            against = verdict.target.against
            what = f"{row.name}, times {against}" if against else f"{row.name}, {row.unit}"
            shown = number(verdict.value)
            word = "reached" if verdict.reached else "**not reached**"
            lines.append(f"| {what} | {_bound(row, verdict)} | {shown} | {word} |")
    return lines


def _verdict_line(row: Row, verdict: Verdict) -> str:
    against = verdict.target.against
    what = f"times {against}" if against else row.unit
    word = "reached" if verdict.reached else "NOT REACHED"
    bound = _bound(row, verdict)
    return f"{row.name:<28} {number(verdict.value):>8} {what:<32} wanted {bound:<10} {word}"


def _bound(row: Row, verdict: Verdict) -> str:
    sign = "≥" if row.better == "higher" else "≤"
    return f"{sign} {number(verdict.target.wanted)}"
