"""Stage the files of `sockstore demo --browser`: Pyodide from npm, compiled and compressed.

The tool needs only node, npm and the network.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "src"
SCRIPTS = ("package.json", "compile.mjs", "compile_archive.py")
SECONDS_TO_INSTALL = 300
SECONDS_TO_COMPILE = 600


class StagingFailed(Exception):
    """The staging failed; the tool prints the message and ends with status 1."""


def stage(target: Path, *, quick: bool = False, as_shipped: bool = False) -> None:
    """Make or replace the folder.

    Args:
        target: The folder; it is replaced only when all files are complete.
        quick: Whether to compress less, which takes seconds instead of a minute.
        as_shipped: Whether to compile nothing.

    Raises:
        StagingFailed: If a tool is missing or fails.
    """
    _require("node", "npm")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".staging-") as folder:
        work = Path(folder)
        for script in SCRIPTS:
            shutil.copy(HERE / script, work)
        _install(work)
        result = _compile(work, quality=5 if quick else 11, as_shipped=as_shipped)
        shutil.rmtree(target, ignore_errors=True)
        result.rename(target)


def _require(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            raise StagingFailed(f"there is no {tool}; install your system's nodejs and npm")


def _install(work: Path) -> None:
    npm = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
    _run(npm, work, SECONDS_TO_INSTALL, "npm could not install pyodide")


def _compile(work: Path, *, quality: int, as_shipped: bool) -> Path:
    sources, digest = _write_sources(work)
    result = work / "result"
    result.mkdir()
    settings = {
        "sources": str(sources),
        "digest": digest,
        "target": str(result),
        "quality": quality,
        "asShipped": as_shipped,
    }
    node = ("node", "compile.mjs", json.dumps(settings))
    _run(node, work, SECONDS_TO_COMPILE, "Pyodide could not compile the standard library")
    return result


def _write_sources(work: Path) -> tuple[Path, str]:
    # The package of this checkout, even if this Python has another one installed.
    sys.path.insert(0, str(SOURCES))
    from sockstore.demo.browser.archive import pack_sources  # noqa: PLC0415 - the path is set above

    archive = pack_sources()
    path = work / archive.name
    path.write_bytes(archive.data)
    return path, archive.digest


def _run(command: tuple[str, ...], place: Path, seconds: float, problem: str) -> None:
    try:
        finished = subprocess.run(
            command, cwd=place, timeout=seconds, check=False, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        raise StagingFailed(f"{problem} within {seconds:.0f} s; try again") from None
    if finished.returncode:
        raise StagingFailed(f"{problem}: {_gist(finished.stderr) or 'it printed no reason'}")


def _gist(output: str) -> str:
    """Return the message of an error, without the program of Pyodide, which fills a megabyte."""
    lines = [line[:300] for line in output.strip().splitlines() if len(line) < 1000]
    return " ".join(lines[:6])


def main() -> int:
    """Run the tool.

    Returns:
        The exit status.
    """
    options = _parse()
    target = options.folder.resolve()
    print(f"staging Pyodide in {target} ...", flush=True)
    try:
        stage(target, quick=options.quick, as_shipped=options.as_shipped)
    except StagingFailed as failure:
        print(f"browser-runtime: {failure}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in target.glob("*.br"))
    print(f"done: a page loads {size / 1e6:.1f} MB of it; now: sockstore demo --browser")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Stage Pyodide for `sockstore demo --browser`.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=SOURCES.parent / "build" / "browser-runtime"
    )
    parser.add_argument("--quick", action="store_true", help="compress less, for tests")
    parser.add_argument("--as-shipped", action="store_true", help="compile nothing, to compare")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
