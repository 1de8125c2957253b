"""Open the demo whose Python runs in the page: ``python -m benchmarks.browser.client FOLDER``.

Prints the seconds from the beginning of the navigation until the page is connected, in a profile of
its own (cold) and again in the same one (warm), over loopback and over a slow network, and the
megabytes that come over the wire. The page itself takes the time, so the harness does not count.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

from sockstore.cli.serving import address_of, listening_socket, served
from sockstore.demo.browser.app import create_browser_demo
from sockstore.demo.browser.runtime import find_runtime

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
VISITS_TO_WARM_UP = 2
"""Chromium keeps compiled code only when a page loads it again."""
VISITS = 3
MILLISECONDS = 60_000

SLOW = {
    "offline": False,
    "latency": 40,
    "downloadThroughput": 10e6 / 8,
    "uploadThroughput": 10e6 / 8,
}
"""10 Mbps and 40 ms, as Chromium's protocol writes them."""

WATCH = """
new MutationObserver((_, watching) => {
    if (!document.querySelector(".sockstore-banner.connected")) return;
    window.connectedAfter = performance.now() / 1000;
    watching.disconnect();
}).observe(document, { subtree: true, childList: true, attributes: true });
"""
WIRE = """
["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((bytes, { transferSize }) => bytes + transferSize, 0) / 1e6
"""


def main() -> None:
    """Measure one copy of Pyodide."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="the first visit over loopback only")
    options = parser.parse_args()
    listening = listening_socket("127.0.0.1", 0)
    address = f"http://{address_of(listening)}/"
    with served(create_browser_demo(find_runtime(options.folder)), listening):
        figures = _visits(address, None, warm=not options.quick)
        if not options.quick:
            slowly = _visits(address, SLOW, warm=True)
            figures |= {f"{name}, 10 Mbps": slowly[name] for name in ("cold", "warm")}
    print(json.dumps(figures))


def _visits(address: str, network: Mapping[str, Any] | None, *, warm: bool) -> dict[str, float]:
    with _chromium() as context:
        page = _visit(context, address, network)
        figures = {"cold": _seconds(page), "loads": float(page.evaluate(WIRE))}
        if warm:
            seconds = [
                _seconds(_visit(context, address, network))
                for _ in range(VISITS_TO_WARM_UP + VISITS)
            ]
            figures["warm"] = statistics.median(seconds[VISITS_TO_WARM_UP:])
    return figures


def _visit(context: BrowserContext, address: str, network: Mapping[str, Any] | None) -> Page:
    """Open a tab, close the others, and wait until it is connected."""
    page = context.new_page()
    for other in context.pages:
        if other != page:
            other.close()
    page.add_init_script(WATCH)
    if network is not None:
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", dict(network))
    page.goto(address, wait_until="commit")
    page.wait_for_function("window.connectedAfter", timeout=MILLISECONDS)
    return page


def _seconds(page: Page) -> float:
    return float(page.evaluate("window.connectedAfter"))


@contextmanager
def _chromium() -> Iterator[BrowserContext]:
    """Run a browser with an empty profile."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=shutil.which("chromium"), args=FLAGS
        )
        yield context
        context.close()


if __name__ == "__main__":
    main()
