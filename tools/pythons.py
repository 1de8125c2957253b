"""Find the other Pythons that sockstore supports, and run the tests on them.

``pythons.py find python3.13`` prints its path; ``pythons.py test`` runs ``make test-core`` on each
other supported Python that is installed: on PATH, or among pyenv's versions.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SECONDS_TO_ANSWER = 20
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def supported() -> list[str]:
    """Return the versions that the package claims to support."""
    import tomllib  # noqa: PLC0415 - finding a newer Python must work on an older one

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    claims = map(claimed.fullmatch, project["classifiers"])
    return [claim[1] for claim in claims if claim]


def find(name: str) -> str | None:
    """Return the path of an interpreter, if it runs.

    Args:
        name: A command such as ``python3.13``, or a path.
    """
    wanted = re.fullmatch(r"python(3\.\d+)", name)
    for candidate in _candidates(name):
        version = _version_of(candidate)
        if version is not None and (wanted is None or version == wanted[1]):
            return candidate
    return None


def _candidates(name: str) -> Iterator[str]:
    # The one on PATH may be a shim of pyenv, which works only for the selected versions.
    if on_path := shutil.which(name):
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(map(str, pyenv.glob(f"versions/*/bin/{name}")), reverse=True)


def _version_of(python: str) -> str | None:
    try:
        done = subprocess.run(
            [python, "-c", VERSION],
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS_TO_ANSWER,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def test_others() -> int:
    """Run the tests on every other supported Python; return the exit code."""
    here = "{}.{}".format(*sys.version_info)
    lines, failed = [f"Python {here}: make test"], False
    for version in supported():
        if version == here:
            continue
        python = find(f"python{version}")
        if python is None:
            lines.append(f"Python {version}: NOT TESTED, there is no such interpreter here")
            continue
        print(f"Python {version}: {python}", flush=True)
        done = subprocess.run(["make", "test-core", f"PYTHON={python}"], cwd=ROOT, check=False)
        failed |= done.returncode != 0
        lines.append(f"Python {version}: {'FAILED' if done.returncode else 'passed'}")
    print("\n".join(lines))
    return 1 if failed else 0


def main() -> int:
    """Run the command that the command line names; return the exit code."""
    match sys.argv[1:]:
        case ["find", name]:
            path = find(name)
            print(path or "")
            return 0 if path else 1
        case ["test"]:
            return test_others()
    sys.exit("usage: pythons.py find NAME | pythons.py test")


if __name__ == "__main__":
    sys.exit(main())
