"""Directives that generate reference pages: the commands, and the tables of endings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from sockstore import Classification, Close, HandshakeFailed, Outcome, classify
from sockstore.base.close import CLOSE_CODE_NAMES
from sockstore.cli.command_line import _parser
from sockstore.protocols import Centrifuge

__all__ = ["setup"]

COLUMNS = "80"
CLOSE_CODES = range(1000, 5000)
STATUSES = range(100, 600)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_directive("commands", Commands)
    app.add_directive("endings", Endings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Commands(SphinxDirective):
    """The help of each subcommand, as `--help` prints it."""

    def run(self) -> list[nodes.Node]:
        """Return one section a command."""
        os.environ.update(COLUMNS=COLUMNS, NO_COLOR="1")
        return [self._section(name, parser) for name, parser in subcommands(_parser())]

    def _section(self, name: str, parser: argparse.ArgumentParser) -> nodes.Node:
        section = nodes.section(ids=[f"sockstore-{name}"], names=[f"sockstore {name}"])
        self.state.document.note_explicit_target(section)
        text = parser.format_help()
        section += nodes.title("", "", nodes.literal("", f"sockstore {name}"))
        section += nodes.literal_block(text, text, language="text")
        return section


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the name and the parser of each subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


class Endings(SphinxDirective):
    """A table of how `classify` classifies each close code or HTTP status."""

    required_arguments = 1
    kinds: Iterable[str] = ("close-codes", "close-codes-of-centrifuge", "statuses")

    def run(self) -> list[nodes.Node]:
        """Return a table with one row a classification."""
        match self.arguments[0]:
            case "close-codes":
                rows = classified(CLOSE_CODES, lambda code: Outcome(close=Close(code)))
                return [table(("close codes", "classification"), named(rows))]
            case "close-codes-of-centrifuge":
                meanings = {code: Centrifuge().classify(code) for code in CLOSE_CODES}
                rows = classified(
                    [code for code in CLOSE_CODES if meanings[code] is not None],
                    lambda code: Outcome(close=Close(code), meaning=meanings[code]),
                )
                return [table(("close codes", "classification"), spans_of(rows))]
            case "statuses":
                rows = classified(STATUSES, refused)
                return [table(("HTTP statuses", "classification"), spans_of(rows))]
            case other:
                raise self.error(f"{other!r} is none of {', '.join(self.kinds)}")


def refused(status: int) -> Outcome:
    """Return the outcome of an opening handshake that was answered with this status."""
    return Outcome(exception=HandshakeFailed("wss://example.com", "", kind="http", status=status))


def classified(
    numbers: Iterable[int], outcome: Callable[[int], Outcome]
) -> dict[Classification, list[int]]:
    """Return the numbers of each classification."""
    rows: dict[Classification, list[int]] = {kind: [] for kind in Classification}
    for number in numbers:
        rows[classify(outcome(number))].append(number)
    return {kind: members for kind, members in rows.items() if members}


def spans_of(rows: dict[Classification, list[int]]) -> Iterator[tuple[str, str]]:
    """Yield "from to" texts of the numbers, and their classification."""
    for kind, numbers in rows.items():
        yield ", ".join(spans(numbers)), kind.name


def named(rows: dict[Classification, list[int]]) -> Iterator[tuple[str, str]]:
    """Yield the numbers with the names that RFC 6455 gives them, and their classification."""
    for kind, numbers in rows.items():
        named_codes = [number for number in numbers if number in CLOSE_CODE_NAMES]
        texts = [f"{number} ({CLOSE_CODE_NAMES[number]})" for number in named_codes]
        if kind is Classification.RETRY:
            texts.append("every other one")
        else:
            texts.extend(spans([number for number in numbers if number not in named_codes]))
        yield ", ".join(texts), kind.name


def spans(numbers: list[int]) -> Iterator[str]:
    """Yield each run of consecutive numbers as one text."""
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield f"{members[0]}" if len(members) == 1 else f"{members[0]} to {members[-1]}"


def table(heading: tuple[str, str], rows: Iterable[tuple[str, str]]) -> nodes.table:
    """Return a table of two columns of text."""
    group = nodes.tgroup(cols=2)
    group += [nodes.colspec(colwidth=80), nodes.colspec(colwidth=20)]
    group += nodes.thead("", row(*heading))
    group += nodes.tbody("", *(row(*cells) for cells in rows))
    return nodes.table("", group)


def row(*cells: str) -> nodes.row:
    """Return one row of a table."""
    return nodes.row(
        "", *(nodes.entry("", nodes.paragraph("", "", nodes.Text(cell))) for cell in cells)
    )
