"""Read the architecture from the code: folders, their imports, import circles, a drawing.

``house.py`` writes the drawing into docs/explanation/design.md; a test fails if that is outdated.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
PACKAGE = "sockstore"
DESIGN = ROOT / "docs" / "explanation" / "design.md"
BEGIN, END = "<!-- house: begin (written by tools/house.py) -->", "<!-- house: end -->"

Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    """Return each module's name and file."""
    files = {}
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imports(*, for_types: bool) -> dict[str, set[str]]:
    """Return which modules each module imports, also inside functions.

    Args:
        for_types: Whether imports under ``if TYPE_CHECKING`` count.
    """
    files = modules()
    graph = {}
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[name] = set(_imported(tree, files, for_types=for_types)) - {name}
    return graph


def _imported(node: ast.AST, files: Mapping[str, Path], *, for_types: bool) -> Iterator[str]:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not for_types:
            return
        case ast.Import(names=names):
            yield from (alias.name for alias in names if alias.name in files)
        case ast.ImportFrom(module=module, names=names) if module in files:
            for alias in names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in files else module
    for child in ast.iter_child_nodes(node):
        yield from _imported(child, files, for_types=for_types)


def folders(graph: Graph) -> dict[str, set[str]]:
    """Return which folders at the top of the package each of them imports."""
    between: dict[str, set[str]] = {}
    for name, targets in graph.items():
        if name.count(".") and not name.endswith("__main__"):
            home = between.setdefault(_folder(name), set())
            home |= {_folder(target) for target in targets if target.count(".")}
    return {home: targets - {home} for home, targets in between.items()}


def _folder(module: str) -> str:
    return module.split(".")[1]


def floors() -> list[list[str]]:
    """Return the folders layer by layer, the top first, as import-linter's first contract says."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["name"] == "imports go down only"
    )
    return [re.findall(rf"{PACKAGE}\.(\w+)", layer) for layer in layers]


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import each other in a circle (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
            if target in stack:
                lowest[name] = min(lowest[name], lowest[target])
        if lowest[name] == index[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                groups.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted(groups)


def drawing() -> str:
    """Return the layers, the top first, and the imports of each folder."""
    between = folders(imports(for_types=False))
    order = [name for floor in floors() for name in floor]
    lines = ["```text"]
    for floor in floors():
        for name in floor:
            below = " ".join(each for each in order if each in between[name])
            lines.append(f"{name:10} -> {below}" if below else name)
        lines.append("-" * 60)
    lines[-1] = "```"
    return "\n".join(lines)


def redrawn(text: str) -> str:
    """Return the page with the current drawing between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"


def main() -> int:
    """Write the drawing into the page; return the exit code."""
    text = DESIGN.read_text(encoding="utf-8")
    DESIGN.write_text(redrawn(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
