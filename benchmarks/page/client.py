"""Receive floods in a page of Chromium: ``python -m benchmarks.page.client plain URL FOLDER``.

Prints, for each size, the messages per CPU second of the page's process, and per second. Chromium
tells the CPU time itself; it has both cores, as it has for its users.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from benchmarks.browser.client import FLAGS
from benchmarks.page.floods import COUNTS
from sockstore.cli.serving import address_of, listening_socket, served
from sockstore.demo.browser.archive import pack_sources

HERE = Path(__file__).parent
PEERS = ("sockstore", "callback", "plain")
CLOCK_TICK = 0.01
"""Seconds; the browser counts CPU time in these, so less cannot be measured."""

PAGE = "<!doctype html><title>receive</title>"
LOAD = """async () => {
    const { loadPyodide } = await import("/pyodide/pyodide.mjs");
    const python = window.python = await loadPyodide({ indexURL: "/pyodide/" });
    const fetched = async (path) => (await fetch(path)).arrayBuffer();
    await python.unpackArchive(await fetched("/sources.zip"), "zip");
    python.FS.writeFile("in_page.py", new Uint8Array(await fetched("/in_page.py")));
    python.runPython("import sys; sys.path.insert(0, '.'); import in_page");
}"""

Receive: TypeAlias = Callable[[str, int], Any]


def main() -> None:
    """Run all sizes with one peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path, help="with Pyodide")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of messages")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with _page(options.folder) as (page, cpu_seconds):
        receive = _plainly(page) if options.peer == "plain" else _in_python(page, options.peer)
        for size, usual in COUNTS.items():
            count = max(100, round(usual * options.share))
            url = f"{options.url}/flood?size={size}&count="
            receive(f"{url}{100}", 100)  # the first messages compile the code
            cpu, begun = cpu_seconds(), time.perf_counter()
            receive(f"{url}{count}", count)
            figures[f"{size} B, a second"] = count / (time.perf_counter() - begun)
            figures[f"{size} B"] = count / max(cpu_seconds() - cpu, CLOCK_TICK)
    print(json.dumps(figures))


def _plainly(page: Page) -> Receive:
    script = (HERE / "plain.js").read_text(encoding="utf-8").rstrip().removesuffix(";")
    call = f"([url, count]) => ({script})(url, count)"
    return lambda url, count: page.evaluate(call, [url, count])


def _in_python(page: Page, peer: str) -> Receive:
    page.evaluate(LOAD)
    call = f"await in_page.{peer}('${{url}}', ${{count}})"
    call = f"([url, count]) => python.runPythonAsync(`{call}`)"
    return lambda url, count: page.evaluate(call, [url, count])


@contextmanager
def _page(pyodide: Path) -> Iterator[tuple[Page, Callable[[], float]]]:
    """Open an empty page; yield it, and a function that returns its CPU seconds so far."""
    chromium = shutil.which("chromium")
    listening = listening_socket("127.0.0.1", 0)
    with served(_site(pyodide), listening), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://{address_of(listening)}/")
        yield page, _cpu_seconds(browser)
        browser.close()


def _cpu_seconds(browser: Browser) -> Callable[[], float]:
    session: CDPSession = browser.new_browser_cdp_session()

    def ask() -> float:
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return float(sum(each["cpuTime"] for each in processes if each["type"] == "renderer"))

    return ask


def _site(pyodide: Path) -> Starlette:
    sources, program = pack_sources().data, (HERE / "in_page.py").read_bytes()

    def answer(body: bytes) -> Callable[[Request], Response]:
        return lambda _: Response(body)

    return Starlette(
        routes=[
            Route("/", lambda _: HTMLResponse(PAGE)),
            Route("/sources.zip", answer(sources)),
            Route("/in_page.py", answer(program)),
            Mount("/pyodide", StaticFiles(directory=pyodide)),
        ]
    )


if __name__ == "__main__":
    main()
