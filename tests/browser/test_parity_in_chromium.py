"""The third kit in a real Chromium: the table of cases, and the promises, played in a page.

Python runs in the page, on a virtual clock; what the user does is done with true keys and a mouse.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Error, Page

from browser.conftest import MILLISECONDS
from browser.pyodide_pages import LOAD, pages
from kits.other_promises import PROMISES
from kits.table import TABLE

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("parity in chromium"),
]

IN_PAGE = [
    "fake_history.py",
    "greeting_server.py",
    "integration/history_server.py",
    "integration/rooms_server.py",
    *(
        f"kits/{name}.py"
        for name in (
            "kit_in_page",
            "cases_of_demo",
            "cases_of_history",
            "cases_of_input",
            "cases_of_messages",
            "cases_of_providers",
            "cases_of_rooms",
            "cases_of_status",
            "harness",
            "layouts",
            "other_promises",
            "played_in_page",
            "script",
            "table",
            "clock_in_page",
        )
    ),
]

BEFORE = """() => {
    window.problems = [];
    const note = (problem) => problems.push(String(problem).slice(0, 2000));
    addEventListener("error", (event) => note(event.message));
    addEventListener("unhandledrejection", (event) => note(event.reason));
    const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
    window.frames = () => frame().then(frame);
}"""

ROWS = ".sockstore-row { min-height: 8rem }"
"""Rows as high as long messages are: who looks at the end of ten is far from their beginning."""

STAGE = """() => {
    const { port1, port2 } = new MessageChannel();
    const calls = [];
    port1.onmessage = () => calls.shift()();
    const soon = (call) => { calls.push(call); port2.postMessage(0); };
    window.stage = python.pyimport("kits.played_in_page").Stage(soon);
}"""

PLAY = """async ([method, number]) => {
    const told = await stage[method](number);
    const all = [told, ...problems.splice(0)];
    return all.filter((one) => one).join("\\n");
}"""

REST = """(list) => new Promise((rests) => {
    let [frames, top] = [0, NaN];
    const look = () => {
        frames = list.scrollTop === top ? frames + 1 : 0;
        top = list.scrollTop;
        frames < 4 ? requestAnimationFrame(look) : rests();
    };
    look();
})"""
FAR_ENOUGH = 450
"""Pixels from the beginning where no older messages are asked for, but the end is left."""


class Hand:
    """What the user does in the page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def use(self, action: str, selector: str, argument: str) -> str:
        """Do something; what went wrong, if anything did."""
        try:
            await getattr(self, f"_{action}")(self._page.locator(selector).last, argument)
        except (AssertionError, Error) as error:
            return f"{action} {selector}: {error}"
        return ""

    async def _type(self, field, text: str) -> None:
        if await self._take(field):
            await self._page.keyboard.press("Control+End")
        await self._page.keyboard.insert_text(text)

    async def _press(self, field, key: str) -> None:
        await self._take(field)
        await self._page.keyboard.press("Shift+Enter" if key == "shift+enter" else "Enter")

    async def _take(self, field) -> bool:
        await field.focus()
        return await field.evaluate("(field) => field === document.activeElement")

    async def _click(self, button, _: str) -> None:
        # A button that is disabled takes the click and does nothing.
        await button.click(force=await button.is_disabled())

    async def _scroll(self, messages, to: str) -> None:
        await messages.hover()
        top, height = await messages.evaluate("(list) => [list.scrollTop, list.scrollHeight]")
        target = {"top": 0, "start": min(FAR_ENOUGH, top / 2), "end": height}[to]
        await self._page.mouse.wheel(0, target - top)
        await messages.evaluate(REST)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(chromium):
    """A page that cases can be played in."""
    async with pages(*IN_PAGE) as address:
        context = await chromium.new_context(viewport={"width": 800, "height": 900})
        context.set_default_timeout(MILLISECONDS)
        page = await context.new_page()
        await page.expose_function("hand", Hand(page).use)
        await page.goto(address)
        await page.evaluate(BEFORE)
        await page.evaluate(LOAD, "")
        await page.evaluate(STAGE)
        await page.add_style_tag(content=ROWS)
        yield page
        await context.close()


def _rows(whats: tuple[Any, ...]) -> list[Any]:
    return [
        pytest.param(number, id=what.name, marks=pytest.mark.contract(*what.contract))
        for number, what in enumerate(whats)
    ]


async def _play(stage: Page, method: str, number: int) -> None:
    told = await stage.evaluate(PLAY, [method, number])
    if told:
        pytest.fail(_shortened(told), pytrace=False)


def _shortened(told: str) -> str:
    """Leave out what only repeats long lists of rows."""
    return "\n".join(line[:1000] for line in told.splitlines())


@pytest.mark.parametrize("number", _rows(TABLE))
async def test_a_case(stage, number):
    await _play(stage, "play_case", number)


@pytest.mark.parametrize("number", _rows(PROMISES))
async def test_a_promise(stage, number):
    await _play(stage, "keep_promise", number)
