"""Pages that must not break: servers that send nonsense, users in a hurry, lost links."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest
import pytest_asyncio
from nicegui import ui
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from browser.demos import (
    CONNECTED,
    FIELD,
    LINES,
    RECORDS,
    SEND,
    address_of,
    create_demo,
    eventually,
    listen,
    say,
    texts,
    wait_for_lines,
)
from loopback.processes import SECONDS, run, start
from sockstore import WebSocketStore
from sockstore.cli.serving import serve_until_stopped
from sockstore.ui.nicegui import (
    ChatInput,
    ChatMembers,
    ChatMessages,
    ConnectionStatus,
    LiveList,
    WebSocketDemo,
    WebSocketProvider,
)

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("hostile pages"),
]

TESTS = Path(__file__).parents[1]
STATUS = ".sockstore-status"
FAILED = "[data-mark=failed] .sockstore-content"
POPUP = "#popup[aria-hidden=false]"
OWN = ".sockstore-line.own .sockstore-content"


class Nonsense:
    """A server that sends what the test says."""

    def __init__(self) -> None:
        self.clients: list[ServerConnection] = []
        self.paths: list[str] = []
        self.got: list[str] = []
        self.is_away = False

    def admit(self, client: ServerConnection, request: Request) -> Response | None:
        return client.respond(HTTPStatus.SERVICE_UNAVAILABLE, "away") if self.is_away else None

    async def handle(self, client: ServerConnection) -> None:
        self.clients.append(client)
        self.paths.append(client.request.path)
        with suppress(ConnectionClosed):
            async for message in client:
                self.got.append(message)

    async def send(self, *frames: str | bytes) -> None:
        for client in self.open:
            for frame in frames:
                await client.send(frame)

    async def have(self, number: int) -> None:
        await eventually(lambda: len(self.open) == number, f"{number} clients")

    @property
    def open(self) -> list[ServerConnection]:
        return [client for client in self.clients if client.close_code is None]


def serve_pages(nonsense: str) -> None:
    """The demo and pages of all kinds, in a process of their own: NiceGUI's pages are global."""
    # Outages are what these pages are for; what is said besides would be a mistake.
    for name in ("connection", "ui"):
        logging.getLogger(f"sockstore.{name}").setLevel(logging.CRITICAL)
    listening = listen()
    address = address_of(listening)
    app = create_demo(address)
    chat_server = f"ws://{address}/chat"

    def chat() -> None:
        ConnectionStatus()
        ChatMembers()
        ChatMessages()
        ChatInput()

    @ui.page("/patient", reconnect_timeout=30)
    @ui.page("/nonsense", reconnect_timeout=1)
    def nonsense_chat(attempts: int = 5) -> None:
        with WebSocketProvider(
            f"{nonsense}/chat", reconnect_interval=0.1, max_reconnect_attempts=attempts
        ):
            chat()

    @ui.page("/patient-echo", reconnect_timeout=30)
    @ui.page("/nonsense-echo", reconnect_timeout=1)
    def nonsense_echo() -> None:
        with WebSocketProvider(f"{nonsense}/echo", reconnect_interval=0.1):
            WebSocketDemo()

    @ui.page("/feed", reconnect_timeout=1)
    def feed() -> None:
        with WebSocketProvider(f"{nonsense}/feed", reconnect_interval=0.1):
            ConnectionStatus()
            with ui.element("section").classes("trades"):
                LiveList(lambda trade: (trade["symbol"], trade["price"]), limit=50)
            with ui.element("section").classes("prices"):
                LiveList(
                    lambda trade: f"{trade['symbol']} {trade['price']}",
                    key=lambda trade: trade["symbol"],
                    columns=("Price",),
                )

    @ui.page("/quick")
    def quick(room: str, interval: float = 0.1) -> None:
        with WebSocketProvider(f"{chat_server}/{room}?name=Ann", reconnect_interval=interval):
            chat()

    @ui.page("/nested")
    def nested() -> None:
        with WebSocketProvider(f"{chat_server}/outer?name=Out"):
            with ui.element("section").classes("inner"):
                with WebSocketProvider(f"{chat_server}/inner?name=In"):
                    chat()
            with ui.element("section").classes("outer"):
                chat()

    @ui.page("/beside")
    def beside() -> None:
        given = WebSocketStore(f"{chat_server}/given?name=Given")
        with WebSocketProvider(f"{chat_server}/a?name=A", name="a"):
            with WebSocketProvider(f"{chat_server}/b?name=B", name="b"):
                for name in "ab":
                    with ui.element("section").classes(name):
                        ConnectionStatus(name=name)
                        ChatMessages(name=name)
                        ChatInput(name=name)
        with ui.element("section").classes("given"):
            ConnectionStatus(given)
            ChatMessages(given)
            ChatInput(given)
        ui.button("connect", on_click=given.connect)
        ui.button("close", on_click=given.close)

    @ui.page("/turns")
    def turns() -> None:
        with WebSocketProvider(f"{chat_server}/first?name=Ann", auto_connect=False) as provider:
            chat()

        def turn() -> None:
            provider.url = f"{nonsense}/second"

        ui.button("connect", on_click=provider.connection.connect)
        ui.button("turn", on_click=turn)

    @ui.page("/lent", reconnect_timeout=1)
    def lent() -> None:
        with WebSocketProvider(f"{nonsense}/lent", share=True, linger=0.5):
            chat()

    @ui.page("/raises")
    def raises() -> None:
        with WebSocketProvider(f"{nonsense}/raises"):
            chat()
        raise RuntimeError("a bug of the page")

    @ui.page("/again")
    def again() -> None:
        @ui.refreshable
        def part() -> None:
            with WebSocketProvider(f"{nonsense}/again"):
                chat()

        part()
        ui.button("again", on_click=part.refresh)
        ui.button("brief", on_click=lambda: (part.refresh(), part.refresh()))

    @ui.page("/sub")
    @ui.page("/sub/two")
    def sub() -> None:
        def one() -> None:
            with WebSocketProvider(f"{nonsense}/one"):
                chat()

        def two() -> None:
            with WebSocketProvider(f"{nonsense}/two"):
                chat()

        ui.link("to one", "/sub")
        ui.link("to two", "/sub/two")
        ui.sub_pages({"/sub": one, "/sub/two": two})

    def started() -> None:
        sys.stdout.write(f"http://{address}\n")

    serve_until_stopped(app, listening, on_started=started)


class Site:
    """The pages' process, its address, and the server that sends nonsense."""

    def __init__(self, process, address: str, nonsense: Nonsense) -> None:
        self.process = process
        self.address = address
        self.nonsense = nonsense


async def start_pages(nonsense: str):
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"from browser.test_hostile_pages import serve_pages; serve_pages({nonsense!r})",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process():
    nonsense = Nonsense()
    async with serve(
        nonsense.handle, "127.0.0.1", 0, max_size=None, process_request=nonsense.admit
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await start_pages(f"ws://127.0.0.1:{port}")
        try:
            async with asyncio.timeout(SECONDS):
                line = (await process.stdout.readline()).decode().strip()
            assert line.startswith("http"), (await process.stderr.read()).decode()
            yield Site(process, line, nonsense)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
            assert (process.returncode, out) == (0, b"")
            # The one page that raises said so, and nothing else was ever said, before or after.
            assert err.rstrip().endswith(b"RuntimeError: a bug of the page") or not err, (
                err.decode()
            )
            assert b"destroyed" not in err
        finally:
            if process.returncode is None:
                process.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def site(process, open_page):
    """What earlier tests have said and heard is forgotten."""
    process.nonsense.__init__()
    return process


async def cut(page) -> None:
    """Break the visitor's own link, and wait until the page has noticed."""
    await page.context.set_offline(True)
    await page.wait_for_selector(POPUP, state="attached")


def message(content: object, **more: object) -> str:
    return json.dumps({"type": "message", "sender": "Eve", "content": content, **more})


NONSENSE = [
    message("x" * (2**20 - 100)),
    "y" * 2**19,
    "[" * 10_000 + "]" * 10_000,
    "[" * 900 + "]" * 900,
    '{"a":' * 900 + "1" + "}" * 900,
    "NaN",
    "[NaN, Infinity, 1e999, " + "9" * 5000 + "]",
    b"\x00\xff binary",
    "[]",
    "[1, [2]]",
    "null",
    '""',
    "",
    "\x00 null \x00",
    '{"content": "half \\ud83d"}',
    '{"sender": "half \\ud83d", "content": {"\\udc00": ["\\ud800"]}, "timestamp": "\\ud800"}',
    '{"type": "join", "sender": "\\ud800"}',
    '{"type": "presence", "members": ["\\ud800", 7, null, {}], "count": -3}',
    '{"type": "history"}',
    '{"type": "history", "messages": {"a": 1}}',
    '{"type": "history", "messages": [7, null, [], {"content": []}, {"id": "\\ud800"}]}',
    '{"type": ["history"], "messages": "no", "id": {}, "timestamp": 1e300}',
    '{"type": "error", "message": {"not": "text"}}',
    message("\u202e turned \u202e", sender="\u202eevE", timestamp="2026-01-01"),
    message("w" * 10_000),
    message("👩‍👩‍👧‍👦" * 200, sender="👩‍👩‍👧‍👦" * 200),
    message("text", sender="S" * 100_000),
    '{"__proto__": {"polluted": 1}, "constructor": 1, "key": "k", "id": "__proto__"}',
]


@pytest.mark.contract("UI3", "UI5", "MS1")
async def test_nonsense_is_shown_or_passed_over_and_breaks_no_page(site, open_page):
    chat = await open_page(f"{site.address}/nonsense")
    echo = await open_page(f"{site.address}/nonsense-echo")
    for page in (chat, echo):
        await page.wait_for_selector(CONNECTED)
    await site.nonsense.have(2)
    await site.nonsense.send(*NONSENSE, message("the end"))
    await chat.get_by_text("the end").wait_for()
    await echo.get_by_text("the end").wait_for()
    assert await echo.locator(RECORDS).count() == len(NONSENSE) + 1
    for page in (chat, echo):
        assert await page.locator(CONNECTED).count() == 1
        lengths = await page.evaluate(
            "[...document.querySelectorAll('.sockstore-messages > *')]"
            ".map(one => one.textContent.length)"
        )
        assert max(lengths) < 11_000
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await page.locator(".sockstore-messages").evaluate(
            "one => one.scrollWidth <= one.clientWidth"
        )
        await say(page, "still works")
    await eventually(lambda: len(site.nonsense.got) == 2, "both pages can send")


@pytest.mark.contract("UI1", "UI3", "MS1")
async def test_a_live_list_shows_what_it_is_made_for_and_leaves_out_nonsense(site, open_page):
    page = await open_page(f"{site.address}/feed")
    await page.wait_for_selector(CONNECTED)
    await site.nonsense.have(1)
    await site.nonsense.send(*NONSENSE)
    trades = [(symbol, price) for price in range(30) for symbol in ("<b>BTC</b>", "ETH")]
    for symbol, price in trades:
        await site.nonsense.send(json.dumps({"symbol": symbol, "price": price}))
    shown = ".prices .sockstore-messages > .sockstore-cells:not(.sockstore-columns)"
    await wait_for_lines(page, "<b>BTC</b> 29", "ETH 29", selector=shown)
    cells = ".trades .sockstore-cells span"
    expected = [text for symbol, price in trades[-50:] for text in (symbol, str(price))]
    await wait_for_lines(page, *expected, selector=cells)
    assert await texts(page, ".sockstore-columns") == ["Price"]
    assert not await page.locator(".sockstore-cells b").count()


@pytest.mark.contract("CN15", "UI2")
async def test_a_message_of_ten_megabytes_ends_the_connection_and_retry_brings_it_back(
    site, open_page
):
    page = await open_page(f"{site.address}/nonsense")
    echo = await open_page(f"{site.address}/nonsense-echo")
    for one in (page, echo):
        await one.wait_for_selector(CONNECTED)
    await site.nonsense.have(2)
    await site.nonsense.send(message("before"))
    for one in (page, echo):
        await one.get_by_text("before").wait_for()
    await site.nonsense.send("z" * (10 * 2**20))
    for one in (page, echo):
        await one.wait_for_selector(".error")
    await eventually(
        lambda: {client.close_code for client in site.nonsense.clients} == {1009},
        "the server is told the close code",
    )
    assert "larger than" in (await texts(page, "[role=status]"))[0]
    for one in (page, echo):
        await one.get_by_role("button", name="Retry").click()
        await one.wait_for_selector(CONNECTED)
        assert not await one.get_by_role("button", name="Retry").is_visible()
    await wait_for_lines(page, "before")
    assert await echo.locator(RECORDS).count() == 1


@pytest.mark.contract("UI3", "MS2")
async def test_a_thousand_messages_a_second_leave_the_page_usable(site, open_page):
    # On a busy machine an impatient page would begin anew, without what it showed.
    chat = await open_page(f"{site.address}/patient")
    echo = await open_page(f"{site.address}/patient-echo")
    for page in (chat, echo):
        await page.wait_for_selector(CONNECTED)
    await site.nonsense.have(2)

    async def flood() -> None:
        for number in range(1500):
            await site.nonsense.send(message(f"number {number} {'lorem ipsum ' * 20}"))
            if number % 20 == 0:
                await asyncio.sleep(0.02)

    flooding = asyncio.create_task(flood())
    await chat.get_by_text("number").first.wait_for()
    await say(chat, "said in the flood")
    await eventually(lambda: site.nonsense.got, "the user is heard")
    await flooding
    await chat.get_by_text("number 1499").wait_for()
    await echo.get_by_text("number 1499").wait_for()
    assert await chat.locator(LINES).count() == 300
    assert await echo.locator(RECORDS).count() == 200
    assert await chat.evaluate("document.querySelectorAll('*').length") < 300 * 8


@pytest.mark.contract("UI4", "SV3")
async def test_a_text_that_is_too_large_for_the_server_is_not_lost(site, open_page):
    page = await open_page(f"{site.address}/quick?room=large")
    await page.wait_for_selector(CONNECTED)
    text = "long " * 20_000
    await say(page, text)
    await page.wait_for_selector(f"{STATUS}.error")
    await page.wait_for_selector(FAILED)
    assert "1009" in (await texts(page, "[role=status]"))[0]
    assert await texts(page, FAILED) == [text]
    await page.get_by_role("button", name="Retry").click()
    await page.wait_for_selector(CONNECTED)
    await say(page, "shorter")
    await page.wait_for_selector("[data-mark=acknowledged]")
    assert await texts(page, OWN) == [text, "shorter"]
    await page.locator(FIELD).fill("x" * 1_000_000)
    await page.locator(FIELD).press("Enter")
    await page.get_by_role("alert").get_by_text("too long").wait_for()
    assert len(await page.locator(FIELD).input_value()) == 1_000_000


@pytest.mark.contract("UI2", "UI3", "SV3")
async def test_a_user_who_sends_too_much_sees_what_was_delivered_when_it_is_back(site, open_page):
    page = await open_page(f"{site.address}/quick?room=much&interval=1")
    await page.wait_for_selector(CONNECTED)
    await page.evaluate(
        """async () => {
            const field = document.querySelector("textarea");
            for (let number = 0; number < 200; number++) {
                field.value = `${number}`;
                field.dispatchEvent(new Event("input"));
                field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
            }
        }"""
    )
    await page.wait_for_selector(f"{STATUS}.error")
    assert "4429" in (await texts(page, "[role=status]"))[0]
    await page.wait_for_selector(CONNECTED)
    await page.wait_for_function(
        "document.querySelectorAll('[data-mark=queued], [data-mark=sent]').length === 0"
    )
    own, failed = await texts(page, OWN), await texts(page, FAILED)
    back = (await page.locator(FIELD).input_value()).split()
    assert sorted([*own, *back], key=int) == [str(number) for number in range(200)]
    assert len(own) - len(failed) >= 100
    assert failed or back
    assert back == sorted(back, key=int)


@pytest.mark.contract("UI4")
async def test_enter_while_an_input_method_composes_sends_nothing_and_a_double_click_once(
    site, open_page
):
    page = await open_page(f"{site.address}/quick?room=compose")
    await page.wait_for_selector(CONNECTED)
    await page.locator(FIELD).fill("にほ")
    for about in ("isComposing: true", "keyCode: 229"):
        await page.evaluate(
            f"""document.querySelector("textarea").dispatchEvent(
                new KeyboardEvent("keydown", {{ key: "Enter", bubbles: true, {about} }}))"""
        )
    await page.locator(FIELD).fill("日本")
    await page.locator(SEND).dblclick()
    await wait_for_lines(page, "日本")
    await page.locator(FIELD).fill("half \ud83d")
    await page.evaluate(
        """() => {
            const field = document.querySelector("textarea");
            field.value = "half \\ud83d";
            field.dispatchEvent(new Event("input"));
        }"""
    )
    await page.locator(FIELD).press("Enter")
    await wait_for_lines(page, "日本", "half \ufffd")


@pytest.mark.contract("UI4")
async def test_the_keyboard_alone_is_enough_and_the_focus_stays(site, open_page):
    page = await open_page(f"{site.address}/nonsense?attempts=50")
    await page.wait_for_selector(CONNECTED)
    await site.nonsense.have(1)
    focused = "document.activeElement.matches('%s')"
    await page.keyboard.press("Tab")
    for selector in (".sockstore-messages", FIELD, SEND):
        assert await page.evaluate(focused % selector)
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Tab")
    await page.locator(FIELD).focus()
    await page.keyboard.type("first")
    await page.keyboard.press("Enter")
    await eventually(lambda: len(site.nonsense.got) == 1, "the first is sent")
    await page.keyboard.type("second")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await eventually(lambda: len(site.nonsense.got) == 2, "the second is sent")
    assert await page.evaluate(focused % FIELD)
    await page.keyboard.type("being written")
    site.nonsense.is_away = True
    await site.nonsense.clients[0].close(1011)
    await page.wait_for_selector(f"{STATUS}.error")
    site.nonsense.is_away = False
    await page.wait_for_selector(CONNECTED)
    await page.wait_for_selector(f"{FIELD}:focus")
    await page.keyboard.type(" on")
    await page.keyboard.press("Enter")
    await eventually(lambda: len(site.nonsense.got) == 3, "the third is sent")
    assert json.loads(site.nonsense.got[-1])["content"] == "being written on"


@pytest.mark.contract("UI6")
async def test_a_short_loss_of_the_visitors_own_link_doubles_and_loses_nothing(site, open_page):
    page = await open_page(f"{site.address}/patient")
    await page.wait_for_selector(CONNECTED)
    await site.nonsense.have(1)
    await site.nonsense.send(message("before"))
    await wait_for_lines(page, "before")
    await page.evaluate("window.sameDocument = true")
    await cut(page)
    await say(page, "written meanwhile")
    await page.get_by_role("alert").get_by_text("lost its link").wait_for()
    await site.nonsense.send(message("meanwhile"))
    await page.context.set_offline(False)
    await page.wait_for_selector(POPUP, state="detached")
    await wait_for_lines(page, "before", "meanwhile")
    assert await page.evaluate("window.sameDocument")
    await page.locator(FIELD).press("Enter")
    await eventually(lambda: site.nonsense.got, "the text is sent")
    [text] = site.nonsense.got
    assert json.loads(text)["content"] == "written meanwhile"
    assert len(site.nonsense.clients) == 1


@pytest.mark.contract("UI6")
async def test_a_long_loss_of_the_visitors_own_link_starts_the_page_afresh(site, open_page):
    page = await open_page(f"{site.address}/nonsense")
    await page.wait_for_selector(CONNECTED)
    await page.locator(FIELD).fill("not sent yet")
    await page.evaluate("window.sameDocument = true")
    await cut(page)
    await site.nonsense.have(0)
    await page.context.set_offline(False)
    await page.wait_for_function("!window.sameDocument && document.querySelector('.connected')")
    assert await page.locator(FIELD).input_value() == "not sent yet"
    await page.locator(FIELD).press("Enter")
    await eventually(lambda: site.nonsense.got, "the text is sent")
    await site.nonsense.have(1)


@pytest.mark.contract("UI6")
async def test_reload_back_forward_and_a_second_tab_have_one_connection_each(site, open_page):
    page = await open_page(f"{site.address}/nonsense")
    await page.wait_for_selector(CONNECTED)
    await page.reload()
    await page.wait_for_selector(CONNECTED)
    await page.goto(f"{site.address}/nonsense-echo")
    await page.wait_for_selector(CONNECTED)
    await page.go_back()
    await page.wait_for_selector(f"{STATUS}.connected")
    await page.go_forward()
    await page.wait_for_selector(".sockstore-banner.connected")
    await page.go_back()
    await page.wait_for_selector(f"{STATUS}.connected")
    second = await open_page(f"{site.address}/nonsense")
    await second.wait_for_selector(CONNECTED)
    await site.nonsense.have(2)
    await site.nonsense.send(message("to both"))
    for one in (page, second):
        await wait_for_lines(one, "to both")


@pytest.mark.contract("PV3", "UI1")
async def test_providers_nested_with_one_name_or_side_by_side_keep_apart(site, open_page):
    page = await open_page(f"{site.address}/nested")
    await page.wait_for_selector(".inner .connected")
    await page.wait_for_selector(".outer .connected")
    for where in ("inner", "outer"):
        field = page.locator(f".{where} textarea")
        await field.fill(f"from {where}")
        await field.press("Enter")
    for where in ("inner", "outer"):
        await wait_for_lines(page, f"from {where}", selector=f".{where} {LINES}")
    page = await open_page(f"{site.address}/beside")
    await page.wait_for_selector(".a .connected")
    await page.wait_for_selector(".b .connected")
    assert await page.locator(".given textarea").is_disabled()
    await page.get_by_role("button", name="connect").click()
    for where in ("a", "b", "given"):
        field = page.locator(f".{where} textarea")
        await field.fill(f"from {where}")
        await field.press("Enter")
    for where in ("a", "b", "given"):
        await wait_for_lines(page, f"from {where}", selector=f".{where} {LINES}")
    await page.get_by_role("button", name="close").click()
    await page.wait_for_selector(".given .disconnected")
    assert await page.locator(".connected").count() == 2


@pytest.mark.contract("PV6", "UI1", "UI2")
async def test_a_provider_connects_from_a_button_and_goes_elsewhere_with_its_messages(
    site, open_page
):
    page = await open_page(f"{site.address}/turns")
    await page.get_by_text("Disconnected from chat server").wait_for()
    assert await page.locator(FIELD).is_disabled()
    await page.get_by_role("button", name="connect").click()
    await page.wait_for_selector(CONNECTED)
    await say(page, "in the first")
    await wait_for_lines(page, "in the first")
    await page.get_by_role("button", name="turn").click()
    await site.nonsense.have(1)
    await site.nonsense.send(message("in the second"))
    await wait_for_lines(page, "in the first", "in the second")


@pytest.mark.contract("PV7", "UI6")
async def test_a_shared_connection_lingers_from_one_page_to_the_next(site, open_page):
    page = await open_page(f"{site.address}/lent")
    await page.wait_for_selector(CONNECTED)
    await site.nonsense.send(message("kept"))
    await wait_for_lines(page, "kept")
    await page.reload()
    await wait_for_lines(page, "kept")
    assert len(site.nonsense.clients) == 1
    await page.close()
    await site.nonsense.have(0)


@pytest.mark.contract("UI6", "LC3")
async def test_a_page_that_raises_leaves_nothing_and_a_part_made_anew_has_one_connection(
    site, open_page
):
    page = await open_page(f"{site.address}/raises")
    await page.get_by_text("500").first.wait_for()
    await page.goto(f"{site.address}/again")
    await page.wait_for_selector(CONNECTED)
    assert set(site.nonsense.paths) == {"/again"}
    await page.get_by_role("button", name="again").click()
    await eventually(lambda: len(site.nonsense.clients) == 2, "a new connection")
    await site.nonsense.have(1)
    await page.get_by_role("button", name="brief").click()
    await eventually(lambda: len(site.nonsense.clients) == 3, "one more, and only one")
    await site.nonsense.have(1)
    await site.nonsense.send(message("to the last"))
    await wait_for_lines(page, "to the last")


@pytest.mark.contract("UI6", "LC4")
async def test_sub_pages_close_the_connection_of_the_one_that_is_left(site, open_page):
    page = await open_page(f"{site.address}/sub")
    await page.wait_for_selector(CONNECTED)
    await page.evaluate("window.sameDocument = true")
    for text, path in (("to two", "/two"), ("to one", "/one"), ("to two", "/two")):
        await page.get_by_text(text).click()
        await eventually(
            lambda path=path: [one.request.path for one in site.nonsense.open] == [path], path
        )
        await page.wait_for_selector(CONNECTED)
    assert await page.evaluate("window.sameDocument")


@pytest.mark.contract("UI2", "UI3", "UI4")
async def test_a_screen_reader_finds_status_log_field_and_buttons(site, open_page):
    page = await open_page(f"{site.address}/chat?room=spoken&name=Ann")
    await page.wait_for_selector(CONNECTED)
    await say(page, "hello")
    await wait_for_lines(page, "hello")
    assert await page.get_by_role("status").all_text_contents() == ["Connected to chat server"]
    seen = await page.locator(".demo-main").aria_snapshot()
    for expected in (
        "status: Connected to chat server",
        'log "Messages"',
        "strong: Ann",
        'img "Delivered to the room"',
        'textbox "Message"',
        'button "Send"',
    ):
        assert expected in seen


@pytest.mark.contract("CL1", "SV5")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_is_stopped_while_pages_are_open_and_says_nothing_more(number, open_page):
    nonsense = Nonsense()
    async with serve(nonsense.handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await start(
            "demo", "--no-browser", "--port", "0", "--server", f"ws://127.0.0.1:{port}"
        )
        try:
            async with asyncio.timeout(SECONDS):
                line = (await process.stdout.readline()).decode()
            address = line.split()[2]
            # The chat waits for a server that answers, which this one does not.
            for path, shown in (("/", CONNECTED), ("/chat", ".sockstore-status")):
                page = await open_page(f"{address}{path}")
                await page.wait_for_selector(shown)
            await nonsense.have(2)
            process.send_signal(number)
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
            assert (process.returncode, out.decode(), err.decode()) == (0, "", "")
            await nonsense.have(0)
            await eventually(
                lambda: {client.close_code for client in nonsense.clients} == {1000},
                "the connections were closed in order",
            )
        finally:
            if process.returncode is None:
                process.kill()


@pytest.mark.contract("CL1")
async def test_a_demo_that_cannot_start_says_why_in_one_sentence():
    with listen() as taken:
        sayings = {
            ("--server", "http://localhost"): "must begin with ws://",
            ("--server", "ws://"): "no host",
            ("--server", "ws://localhost/?a=b"): "without a query",
            ("--port", "70000"): "is not a port",
            ("--host", "no such host"): "is not an address of this machine",
            ("--port", str(taken.getsockname()[1])): "choose another --port",
        }
        ends = await asyncio.gather(*(run("demo", "--no-browser", *one) for one in sayings))
    for finished, said in zip(ends, sayings.values(), strict=True):
        [sentence] = finished.err.splitlines()
        assert finished.status != 0
        assert sentence.startswith("sockstore demo: ")
        assert said in sentence
