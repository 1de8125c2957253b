"""The guide's two pages, in a real browser, against real servers."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from browser.demos import (
    CONNECTED,
    FIELD,
    LINES,
    RECORDS,
    SEND,
    background,
    demo,
    greet_each_other,
    say,
    texts,
    wait_for_lines,
)
from loopback.processes import free_port, serving

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("pages"),
]

GREEN = "rgb(212, 237, 218)"
RED = "rgb(248, 215, 218)"
RECORD_STATUS = """selector => {
    const one = document.querySelector(selector);
    const name = () => ["connected", "error", "disconnected"].find(c => one.classList.contains(c));
    window.seen = [name()];
    new MutationObserver(() => name() !== window.seen.at(-1) && window.seen.push(name()))
        .observe(one, { attributes: true });
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address():
    async with demo() as address:
        yield address


@pytest.mark.contract("UI5", "UI2")
async def test_the_echo_page_shows_a_green_banner_and_what_comes_back_as_indented_json(
    address, open_page
):
    page = await open_page(address)
    await page.wait_for_selector(".sockstore-banner.connected")
    assert await background(page, ".sockstore-banner") == GREEN
    assert await texts(page, "[role=status]") == ["Connection Status: connected"]
    await say(page, "Hello world!")
    await page.wait_for_selector(RECORDS)
    [shown] = await texts(page, RECORDS)
    data = json.loads(shown)
    assert shown == json.dumps(data, indent=2)
    assert data.keys() == {"type", "content", "timestamp"}
    assert (data["type"], data["content"]) == ("chat", "Hello world!")


@pytest.mark.contract("UI4")
async def test_enter_and_the_button_send_and_shift_enter_is_a_new_line(address, open_page):
    page = await open_page(f"{address}/chat?room=keys&name=Ann")
    await page.wait_for_selector(CONNECTED)
    field = page.locator(FIELD)
    await field.press_sequentially("one\ntwo\n")  # quickly: nothing is lost, nothing sent twice
    await field.press_sequentially("three")
    await field.press("Shift+Enter")
    await field.press_sequentially("lines")
    await page.locator(SEND).click()
    await field.press("Enter")
    await field.fill("  \n ")
    await field.press("Enter")
    await field.fill("last")
    await field.press("Enter")
    await wait_for_lines(page, "one", "two", "three\nlines", "last")
    assert await field.input_value() == ""


@pytest.mark.contract("UI3")
async def test_two_tabs_chat_and_each_marks_its_own(address, open_page):
    ann = await open_page(f"{address}/chat?room=two&name=Ann")
    await ann.wait_for_selector(CONNECTED)
    bob = await open_page(f"{address}/chat?room=two&name=Bob")
    await bob.wait_for_selector(CONNECTED)
    await greet_each_other(ann, bob)
    marked = "[...document.querySelectorAll('[data-mark=acknowledged]')].map(one => one.innerText)"
    assert "Hello Bob" in (await ann.evaluate(marked))[0]
    assert "Hello Ann" in (await bob.evaluate(marked))[0]
    times = await ann.evaluate(
        "[...document.querySelectorAll('time')].every("
        "one => one.textContent === new Date(one.dateTime)"
        ".toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }))"
    )
    assert times


@pytest.mark.contract("UI3")
async def test_history_is_there_for_who_enters_later(address, open_page):
    ann = await open_page(f"{address}/chat?room=later&name=Ann")
    await ann.wait_for_selector(CONNECTED)
    await say(ann, "before you came")
    await wait_for_lines(ann, "before you came")
    bob = await open_page(f"{address}/chat?room=later&name=Bob")
    await wait_for_lines(bob, "before you came")


@pytest.mark.contract("UI3")
async def test_markup_in_a_message_a_name_or_a_room_is_text(address, open_page):
    evil = "<img src=x onerror=\"document.body.dataset.hurt='yes'\"><b>bold</b> {{ 7 * 7 }}"
    page = await open_page(f"{address}/chat?room=markup&name=<i>Eve</i>{{{{7*7}}}}")
    await page.wait_for_selector(CONNECTED)
    await say(page, evil)
    await wait_for_lines(page, evil)
    assert await texts(page, ".sockstore-sender") == ["<i>Eve</i>{{7*7}}"]
    assert (
        await page.locator(".sockstore-line img, .sockstore-line b, .sockstore-line i").count() == 0
    )
    assert await page.evaluate("document.body.dataset.hurt") is None
    echo = await open_page(address)
    await echo.wait_for_selector(CONNECTED)
    await say(echo, evil)
    await echo.wait_for_selector(RECORDS)
    assert await echo.locator(".sockstore-record img, .sockstore-record b").count() == 0


@pytest.mark.contract("SV4", "UI2")
async def test_a_room_name_of_ten_thousand_characters_is_a_clear_error(address, open_page):
    page = await open_page(f"{address}/chat?name=Ann&room={'x' * 10_000}")
    await page.wait_for_selector(".sockstore-line.error")
    assert "(102)" in (await texts(page, ".sockstore-line.error"))[0]
    assert await page.locator(FIELD).is_disabled()


@pytest.mark.contract("SU9", "UI3")
async def test_two_rooms_stand_side_by_side_over_one_connection(address, open_page):
    page = await open_page(f"{address}/chat?room=left&name=Ann")
    await page.wait_for_selector(CONNECTED)
    await page.get_by_role("link", name="Show help beside left").click()
    await page.wait_for_url("**/chat?room=left&name=Ann&beside=help")
    fields = page.locator(FIELD)
    for place, text in ((0, "to the left"), (1, "to help")):
        await fields.nth(place).fill(text)
        await fields.nth(place).press("Enter")
        column = page.locator(".demo-column").nth(place)
        await column.locator(".sockstore-line.own[data-mark=acknowledged]").wait_for()
        assert await column.locator(".sockstore-content").all_text_contents() == [text]
    await page.get_by_role("link", name="Close # help").click()
    await page.wait_for_url("**/chat?room=left&name=Ann")
    await wait_for_lines(page, "to the left")


@pytest.mark.contract("UI3")
async def test_own_messages_are_known_after_a_reload_and_in_a_second_tab(address, open_page):
    page = await open_page(f"{address}/chat?room=known&name=Ann")
    await page.wait_for_selector(CONNECTED)
    await say(page, "mine")
    await page.locator(".sockstore-line.own[data-mark=acknowledged]").wait_for()
    await page.reload()
    await page.locator(".sockstore-line.own[data-mark=acknowledged]").wait_for()
    other = await open_page(f"{address}/chat?room=known&name=Ann")
    await other.locator(".sockstore-line.own[data-mark=acknowledged]").wait_for()
    await say(other, "from the other tab")
    await page.locator(".sockstore-line.own", has_text="from the other tab").wait_for()
    bob = await open_page(f"{address}/chat?room=known&name=Bob")
    await wait_for_lines(bob, "mine", "from the other tab")
    assert await bob.locator(".sockstore-line.own").count() == 0


@pytest.mark.contract("UI3")
async def test_the_list_follows_its_end_only_while_its_reader_is_there(address, open_page):
    page = await open_page(f"{address}/chat?room=long&name=Ann")
    other = await open_page(f"{address}/chat?room=long&name=Bob")
    for one in (page, other):
        await one.wait_for_selector(CONNECTED)
    at_end = """() => {
        const one = document.querySelector(".sockstore-messages");
        return one.scrollHeight - one.scrollTop - one.clientHeight < 2;
    }"""
    for number in range(8):
        await say(page, "\n".join([f"message {number}", *"abcdefg"]))
    await page.wait_for_function(f"document.querySelectorAll('{LINES}').length === 8")
    await page.wait_for_function(at_end)
    await page.locator(".sockstore-messages").evaluate("one => one.scrollTo(0, 0)")
    await page.wait_for_function("document.querySelector('.sockstore-messages').scrollTop === 0")
    await say(other, "while you read above")
    await page.wait_for_function(f"document.querySelectorAll('{LINES}').length === 9")
    assert await page.locator(".sockstore-messages").evaluate("one => one.scrollTop") == 0


@pytest.mark.contract("UI2", "UI4", "UI5")
async def test_pages_survive_the_kill_of_their_server_and_show_no_message_twice(
    open_page, tmp_path
):
    port = free_port()
    history = ("--history", f"sqlite:///{tmp_path / 'history.db'}")
    async with serving(port, *history) as server, demo("--server", f"ws://127.0.0.1:{port}") as at:
        echo, chat = await open_page(at), await open_page(f"{at}/chat?name=Ann")
        for page, banner in ((echo, ".sockstore-banner"), (chat, ".sockstore-status")):
            await page.wait_for_selector(f"{banner}.connected")
            await page.evaluate(RECORD_STATUS, banner)
        await say(chat, "one")
        await say(chat, "two")
        await wait_for_lines(chat, "one", "two")
        await say(echo, "one")
        await echo.wait_for_selector(RECORDS)
        await server.kill()
        for page, banner in ((echo, ".sockstore-banner"), (chat, ".sockstore-status")):
            await page.wait_for_selector(f"{banner}.error")
            assert await background(page, banner) == RED
            assert await page.locator(FIELD).is_disabled()
            assert await page.locator(SEND).is_disabled()
        await chat.get_by_text("Retry 1 in").wait_for()
        async with serving(port, *history):
            for page, banner in ((echo, ".sockstore-banner"), (chat, ".sockstore-status")):
                await page.wait_for_selector(f"{banner}.connected")
                assert await background(page, banner) == GREEN
            await say(chat, "three")
            await wait_for_lines(chat, "one", "two", "three")
            await say(echo, "two")
            await echo.wait_for_function(f"document.querySelectorAll('{RECORDS}').length === 2")
            contents = [json.loads(text)["content"] for text in await texts(echo, RECORDS)]
            assert contents == ["one", "two"]
            for page in (echo, chat):
                assert await page.evaluate("window.seen") == ["connected", "error", "connected"]
