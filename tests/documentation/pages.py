"""The pages of the documentation, and the blocks of code in them.

What a page runs but does not show, and what is to be known about a block, stands before it in a
comment of the page's source:

    <!-- run            code that is run here
    name = "Ann"
    -->
    <!-- until: hello   the next block goes on for ever; Ctrl-C once it has printed this -->
    <!-- not run: ...   why the next block is not run -->
    <!-- in a page      the next block is run in a browser, by tests/browser -->

A `text` block right after a block of Python is what it prints; `...` in it stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["PAGES", "ROOT", "Block", "blocks_of", "included_by"]

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

COMMENT = re.compile(r"<!-- *(run|until|not run|in a page)\b:?(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Args:
        language: What it is written in, such as "python"; "hidden" for what is not shown.
        code: Its text.
        line: The line of the page on which its text begins, from 1.
        until: What it prints before it is ended with Ctrl-C, if it does not end by itself.
        prints: Exactly what it prints, if the page says so.
        not_run: Why it is not run, if it is not.
        in_a_page: Not None if it is run in a browser.
    """

    language: str
    code: str
    line: int
    until: str | None = None
    prints: str | None = None
    not_run: str | None = None
    in_a_page: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, with the outputs that follow them."""
    blocks: list[Block] = []
    for block in _read(page):
        if block.language == "text" and blocks and blocks[-1].language == "python":
            blocks[-1] = replace(blocks[-1], prints=block.code)
        else:
            blocks.append(block)
    return blocks


def included_by(page: Path) -> list[Path]:
    """Return the files whose text a page shows."""
    return [
        (page.parent / token.info.partition("}")[2].strip()).resolve()
        for token in _tokens(page)
        if token.type == "fence" and token.info.startswith("{literalinclude}")
    ]


def _read(page: Path) -> Iterator[Block]:
    about_next: dict[str, str] = {}
    for token in _tokens(page):
        if token.type == "fence":
            language = token.info.strip()
            yield Block(language, token.content, token.map[0] + 2, **about_next)
            about_next = {}
        elif token.type == "html_block":
            for word, text in COMMENT.findall(token.content):
                if word == "run":
                    yield Block("hidden", text.lstrip(" "), token.map[0] + 1)
                else:
                    about_next[word.replace(" ", "_")] = text.strip()


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
