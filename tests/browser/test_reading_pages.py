"""The chat page as its reader uses it: going back, links, rooms, keys, the inspector."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from browser.demos import (
    CONNECTED,
    FIELD,
    LINES,
    address_of,
    background,
    demo,
    eventually,
    listen,
    say,
    served,
    texts,
    wait_for_lines,
)
from sockstore import WebSocketStore
from sockstore.protocols import Topics
from sockstore.server import Limits, create_app

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("reading pages"),
]

LIST = ".sockstore-messages"
NEWER = ".sockstore-newer"
AT_END = f"""() => {{
    const one = document.querySelector("{LIST}");
    return one.scrollHeight - one.scrollTop - one.clientHeight < 2;
}}"""
PLACE_OF = f"""text => [...document.querySelectorAll("{LINES}")]
    .find(one => one.textContent === text).getBoundingClientRect().top"""
AT_REST = f"""() => new Promise(rests => {{
    const list = document.querySelector("{LIST}");
    let [frames, top] = [0, NaN];
    const look = () => {{
        frames = list.scrollTop === top ? frames + 1 : 0;
        top = list.scrollTop;
        frames < 10 ? requestAnimationFrame(look) : rests();
    }};
    look();
}})"""
TO_THE_TOP = f"""() => {{
    const list = document.querySelector("{LIST}");
    list.scrollTop = 0;
    const lines = [...document.querySelectorAll("{LINES}")];
    const edge = list.getBoundingClientRect().top;
    const first = lines.find(one => one.getBoundingClientRect().top >= edge);
    return [first.textContent, first.getBoundingClientRect().top, lines.length];
}}"""


class Site:
    """The demo's pages, and the separate server that they talk to, which lets us say a lot."""

    def __init__(self, server: str, chat_server, pages: str) -> None:
        self.server = server
        self.chat_server = chat_server
        self.pages = pages

    def chat(self, room: str, name: str = "Ann") -> str:
        return f"{self.pages}/chat?room={room}&name={name}"

    async def tell(self, room: str, *contents: str, day: int = 23) -> None:
        """Let Bob come, say something, and go."""
        by_type = Topics(key=lambda frame: frame.get("type"))
        url = f"{self.server}/chat/{room}?name=Bob"
        async with (
            WebSocketStore(url, protocol=by_type) as bob,
            bob.subscribe("message") as messages,
        ):
            await bob.ready()
            for second, content in enumerate(contents):
                said = f"2026-01-{day}T12:{second // 60:02}:{second % 60:02}.000Z"
                bob.send({"content": content, "timestamp": said})
            last = contents[-1]
            await messages.latest.wait_for(lambda one: one and one["content"] == last)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site():
    listening = listen()
    server = f"ws://{address_of(listening)}"
    app = create_app(limits=Limits(rate=10_000, burst=10_000))
    async with served(app, listening), demo("--server", server) as pages:
        yield Site(server, app.state.chat_server, pages)


@pytest.mark.contract("UI3")
async def test_scrolling_to_the_top_loads_older_messages_and_keeps_the_readers_place(
    site, open_page
):
    said = [f"message {number}" for number in range(250)]
    await site.tell("old", *said[:120], day=22)
    await site.tell("old", *said[120:])
    page = await open_page(site.chat("old"))
    await wait_for_lines(page, *said[-100:])
    await page.wait_for_function(AT_END)
    for shown in (100, 200):
        # It comes a moment after the lines, and would push them down before we have scrolled.
        await page.wait_for_selector(".sockstore-older")
        text, top, count = await page.evaluate(TO_THE_TOP)
        assert count == shown
        await page.wait_for_function(f"document.querySelectorAll('{LINES}').length > {shown}")
        assert abs(await page.evaluate(PLACE_OF, text) - top) < 2
    await wait_for_lines(page, *said)
    assert await texts(page, ".sockstore-day") == ["Thu 22 January", "Fri 23 January"]
    # There is nothing older, and the page asks no more.
    await page.evaluate(TO_THE_TOP)
    await page.wait_for_selector(".sockstore-older", state="detached")


@pytest.mark.contract("UI3")
async def test_what_comes_while_the_page_says_that_its_reader_has_left_is_new(site, open_page):
    said = [f"message {number}" for number in range(40)]
    await site.tell("late", *said)
    page = await open_page("about:blank")
    held: list[Callable[[], None]] = []
    holds = False

    def pass_on(client) -> None:
        server = client.connect_to_server()

        def hold_or_send(data: str | bytes) -> None:
            held.append(lambda: server.send(data)) if holds else server.send(data)

        client.on_message(hold_or_send)

    await page.route_web_socket("**/*", pass_on)
    await page.goto(site.chat("late"))
    await wait_for_lines(page, *said)
    holds = True
    await page.evaluate(TO_THE_TOP)
    await site.tell("late", "first", "second")
    await wait_for_lines(page, *said, "first", "second")
    holds = False
    for send in held:
        send()
    await page.get_by_role("button", name="2 new messages").click()
    [marked] = await page.locator(".sockstore-row:has(.sockstore-unread)").all()
    assert await marked.locator(".sockstore-content").inner_text() == "first"


@pytest.mark.contract("UI3")
async def test_a_row_above_that_shows_its_name_again_moves_nothing(site, open_page):
    await site.tell("names", *(f"message {number}" for number in range(60)))
    page = await open_page(site.chat("names"))
    await page.get_by_text("message 59").wait_for()
    await page.evaluate(f"() => {{ document.querySelector('{LIST}').scrollTop = 900; }}")
    await page.wait_for_selector(NEWER)
    await page.evaluate(AT_REST)
    text = "message 50"
    top = await page.evaluate(PLACE_OF, text)
    hidden = await page.evaluate(
        """() => {
            const rows = [...document.querySelectorAll(".sockstore-row.together")].slice(0, 3);
            for (const row of rows) row.classList.remove("together");
            return rows.length;
        }"""
    )
    assert hidden == 3
    await page.evaluate(AT_REST)
    assert abs(await page.evaluate(PLACE_OF, text) - top) < 2


@pytest.mark.contract("UI3")
async def test_who_has_scrolled_up_is_told_what_is_new_and_gets_there_with_one_click(
    site, open_page
):
    said = [f"message {number}" for number in range(40)]
    await site.tell("new", *said)
    page = await open_page(site.chat("new"))
    await wait_for_lines(page, *said)
    assert not await page.locator(NEWER).count()
    text, top, _ = await page.evaluate(TO_THE_TOP)
    assert await page.locator(NEWER).inner_text() == "Latest messages ↓"
    await site.tell("new", "first", "second")
    await page.get_by_role("button", name="2 new messages").wait_for()
    assert await page.evaluate(PLACE_OF, text) == top
    await page.get_by_role("button", name="2 new messages").click()
    await page.wait_for_function(AT_END)
    assert not await page.locator(NEWER).count()
    assert await page.evaluate(f"document.activeElement.matches('{LIST}')")
    [marked] = await page.locator(".sockstore-row:has(.sockstore-unread)").all()
    assert await marked.locator(".sockstore-content").inner_text() == "first"
    # Nothing is new any more once something else comes and is seen.
    for text in ("third", "fourth"):
        await site.tell("new", text)
        await page.get_by_text(text).wait_for()
    await page.wait_for_selector(".sockstore-unread", state="detached")
    await page.wait_for_function(AT_END)


@pytest.mark.contract("UI3")
async def test_what_the_reader_says_brings_the_reader_to_the_end(site, open_page):
    await site.tell("own", *(f"message {number}" for number in range(40)))
    page = await open_page(site.chat("own"))
    await page.get_by_text("message 39").wait_for()
    await page.evaluate(TO_THE_TOP)
    await page.wait_for_selector(NEWER)
    await say(page, "mine")
    await page.wait_for_selector(NEWER, state="detached")
    await page.wait_for_function(AT_END)


@pytest.mark.contract("UI3")
async def test_the_keys_that_move_through_a_list_move_through_this_one(site, open_page):
    await site.tell("keys", *(f"message {number}" for number in range(60)))
    page = await open_page(site.chat("keys"))
    await page.get_by_text("message 59").wait_for()
    await page.locator(LIST).focus()
    await page.keyboard.press("PageUp")
    await page.wait_for_selector(NEWER)
    await page.keyboard.press("Escape")
    await page.wait_for_function(AT_END)
    await page.wait_for_selector(NEWER, state="detached")
    # Chromium drops a key that comes in the moment in which its last movement is stopped.
    await page.evaluate(AT_REST)
    await page.keyboard.press("Home")
    await page.wait_for_function(f"document.querySelector('{LIST}').scrollTop === 0")
    await page.keyboard.press("Tab")
    assert await page.evaluate(f"document.activeElement.matches('{NEWER}')")
    await page.keyboard.press("Enter")
    await page.wait_for_function(AT_END)


@pytest.mark.contract("UI3")
@pytest.mark.parametrize("key", ["Home", "PageUp", "ArrowUp"])
async def test_who_goes_up_is_not_brought_back_by_what_comes_at_that_moment(site, open_page, key):
    room = f"up-{key.lower()}"
    await site.tell(room, *(f"message {number}" for number in range(60)))
    page = await open_page(site.chat(room))
    await page.get_by_text("message 59").wait_for()
    # The browser glides, and while it does something changes in every frame.
    await page.evaluate(
        f"""() => {{
            const list = document.querySelector("{LIST}");
            const last = [...document.querySelectorAll("{LINES}")].at(-1);
            let frames = 0;
            const change = () => {{
                last.textContent = `change ${{frames}}`;
                if (frames++ < 20) requestAnimationFrame(change);
            }};
            list.addEventListener("keydown", change, {{ once: true }});
        }}"""
    )
    await page.locator(LIST).focus()
    await page.keyboard.press(key)
    await page.wait_for_selector(NEWER)
    if key == "Home":
        await page.wait_for_function(f"document.querySelector('{LIST}').scrollTop === 0")


@pytest.mark.contract("UI3")
async def test_links_lead_elsewhere_and_know_nothing_of_this_page(site, open_page):
    text = (
        "See https://example.com/a?b=1&c=<i> (and HTTP://localhost:1/x), not javascript:alert(1), "
        'data:text/html,x or https://bank@evil.example "https://example.com/"><b>bold</b>'
    )
    await site.tell("links", text)
    page = await open_page(site.chat("links"))
    await wait_for_lines(page, text)
    links = page.locator(".sockstore-content a")
    assert await links.evaluate_all("all => all.map(one => one.getAttribute('href'))") == [
        "https://example.com/a?b=1&c=",
        "HTTP://localhost:1/x",
        "https://example.com/",
    ]
    assert (
        await links.evaluate_all("all => all.map(one => [one.target, one.rel].join())")
        == ["_blank,noopener noreferrer"] * 3
    )
    assert not await page.locator(".sockstore-line b").count()


@pytest.mark.contract("UI6")
async def test_joining_another_room_is_a_navigation_that_keeps_the_name(site, open_page):
    page = await open_page(site.chat("mine"))
    await page.wait_for_selector(CONNECTED)
    rooms = page.get_by_role("navigation", name="Rooms")
    assert await texts(page, ".demo-room[aria-current=page]") == ["# mine"]
    await rooms.get_by_role("link", name="# help").click()
    await page.wait_for_url("**/chat?room=help&name=Ann")
    await page.wait_for_selector(CONNECTED)
    await eventually(lambda: site.chat_server.rooms.get("help") == ["Ann"], "Ann is in the other")
    await eventually(lambda: "mine" not in site.chat_server.rooms, "Ann has left the first")
    assert await page.get_by_role("heading", level=1).inner_text() == "# help"
    assert await rooms.get_by_role("link", name="# mine").is_visible()  # where we have been
    await page.get_by_label("Room", exact=True).fill("<i> no room")
    await page.get_by_role("button", name="Join").click()
    await page.wait_for_selector(".sockstore-line.error")
    assert "(102)" in (await texts(page, ".sockstore-line.error"))[0]


@pytest.mark.contract("UI3")
async def test_a_narrow_page_has_the_rooms_in_a_menu_and_needs_no_scrolling_sideways(
    site, open_page
):
    await site.tell("narrow", "w" * 500, "https://example.com/" + "x" * 300)
    page = await open_page(site.chat("narrow"))
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.wait_for_selector(CONNECTED)
    await page.get_by_text("w" * 500).wait_for()
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert await page.evaluate(fits)
    rooms = page.get_by_role("navigation", name="Rooms")
    assert not await rooms.is_visible()
    menu = page.get_by_role("button", name="Rooms")
    await menu.focus()
    await page.keyboard.press("Enter")
    await rooms.wait_for()
    await page.keyboard.press("Escape")
    await rooms.wait_for(state="hidden")
    assert await menu.evaluate("one => one === document.activeElement")
    await page.get_by_role("button", name="Inspector").click()
    await page.get_by_role("log", name="Timeline").wait_for()
    assert await page.evaluate(fits)
    assert await page.locator(FIELD).is_visible()


@pytest.mark.contract("UI2", "UI3", "UI4")
async def test_every_control_can_be_reached_seen_and_named_with_the_keyboard_alone(site, open_page):
    await site.tell("reach", "see https://example.com/")
    page = await open_page(site.chat("reach"))
    await page.wait_for_selector(CONNECTED)
    await page.get_by_text("see").wait_for()
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    assert await skip.evaluate("one => one === document.activeElement")
    assert (await skip.bounding_box())["y"] >= 0
    seen = []
    while await page.evaluate("document.activeElement !== document.body") and len(seen) < 40:
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) != "none", seen
        seen.append(await page.evaluate("document.activeElement.outerHTML"))
        await page.keyboard.press("Tab")
    for control in ("Echo", "# lobby", 'name="name"', "Join", "Inspector", "log", "example.com"):
        assert any(control in one for one in seen), control
    assert ["<textarea" in one for one in seen][-2] is True
    await skip.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert "# lobby" in await page.evaluate("document.activeElement.textContent")


@pytest.mark.contract("UI2", "UI3", "UI4")
async def test_a_screen_reader_is_told_what_everything_is(site, open_page):
    await site.tell("spoken", "see https://example.com/")
    page = await open_page(site.chat("spoken"))
    await page.get_by_text("see").wait_for()
    await page.get_by_role("button", name="Inspector").click()
    await page.get_by_text("Open after").wait_for()
    await say(page, "hello")
    await page.get_by_role("img", name="Delivered to the room").wait_for()
    seen = await page.locator("body").aria_snapshot()
    for expected in (
        'link "Skip to the content"',
        'navigation "Pages"',
        'navigation "Rooms"',
        'textbox "Name": Ann',
        'textbox "Room": spoken',
        'heading "# spoken" [level=1]',
        'region "Connection inspector"',
        'button "Inspector" [expanded]',
        'img "Latency',
        'img "Messages',
        'log "Timeline"',
        "status: Connected to chat server",
        'log "Messages"',
        "separator: Today",
        "strong: Bob",
        'link "https://example.com/"',
        'img "Delivered to the room"',
        'textbox "Message"',
        'button "Send"',
    ):
        assert expected in seen, seen
    # What was there before is not read aloud, what comes is.
    await page.wait_for_selector(f"{LIST}[aria-busy=false]")
    unnamed = """() => [...document.querySelectorAll("a, button, input, textarea, [tabindex='0']")]
        .filter(one => one.offsetParent)
        .filter(one => !one.textContent.trim() && !one.ariaLabel && !one.labels?.length)
        .map(one => one.outerHTML)"""
    assert await page.evaluate(unnamed) == []


@pytest.mark.contract("UI1")
async def test_the_inspector_shows_what_the_connection_does_and_is_remembered(site, open_page):
    page = await open_page(site.chat("inspected"))
    await page.wait_for_selector(CONNECTED)
    panel = page.locator(".sockstore-inspector-panel")
    assert not await panel.count()
    await page.get_by_role("button", name="Inspector").click()
    await panel.get_by_text("Connected to ws://").wait_for()
    await panel.get_by_text("Open after").wait_for()
    figures = dict(
        zip(await texts(page, "dt"), await texts(page, ".sockstore-figures dd"), strict=True)
    )
    assert (figures["Attempts"], figures["Losses"]) == ("1", "0")
    assert figures["Subscribed"] == "1 of 1"
    # The plot lives: the ping that is sent every two seconds is answered.
    await panel.get_by_role("img", name=re.compile(r"Latency: .* ms now")).wait_for()
    await say(page, "counted")
    await panel.get_by_role("img", name=re.compile(r"Messages: .*, [1-9]")).wait_for()
    await page.reload()
    await panel.get_by_text("Open after").wait_for()
    await page.get_by_role("log", name="Timeline").focus()
    await page.keyboard.press("Escape")
    await panel.wait_for(state="detached")
    assert "Inspector" in await page.evaluate("document.activeElement.textContent")
    await page.reload()
    await page.wait_for_selector(CONNECTED)
    assert not await panel.count()
    await page.goto(site.pages)
    await page.wait_for_selector(CONNECTED)
    await page.get_by_role("button", name="Inspector").click()
    await panel.get_by_text("Connected to ws://").wait_for()


@pytest.mark.contract("UI1")
async def test_the_timeline_follows_its_end_also_when_its_panel_leaves_it_less_room(open_page):
    listening = listen()
    server = f"ws://{address_of(listening)}"
    at_end = AT_END.replace(LIST, ".sockstore-timeline")
    async with AsyncExitStack() as life_of_server:
        await life_of_server.enter_async_context(served(create_app(), listening))
        async with demo("--server", server) as pages:
            page = await open_page(pages)
            await page.wait_for_selector(CONNECTED)
            await page.get_by_role("button", name="Inspector").click()
            await page.get_by_text("Open after").wait_for()
            await life_of_server.aclose()
            # The explanation of an outage is longer than "Connected to ...", above the timeline.
            await page.locator("[data-kind=failure]").nth(1).wait_for()
            timeline = page.get_by_role("log", name="Timeline")
            assert await timeline.evaluate("one => one.scrollHeight > one.clientHeight + 50")
            await page.wait_for_function(at_end)
            await page.set_viewport_size({"width": 1280, "height": 600})
            await page.wait_for_function(at_end)


@pytest.mark.contract("UI2", "UI3")
async def test_a_dark_page_is_dark(site, open_page):
    page = await open_page("about:blank")
    await page.emulate_media(color_scheme="dark")
    await page.goto(site.chat("dark"))
    await page.wait_for_selector(CONNECTED)
    assert await background(page, "body") == "rgb(18, 23, 30)"
    assert await background(page, ".sockstore-status") == "rgb(20, 61, 34)"
