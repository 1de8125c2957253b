"""Run Autobahn's fuzzing cases against the native transport, and write down what came of it.

``make conformance`` runs all cases and rewrites the table in ``docs/reference/conformance.md``;
a sample runs with the tests. The judge is the fuzzing server of the package kosoku, which runs
Autobahn's own case files.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from kosoku import FailureError, run_fuzzingserver

from sockstore import Deflate, Outbox, WebSocketStore

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reference" / "conformance.md"
SECONDS = 120.0
LARGEST = 64 * 2**20
"""Bytes; the largest case sends 16 MiB, and expects them back."""


WITHOUT_CONTEXT = Deflate(client_no_context_takeover=True)
PARAMETERS = tuple(f"13.{number}.*" for number in range(1, 8))
WITHOUT_CONTEXT_CASES = ("13.2.", "13.5.", "13.6.")
"""The judge asks for it there, which it may only if it was offered."""


class Result(Protocol):
    """What the judge says of one case."""

    case_id: str
    behavior: object
    passed: bool


FAMILIES = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing handshake",
    "9": "limits and performance",
    "10": "misc",
    "12": "compression (permessage-deflate)",
    "13": "compression, with parameters",
}
WHY = {
    "7.1.5": "a close frame in the middle of a fragmented message is answered with 1002: stricter "
    "than the case asks for, as the engine's authors document",
}


async def run_cases(cases: Sequence[str]) -> list[Result]:
    """Play the client in all cases that the globs name.

    Args:
        cases: Ids or globs, such as ``"1.*"``.
    """
    named = [one for glob in cases for one in (PARAMETERS if glob == "13.*" else (glob,))]
    without = [one for one in named if one.startswith(WITHOUT_CONTEXT_CASES)]
    others = [one for one in named if one not in without]
    return [
        *(await _run(others, Deflate()) if others else ()),
        *(await _run(without, WITHOUT_CONTEXT) if without else ()),
    ]


async def _run(cases: Sequence[str], deflate: Deflate) -> list[Result]:
    async with run_fuzzingserver(list(cases), port=0) as server:
        address = f"ws://127.0.0.1:{server.port}"
        for case in range(1, await _count(address) + 1):
            await _play(f"{address}/runCase?case={case}&agent=sockstore", deflate)
        await _play(f"{address}/updateReports?agent=sockstore", deflate)
        try:
            return list(await asyncio.wait_for(server.get_result(), SECONDS))
        except FailureError as failure:
            return list(failure.results)


async def _count(address: str) -> int:
    async with WebSocketStore(f"{address}/getCaseCount", reconnect=False) as connection:
        [message] = await connection.messages.wait_for(len, SECONDS)
    return int(message.data)


async def _play(url: str, deflate: Deflate) -> None:
    """Send every message back as it came, until the server closes."""
    connection = WebSocketStore(
        url,
        reconnect=False,
        compression=deflate,
        history=0,
        max_message_bytes=LARGEST,
        outbox=Outbox(max_bytes=2 * LARGEST),
        codec=(lambda frame: frame, lambda frame: frame),
    )
    connection.messages.on_append(lambda message: connection.send(message.data))
    async with connection:
        await connection.state.wait_for(lambda state: state.phase in {"closed", "failed"}, SECONDS)


def verdict(result: Result) -> str:
    """Return what came of a case, in the judge's words."""
    said = str(result.behavior).rpartition(".")[2].lower()
    return said if result.passed or said == "unimplemented" else "failed"


def table(results: Iterable[Result]) -> str:
    """Return the results as a table of families."""
    counts: dict[str, Counter[str]] = {}
    failed: list[Result] = []
    for result in results:
        family = result.case_id.partition(".")[0]
        counts.setdefault(family, Counter())[verdict(result)] += 1
        if verdict(result) == "failed":
            failed.append(result)
    lines = ["| cases | about | passed | not strict | informational | unimplemented | failed |"]
    lines.append("|---|---|---|---|---|---|---|")
    for family, verdicts in sorted(counts.items(), key=lambda item: int(item[0])):
        columns = ("ok", "non_strict", "informational", "unimplemented", "failed")
        cells = " | ".join(str(verdicts[name]) for name in columns)
        lines.append(f"| {family}.* | {FAMILIES.get(family, '')} | {cells} |")
    for result in failed:
        why = WHY.get(result.case_id, "unexplained")
        lines.append(f"\n- {result.case_id}: {why}")
    return "\n".join(lines)


def main(cases: Sequence[str]) -> int:
    """Run the cases; without any given, all of them, and write the document."""
    results = asyncio.run(run_cases(cases or [f"{family}.*" for family in FAMILIES]))
    text = table(results)
    print(text)  # noqa: T201 - a command
    if not cases:
        before, marker, _ = DOCUMENT.read_text().partition("<!-- results -->\n")
        DOCUMENT.write_text(f"{before}{marker}\n{text}\n")
    failed = {one.case_id for one in results if verdict(one) == "failed"}
    return 1 if failed - WHY.keys() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
