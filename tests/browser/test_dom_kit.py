"""The components on a page of the visitor's own browser, as its document shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_asyncio

from browser.conftest import forget, remembering_chromium
from browser.demos import FIELD, LINES, texts
from browser.pyodide_pages import LOAD, pages

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("dom kit"),
]

SET_UP = """
import asyncio, json
import sockstore.ui.browser as kit
from sockstore import Navigator
from sockstore.testing import FakeServer
import js as window

server = FakeServer()

def chat():
    with kit.WebSocketProvider("ws://fake/chat/lobby", transport=server):
        yield kit.ConnectionStatus()
        yield kit.ChatMembers()
        yield kit.ConnectionInspector()
        yield kit.ChatMessages()
        yield kit.ChatInput()

def say(*contents, sender="Bob"):
    for content in contents:
        server.send({"type": "message", "sender": sender, "content": content})

def connections():
    return len(server.open_connections)

async def until(is_true):
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.01)
"""

COUNT_LISTENERS = """() => {
    window.listeners = 0;
    const { addEventListener, removeEventListener } = EventTarget.prototype;
    EventTarget.prototype.addEventListener = function (name, listener, options) {
        window.listeners += 1;
        const gone = () => (window.listeners -= 1);
        if (options?.signal) addEventListener.call(options.signal, "abort", gone);
        return addEventListener.call(this, name, listener, options);
    };
    EventTarget.prototype.removeEventListener = function (name, listener, options) {
        window.listeners -= 1;
        return removeEventListener.call(this, name, listener, options);
    };
}"""

AT_END = """() => {
    const one = document.querySelector(".sockstore-messages");
    return one.scrollHeight - one.scrollTop - one.clientHeight < 2;
}"""
NEWER = ".sockstore-newer"


class Document:
    """A page in which Python runs.

    Args:
        page: Playwright's.
        address: Of the server.
    """

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.address = address
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)[:2000]))

    async def load(self, path: str = "/", code: str = "") -> None:
        """Go to an address, start Python there, and run this."""
        await self.page.goto(self.address + path)
        await self.start(code)

    async def start(self, code: str = "") -> None:
        """Start Python, and run this."""
        await self.page.evaluate(LOAD, SET_UP + code)

    async def run(self, code: str) -> Any:
        """Run Python; what its last expression is."""
        script = "async (code) => await python.runPythonAsync(code)"
        return await self.page.evaluate(script, code)

    async def value(self, expression: str) -> Any:
        """The value of a Python expression, by way of JSON."""
        return json.loads(await self.run(f"json.dumps({expression})"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address():
    async with pages() as found:
        yield found


async def open_document(visitor, address) -> Document:
    page = await visitor.new_page()
    await page.set_viewport_size({"width": 800, "height": 600})
    return Document(page, address)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(visitor, address):
    """One document for the tests that clean up behind themselves."""
    document = await open_document(visitor, address)
    await document.load()
    return document


@pytest_asyncio.fixture(loop_scope="module")
async def document(loaded):
    """The document, with a chat mounted in it; afterwards it is empty again."""
    await loaded.page.evaluate("sessionStorage.clear(), localStorage.clear()")
    await loaded.run("server = FakeServer(); page = kit.mount(chat); await until(connections)")
    await loaded.page.wait_for_selector(".sockstore-status.connected")
    yield loaded
    await loaded.run("await page.unmount()")
    assert await loaded.page.evaluate("document.body.childElementCount") == 0
    assert not await loaded.value("connections()")
    assert not loaded.problems


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(visitor, address):
    """A document that no other test has used, in a profile that has kept nothing."""
    document = await open_document(visitor, address)
    yield document
    await document.page.close()
    await forget(visitor)
    assert not document.problems


HOSTILE = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script><b>bold</b>'


@pytest.mark.contract("UI3", "UI1")
async def test_markup_in_whatever_comes_is_text(document):
    await document.run(f"""
hostile = {HOSTILE!r}
say(hostile, sender=hostile)
server.send({{"type": "join", "sender": hostile}}, {{"type": "error", "message": hostile}}, hostile)
server.send({{"type": "presence", "members": [hostile], "count": 1}})
with page.root:
    kit.Element("h1", text=hostile)
    with kit.WebSocketProvider("ws://fake/echo", transport=server, name="echo"):
        kit.WebSocketDemo(name="echo")
        kit.LiveList(lambda data: (str(data), 1), name="echo", columns=(hostile,))
await until(lambda: connections() == 2)
server.send(hostile, {{"a": hostile}})
""")
    page = document.page
    await page.locator(".sockstore-record").nth(1).wait_for()
    await page.locator(".sockstore-live .sockstore-cells").nth(2).wait_for()
    await page.locator(".sockstore-sender").first.wait_for()
    assert HOSTILE in await texts(page, LINES)
    assert await page.locator("body :is(img, script, b)").count() == 0
    assert await page.evaluate("window.harmed") is None
    await document.run("server.close(4400, hostile)")
    await page.locator(".sockstore-status.error").wait_for()
    assert await page.locator("body :is(img, script, b)").count() == 0


@pytest.mark.contract("UI4")
async def test_what_is_being_written_outlives_a_reload(fresh):
    mount = "kit.mount(chat)"
    await fresh.load(code=mount)
    page = fresh.page
    await page.locator(FIELD).fill("half a thought\nand more")
    await page.reload()
    await fresh.start(mount)
    await page.wait_for_selector(".sockstore-status.connected")
    assert await page.locator(FIELD).input_value() == "half a thought\nand more"
    await page.locator(FIELD).press("Enter")
    assert await page.locator(FIELD).input_value() == ""
    await page.reload()
    await fresh.start(mount)
    await page.wait_for_selector(".sockstore-status.connected")
    assert await page.locator(FIELD).input_value() == ""


@pytest.mark.contract("UI4")
async def test_an_input_method_that_composes_keeps_its_enter(document):
    page = document.page
    await page.locator(FIELD).fill("nihon")
    for composing in ("isComposing: true", "keyCode: 229"):
        is_left_alone = await page.locator(FIELD).evaluate(
            f"""(field) => field.dispatchEvent(new KeyboardEvent("keydown",
                {{ key: "Enter", {composing}, bubbles: true, cancelable: true }}))"""
        )
        assert is_left_alone
    assert await page.locator(FIELD).input_value() == "nihon"
    assert await document.value("server.received") == []


@pytest.mark.contract("UI4")
async def test_the_focus_comes_back_with_the_connection(document):
    page = document.page
    await page.locator(FIELD).focus()
    await document.run("server.drop()")
    await page.locator(FIELD + ":disabled").wait_for()
    await page.locator(FIELD + ":enabled").wait_for()
    assert await page.evaluate("document.activeElement.tagName") == "TEXTAREA"


@pytest.mark.contract("UI3")
async def test_the_list_follows_its_end_only_while_its_reader_is_there(document):
    page = document.page
    await document.run("say(*(f'message {number}' for number in range(80)))")
    await page.get_by_text("message 79").wait_for()
    await page.wait_for_function(AT_END)
    await page.locator(".sockstore-messages").hover()
    await page.mouse.wheel(0, -700)
    await page.locator(NEWER).wait_for()
    place = "() => document.querySelector('.sockstore-messages').scrollTop"
    await page.wait_for_timeout(300)
    before = await page.evaluate(place)
    await document.run("say('one more', 'and another')")
    await page.get_by_text("2 new messages").wait_for()
    assert await page.evaluate(place) == before
    await page.locator(NEWER).click()
    await page.wait_for_function(AT_END)
    await page.locator(NEWER).wait_for(state="detached")
    await document.run("say('the last one')")
    await page.get_by_text("the last one").wait_for()
    await page.wait_for_function(AT_END)


@pytest.mark.contract("UI1")
async def test_the_timeline_follows_its_end_also_when_the_panel_was_closed_or_has_less_room(
    document,
):
    page = document.page
    at_end = AT_END.replace(".sockstore-messages", ".sockstore-timeline")
    button = page.get_by_role("button", name="Inspector")
    await button.click()
    events = page.locator(".sockstore-event")
    for number in (4, 8, 12):  # of each connection: the end, the decision, an attempt, it opens
        await document.run("page.root.children[0].connection.reconnect()")
        await events.nth(number).wait_for()
    await page.wait_for_function(at_end)
    timeline = page.get_by_role("log", name="Timeline")
    assert await timeline.evaluate("one => one.scrollHeight > one.clientHeight + 50")
    await button.click()
    await timeline.wait_for(state="detached")
    await button.click()
    await page.wait_for_function(at_end)
    await timeline.evaluate("one => one.style.maxHeight = '60px'")
    await page.wait_for_function(at_end)


@pytest.mark.contract("UI1", "UI6")
async def test_components_come_later_and_go_earlier(document):
    page = document.page
    await document.run("""
with page.root:
    place = kit.Element("section", aria_label="Later")
    with place:
        outer = kit.WebSocketProvider("ws://fake/later", transport=server, name="later")
with outer:
    later = kit.ConnectionStatus(name="later")
await until(lambda: connections() == 2)
""")
    section = page.get_by_label("Later")
    await section.locator(".sockstore-status.connected").wait_for()
    await document.run("await later.remove(); await later.remove()")
    assert await section.locator(".sockstore-status").count() == 0
    assert await document.value("[connections(), later.scope.closed]") == [2, True]
    await document.run("await place.remove(); await until(lambda: connections() == 1)")
    assert await section.count() == 0
    assert await document.value("outer.scope.closed")


@pytest.mark.contract("UI6", "LC1")
async def test_children_are_destroyed_first_and_all_of_them_even_if_some_raise(document):
    told = await document.run("""
class Noted(kit.Component):
    def __init__(self, title):
        super().__init__()
        self.title = title

    async def on_mount(self):
        self.scope.on_destroy(self.note)
        mounted.append(self.title)

    def note(self):
        destroyed.append(self.title)
        if self.title == "broken":
            raise ValueError("cannot be destroyed")

def nested():
    with Noted("outer"):
        Noted("first")
        with Noted("second"):
            Noted("broken")

async def destroyed_by(leave):
    global mounted, destroyed
    mounted, destroyed = [], []
    one = kit.mount(nested)
    outer = one.root.children[0]
    await until(lambda: len(mounted) == 4)
    with outer:
        Noted("later")
    await until(lambda: "later" in mounted)
    try:
        await leave(one, outer)
    except ExceptionGroup as group:
        destroyed.append(type(group).__name__)
    await one.unmount()
    return destroyed

told = [
    await destroyed_by(lambda one, outer: one.unmount()),
    await destroyed_by(lambda one, outer: outer.remove()),
]
json.dumps(told)
""")
    expected = ["later", "broken", "second", "first", "outer", "ExceptionGroup"]
    assert json.loads(told) == [expected, expected]
    assert await document.page.locator(".sockstore-root").count() == 1


@pytest.mark.contract("UI1")
async def test_a_layout_that_raises_leaves_nothing(document):
    told = await document.run("""
def broken():
    yield from chat()
    raise LookupError("no such room")

told = []
for layout, into in ((broken, "body"), (chat, "#nowhere")):
    try:
        kit.mount(layout, into)
    except LookupError as error:
        told.append(str(error))
try:
    kit.ConnectionStatus()
except RuntimeError as error:
    told.append(str(error))
json.dumps(told)
""")
    broken, nowhere, outside = json.loads(told)
    assert broken == "no such room"
    assert "#nowhere" in nowhere
    assert "mount()" in outside
    assert await document.page.locator(".sockstore-root").count() == 1
    assert await document.value("connections()") == 1


@pytest.mark.contract("UI1")
async def test_the_page_is_dark_when_the_visitor_wants_it(document):
    root = document.page.locator(".sockstore-root")
    assert await root.evaluate("(one) => one.classList.contains('sockstore-dark')") is False
    await document.page.emulate_media(color_scheme="dark")
    await document.page.locator(".sockstore-root.sockstore-dark").wait_for()
    await document.page.emulate_media(color_scheme="light")
    await document.page.locator(".sockstore-root:not(.sockstore-dark)").wait_for()


@pytest.mark.contract("UI1")
async def test_a_component_that_cannot_be_mounted_says_so_at_once(document):
    told = await document.run("""
class Broken(kit.Component):
    async def on_mount(self):
        raise ValueError("no such thing")

told = []
loop = asyncio.get_running_loop()
loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
with page.root:
    broken = Broken()
await until(lambda: told)
await broken.remove()
loop.set_exception_handler(None)
json.dumps(told)
""")
    assert json.loads(told) == ["on_mount of Broken raised"]


@pytest.mark.contract("UI1")
async def test_a_program_fills_the_element_that_is_there_for_it(fresh):
    await fresh.load()
    await fresh.page.evaluate("document.body.append(document.createElement('main'))")
    await fresh.page.evaluate("document.querySelector('main').id = 'app'")
    await fresh.run("page = kit.run(chat)")
    await fresh.page.locator("#app > .sockstore-page .sockstore-status.connected").wait_for()
    await fresh.run("await page.unmount()")
    assert await fresh.page.locator("#app > *").count() == 0
    await fresh.page.evaluate("document.querySelector('main').remove()")
    await fresh.run("page = kit.run(chat)")
    await fresh.page.locator("body > .sockstore-page .sockstore-status.connected").wait_for()
    fits = "document.documentElement.scrollHeight <= innerHeight"
    assert await fresh.page.evaluate(fits)


@pytest.mark.contract("UI6", "LC2")
async def test_a_hundred_mounts_leave_no_proxy_no_listener_and_no_node(fresh):
    await fresh.load()
    page = fresh.page
    await page.evaluate(COUNT_LISTENERS)
    await page.evaluate("python._module.enable_pyproxy_allocation_tracing()")
    await fresh.run("""
async def visit(number):
    page = kit.mount(chat)
    await asyncio.sleep(0.02 * (number % 3))
    await page.unmount()

await visit(1)
""")
    count = """() => [
        python._module.pyproxy_alloc_map.size,
        listeners,
        document.querySelectorAll("*").length,
    ]"""
    before = await page.evaluate(count)
    await fresh.run("for number in range(100): await visit(number)")
    assert await page.evaluate(count) == before
    assert await fresh.value("connections()") == 0
    # The counters count.
    await fresh.run("page = kit.mount(chat); await asyncio.sleep(0.05)")
    proxies, listeners, nodes = await page.evaluate(count)
    assert proxies > before[0] + 5
    assert listeners > before[1] + 5
    assert nodes > before[2] + 10


HISTORY = """
shown = []

def showing(title):
    async def shows(scope):
        def layout():
            with kit.Element("main"):
                kit.Element("h1", text=title)
                for target in ("/", "/chat?room=a", "/chat?room=b", "/#part", "/raw", "/chat#top"):
                    kit.Element("a", text=target, href=target)
                kit.Element("a", text="other tab", href="/chat", target="_blank")
                kit.Element("a", text="download", href="/chat", download=True)
                with kit.WebSocketProvider(
                    "ws://fake", transport=server, close_on_navigate=navigator
                ):
                    kit.ConnectionStatus()
        page = kit.mount(layout)
        scope.on_destroy(page.unmount)
        shown.append(title)
    return shows

start, lobby = showing("start"), {}

def page_of(url):
    place = window.URL.new(url)
    if place.pathname == "/":
        return start
    if place.pathname == "/chat":
        title = f"chat {place.search}"
        return lobby.setdefault(title, showing(title))
    return None

navigator = Navigator()
history = kit.PageHistory(navigator, page_of)
await history.start()
"""


async def until_shown(document: Document, *titles: str) -> None:
    """Wait until exactly these pages were shown, in this order."""
    await document.run(f"await until(lambda: shown == {list(titles)!r})")


@pytest.mark.contract("LC4")
async def test_a_navigator_follows_links_back_forward_and_hashes(fresh):
    await fresh.load(code=HISTORY)
    page = fresh.page
    titles = ["start"]

    async def comes(title: str, url: str) -> None:
        titles.append(title)
        await until_shown(fresh, *titles)
        assert await page.locator("h1").all_text_contents() == [title]
        assert page.url == fresh.address + url

    await page.get_by_text("/chat?room=a").click()
    await comes("chat ?room=a", "/chat?room=a")
    await page.get_by_text("/chat?room=b").click()
    await comes("chat ?room=b", "/chat?room=b")
    await page.go_back()
    await comes("chat ?room=a", "/chat?room=a")
    await page.go_forward()
    await comes("chat ?room=b", "/chat?room=b")
    await fresh.run("await history.go('/')")
    await comes("start", "/")
    # A place in the same page: the browser goes there, and the page stays.
    await page.get_by_text("/#part").click()
    await page.wait_for_url("**/#part")
    assert await fresh.value("history.url") == fresh.address + "/#part"
    await page.go_back()
    await page.wait_for_url(fresh.address + "/")
    await until_shown(fresh, *titles)
    await fresh.run("await until(lambda: connections() == 1)")
    # A hash that means another page, of which two events tell.
    await fresh.run("""
history._page_of = lambda url: showing("hash") if url.endswith("#hash") else page_of(url)
window.location.hash = "#hash"
""")
    await comes("hash", "/#hash")


@pytest.mark.contract("LC4")
async def test_links_that_are_the_browsers_stay_the_browsers(fresh):
    await fresh.load(code=HISTORY)
    page = fresh.page
    async with page.context.expect_page() as opened:
        await page.get_by_text("/chat?room=a").click(modifiers=["Control"])
    await (await opened.value).close()
    async with page.context.expect_page() as opened:
        await page.get_by_text("other tab").click()
    await (await opened.value).close()
    async with page.expect_download():
        await page.get_by_text("download").click()
    assert await fresh.value("shown") == ["start"]
    # What has no page of ours is loaded.
    await page.get_by_text("/raw").click()
    await page.wait_for_url("**/raw")
    assert await page.evaluate("window.python") is None


@pytest.mark.contract("LC4")
async def test_a_history_that_is_closed_follows_nothing(fresh):
    await fresh.load(code=HISTORY + "await history.aclose()")
    await fresh.page.evaluate("history.pushState(null, '', '/chat'), history.back()")
    await fresh.page.wait_for_url(fresh.address + "/")
    await fresh.page.get_by_text("/chat?room=a").click()
    await fresh.page.wait_for_url("**/chat?room=a")
    assert await fresh.page.evaluate("window.python") is None


# Leaving the document and coming back to it, which the browser has kept meanwhile


@pytest_asyncio.fixture(loop_scope="module")
async def kept(address):
    """A document of a browser that keeps documents which are left: Playwright's own does not."""
    options = {"ignore_default_args": ["--disable-back-forward-cache"]}
    async with remembering_chromium(**options) as visitor:
        document = await open_document(visitor, address)
        yield document
    assert not document.problems


WATCH = """() => {
    window.returns = [];
    addEventListener("pageshow", (event) => returns.push(event.persisted));
    python._module.enable_pyproxy_allocation_tracing();
}"""


async def leave_and_return(document: Document) -> None:
    await document.page.goto(document.address + "/elsewhere")
    await document.page.go_back(wait_until="commit")
    await document.page.wait_for_function("window.returns?.at(-1) === true")


@pytest.mark.contract("UI6", "LC3")
async def test_a_provider_lets_the_browser_keep_its_document_and_connects_again(kept):
    await kept.load(code="page = kit.mount(chat)\nawait until(connections)")
    await kept.page.evaluate(WATCH)
    for _ in range(5):
        await kept.run("left = server.open_connections[0]")
        await leave_and_return(kept)
        await kept.page.wait_for_selector(".sockstore-status.connected")
        assert await kept.value("[connections(), left in server.open_connections]") == [1, False]
    # A connection that was closed stays closed.
    await kept.run("next(iter(page.root.children)).connection.close()")
    await kept.page.wait_for_selector(".sockstore-status.disconnected")
    await leave_and_return(kept)
    await kept.run("await asyncio.sleep(0.1)")
    assert await kept.value("connections()") == 0


@pytest.mark.contract("LC4")
async def test_a_navigator_leaves_its_page_with_the_document_and_shows_it_again(kept):
    await kept.load(code=HISTORY)
    await kept.page.evaluate(WATCH)
    await kept.run("""
await until(connections)
told = []
navigator.navigating.subscribe(lambda navigation: told.append(
    navigation and (connections(), navigation.to.__name__)))
""")
    for number in range(5):
        await leave_and_return(kept)
        await until_shown(kept, *["start"] * (number + 2))
        await kept.page.wait_for_selector(".sockstore-status.connected")
        assert await kept.page.locator("h1").count() == 1
    assert await kept.value("connections()") == 1
    # It is told before the document is frozen, so that all can close in time.
    assert [1, "_nothing"] in await kept.value("told")
