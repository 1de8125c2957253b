"""`sockstore demo --browser`: the guide's two pages, whose Python runs in a real browser."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import pytest_asyncio

from browser.conftest import first_visit
from browser.demos import (
    CONNECTED,
    FIELD,
    RECORDS,
    address_of,
    demo,
    greet_each_other,
    listen,
    say,
    served,
    texts,
    wait_for_lines,
)
from browser.pyodide_pages import Runtime
from browser_runtime import staged_runtime
from loopback.processes import free_port, serving
from sockstore.demo.browser.app import create_browser_demo

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("pages in the browser"),
]

LINE = "#sockstore-loading [role=status]"
WATCH_LINE = """
window.seen = [];
new MutationObserver(() => {
    const line = document.querySelector("#sockstore-loading [role=status]")?.textContent;
    if (line && line !== window.seen.at(-1)) window.seen.push(line);
}).observe(document, { subtree: true, childList: true, characterData: true });
"""
IMPORT_ALL = """async () => {
    const { runtime, sources } = JSON.parse(
        document.getElementById("sockstore-settings").textContent);
    const { loadPyodide } = await import(`${runtime}pyodide.mjs`);
    const python = await loadPyodide({ indexURL: runtime });
    python.unpackArchive(await (await fetch(sources)).arrayBuffer(), "zip");
    return python.runPython(`
        import importlib, pkgutil, sockstore
        failed = []
        for module in pkgutil.walk_packages(sockstore.__path__, "sockstore."):
            try:
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)
            except ImportError as error:
                failed.append(f"{module.name}: {error}")
        "\\\\n".join(failed)`);
}"""


def browser_demo(*arguments: str, runtime=None):
    return demo("--browser", "--pyodide", str(runtime or staged_runtime()), *arguments)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address():
    async with browser_demo() as address:
        yield address


async def test_a_line_tells_how_far_it_is_until_the_page_takes_its_place(address, chromium):
    async with first_visit(chromium) as open_page:
        page = await open_page("about:blank")
        await page.add_init_script(WATCH_LINE)
        await page.goto(address)
        await page.wait_for_selector(CONNECTED)
        assert await page.locator(LINE).count() == 0
        seen = await page.evaluate("window.seen")
    assert seen[0].startswith("Loading Python …")
    assert [line for line in seen if re.fullmatch(r"Loading Python … \d\.\d of \d\.\d MB", line)]
    assert seen[-1] == "Starting …"


async def test_every_module_that_a_page_gets_can_be_imported(address, open_page):
    page = await open_page(address)
    # An extra, which a page would have to load by itself.
    assert await page.evaluate(IMPORT_ALL) == (
        "sockstore.telemetry: No module named 'opentelemetry'"
    )


@pytest.mark.contract("UI5")
async def test_what_is_sent_comes_back_as_indented_json(address, open_page):
    page = await open_page(address)
    await page.wait_for_selector(".sockstore-banner.connected")
    assert await texts(page, "[role=status]") == ["Connection Status: connected"]
    await say(page, "Hello world!")
    await page.wait_for_selector(RECORDS)
    [shown] = await texts(page, RECORDS)
    data = json.loads(shown)
    assert shown == json.dumps(data, indent=2)
    assert (data["type"], data["content"]) == ("chat", "Hello world!")


@pytest.mark.contract("UI3", "UI6")
async def test_two_tabs_chat_and_one_goes_on_without_the_other(address, open_page):
    ann = await open_page(f"{address}/chat?room=two&name=Ann")
    bob = await open_page(f"{address}/chat?room=two&name=Bob")
    for page in (ann, bob):
        await page.wait_for_selector(CONNECTED)
    await greet_each_other(ann, bob)
    await bob.close()
    await ann.get_by_text("Bob left").wait_for()
    await say(ann, "still here")
    await wait_for_lines(ann, "Hello Bob", "Hello Ann", "still here")
    await ann.reload()
    await wait_for_lines(ann, "Hello Bob", "Hello Ann", "still here")
    assert await texts(ann, ".own .sockstore-content") == ["Hello Bob", "still here"]


@pytest.mark.contract("UI2", "UI4")
async def test_pages_survive_the_kill_of_their_server_and_show_no_message_twice(
    open_page, tmp_path
):
    port, own = free_port(), free_port()
    options = ("--history", f"sqlite:///{tmp_path / 'history.db'}")
    origin = ("--origin", f"http://127.0.0.1:{own}")
    async with (
        serving(port, *options, *origin) as server,
        browser_demo("--port", str(own), "--server", f"ws://127.0.0.1:{port}") as at,
    ):
        echo, chat = await open_page(at), await open_page(f"{at}/chat?name=Ann")
        pages = ((echo, ".sockstore-banner"), (chat, ".sockstore-status"))
        for page, banner in pages:
            await page.wait_for_selector(f"{banner}.connected")
        await say(chat, "one")
        await wait_for_lines(chat, "one")
        await say(echo, "one")
        await echo.wait_for_selector(RECORDS)
        await server.kill()
        for page, banner in pages:
            await page.wait_for_selector(f"{banner}.error")
            assert await page.locator(FIELD).is_disabled()
        async with serving(port, *options, *origin):
            for page, banner in pages:
                await page.wait_for_selector(f"{banner}.connected")
            await say(chat, "two")
            await wait_for_lines(chat, "one", "two")
            await say(echo, "two")
            await echo.wait_for_function(f"document.querySelectorAll('{RECORDS}').length === 2")
            contents = [json.loads(text)["content"] for text in await texts(echo, RECORDS)]
            assert contents == ["one", "two"]


@pytest.mark.contract("LV5")
async def test_a_page_that_lost_its_server_waits_while_it_is_offline_and_comes_back_at_once(
    open_page,
):
    port, own = free_port(), free_port()
    origin = ("--origin", f"http://127.0.0.1:{own}")
    async with (
        serving(port, *origin) as server,
        browser_demo("--port", str(own), "--server", f"ws://127.0.0.1:{port}") as at,
    ):
        page = await open_page(f"{at}/chat?room=offline&name=Ann")
        await page.wait_for_selector(CONNECTED)
        await page.context.set_offline(True)
        await server.kill()
        await page.wait_for_selector(".sockstore-status.error")
        async with serving(port, *origin):
            await page.context.set_offline(False)
            await page.wait_for_selector(".sockstore-status.connected")
            await say(page, "back")
            await wait_for_lines(page, "back")


@pytest.mark.contract("UI6")
async def test_links_back_and_forward_change_the_page_and_not_the_document(address, open_page):
    page = await open_page(f"{address}/?from=here")
    await page.wait_for_selector(".sockstore-banner.connected")
    await page.evaluate("window.mark = 'the same document'")
    await page.get_by_role("link", name="Chat").click()
    await page.wait_for_selector(".sockstore-status.connected")
    await page.get_by_role("link", name="# help").click()
    await page.get_by_role("heading", name="# help").wait_for()
    await page.wait_for_selector(".sockstore-status.connected")
    assert "room=help" in page.url
    assert await page.title() == "help · sockstore"
    await page.go_back()
    await page.get_by_role("heading", name="# lobby").wait_for()
    await page.go_back()
    await page.wait_for_selector(".sockstore-banner.connected")
    await page.go_forward()
    await page.get_by_role("heading", name="# lobby").wait_for()
    await page.wait_for_selector(".sockstore-status.connected")
    assert await page.locator(".demo-main > .sockstore-provider").count() == 1
    assert await page.evaluate("window.mark") == "the same document"


async def test_the_link_to_the_content_keeps_page_and_connection(address, open_page):
    page = await open_page(f"{address}/chat?room=skip&name=Ann")
    await page.wait_for_selector(CONNECTED)
    await page.evaluate("document.querySelector('.sockstore-provider').dataset.mark = 'same'")
    await page.locator(".demo-skip").focus()
    await page.locator(".demo-skip").press("Enter")
    await page.wait_for_function("location.hash === '#main'")
    assert await page.locator(".sockstore-provider").first.get_attribute("data-mark") == "same"


async def test_a_name_and_a_room_from_the_form_are_remembered(address, open_page):
    page = await open_page(f"{address}/chat")
    await page.wait_for_selector(CONNECTED)
    await page.locator("input[name=name]").fill("Ann")
    await page.locator("input[name=room]").fill("tea")
    await page.get_by_role("button", name="Join").click()
    await page.get_by_role("heading", name="# tea").wait_for()
    await page.wait_for_function("document.body.innerText.includes('1 here: Ann')")
    again = await open_page(f"{address}/chat")
    await again.wait_for_selector(CONNECTED)
    assert await again.locator("input[name=name]").input_value() == "Ann"
    assert "# tea" in await texts(again, ".demo-room")


@pytest.mark.contract("UI3")
async def test_markup_in_a_message_a_name_or_a_room_is_text(address, open_page):
    evil = "<img src=x onerror=\"document.body.dataset.hurt='yes'\"><b>bold</b>"
    page = await open_page(f"{address}/chat?room=markup&name=<i>Eve</i>")
    await page.wait_for_selector(CONNECTED)
    await say(page, evil)
    await wait_for_lines(page, evil)
    assert await texts(page, ".sockstore-sender") == ["<i>Eve</i>"]
    assert await page.locator(".sockstore-line :is(img, b, i)").count() == 0
    assert await page.evaluate("document.body.dataset.hurt") is None
    room = await open_page(f"{address}/chat?room={'<b>room</b>'}&name=Eve")
    await room.wait_for_selector(LINE, state="detached")
    assert await texts(room, "h1") == ["# <b>room</b>"]


# When it cannot start


async def message(page) -> str:
    """What the page says instead of starting; there is a button to try again."""
    await page.get_by_role("button", name="Retry").wait_for()
    # What is still on its way is counted no more.
    await page.wait_for_load_state("networkidle")
    assert not await page.locator("progress").is_visible()
    [text] = await texts(page, LINE)
    assert " MB" not in text
    return text


async def test_a_runtime_that_is_gone_is_a_plain_message_and_retry_helps_when_it_is_back(
    chromium, tmp_path
):
    runtime = shutil.copytree(staged_runtime(), tmp_path / "runtime")
    kept = tmp_path / "kept"
    kept.mkdir()
    async with browser_demo(runtime=runtime) as address:
        for gone in ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip"):
            for path in kept.iterdir():
                shutil.move(path, runtime)
            for path in runtime.glob(f"{gone}*"):
                shutil.move(path, kept)
            # A browser keeps what it once had.
            async with first_visit(chromium) as open_page:
                page = await open_page(address)
                text = await message(page)
                assert "could not be loaded" in text
                assert "make browser-runtime" in text
                if gone == "python_stdlib.zip":
                    shutil.copytree(kept, runtime, dirs_exist_ok=True)
                    await page.get_by_role("button", name="Retry").click()
                    await page.wait_for_selector(CONNECTED)


async def test_a_cdn_that_cannot_be_reached_is_a_plain_message(chromium):
    listening = listen()
    async with served(create_browser_demo(Runtime()), listening):
        page = await chromium.new_page()
        await page.route("https://**", lambda route: route.abort())
        await page.goto(f"http://{address_of(listening)}")
        text = await message(page)
        await page.close()
    assert "https://cdn.jsdelivr.net/pyodide/" in text
    assert "online" in text
    assert "make browser-runtime" in text


async def test_a_browser_without_webassembly_is_told_which_one_to_take(address, open_page):
    page = await open_page("about:blank")
    await page.add_init_script("delete globalThis.WebAssembly")
    await page.goto(address)
    assert "WebAssembly" in await message(page)


async def test_a_browser_that_does_not_understand_the_program_is_too_old(address, open_page):
    page = await open_page("about:blank")
    headers = {"content-type": "application/wasm"}
    await page.route(
        "**/pyodide.asm.wasm",
        lambda route: route.fulfill(body=b"\0asm\1\0\0\0\xff\1\0", headers=headers),
    )
    await page.goto(address)
    assert "too old" in await message(page)


async def test_an_error_of_the_page_itself_is_one_sentence(address, open_page):
    page = await open_page("about:blank")
    # As if the sources were others: an archive of nothing.
    empty = b"PK\5\6" + bytes(18)
    await page.route("**/sockstore-*.zip", lambda route: route.fulfill(body=empty))
    await page.goto(address)
    text = await message(page)
    assert text.startswith("Python did not start: ModuleNotFoundError: No module named 'sockstore'")
    assert "\n" not in text


async def test_without_scripts_the_page_says_that_it_needs_them(address, chromium):
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address)
    assert await page.locator("noscript p").is_visible()
    assert not await page.locator("progress").is_visible()
    await context.close()
