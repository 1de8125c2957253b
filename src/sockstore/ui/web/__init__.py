"""Read the files that both kits in a browser use: the style sheet and the scripts."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FOLDER", "script", "style"]

FOLDER = Path(__file__).parent
"""Where the files are."""


def style() -> str:
    """Return the style sheet of all components."""
    names = ("style", "chat", "inspector", "page")
    return "\n".join((FOLDER / f"{name}.css").read_text(encoding="utf-8") for name in names)


def script(name: str) -> str:
    """Return an expression that evaluates to the one thing that a module exports.

    Args:
        name: The module's name; its last statement is ``export { thing };``.
    """
    text = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
    body, _, exported = text.rpartition("export {")
    thing = exported.partition("}")[0].strip()
    return f"(() => {{ {body}\nreturn {thing}; }})()"
