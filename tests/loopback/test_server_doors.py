"""Which clients are admitted, over real sockets: by origin, token, name, and number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import InvalidStatus

from loopback.processes import serving, start
from loopback.server_kit import PATIENCE, QUICK, Mute, guest, running
from sockstore import Attempt, ConnectionEnded, Reconnect, WebSocketStore
from sockstore.server import ChatServer, Limits, SqliteHistory, create_app
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("SV4")]

PATHS = ["/echo", "/chat/lobby"]


async def refusal(url: str, **options: Any) -> tuple[int, str, dict[str, str]]:
    """Return status, body and headers of the answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with guest(url, **options):
            pass
    answer = refused.value.response
    headers = {name.lower(): value for name, value in answer.headers.raw_items()}
    return answer.status_code, (answer.body or b"").decode(), headers


async def status(url: str, **options: Any) -> int:
    return (await refusal(url, **options))[0]


@pytest.mark.parametrize("path", PATHS)
async def test_only_pages_of_the_same_host_and_port_may_connect(path):
    async with running() as server:
        url = server.url(path)
        async with guest(url):  # no browser: no Origin
            pass
        async with guest(url, origin=f"http://127.0.0.1:{server.port}"):
            pass
        for origin in (
            "http://evil.example",
            "http://127.0.0.1",
            f"http://127.0.0.1:{server.port + 1}",
            f"http://localhost:{server.port}",
            f"http://127.0.0.1:{server.port}.evil.example",
            f"http://user@127.0.0.1:{server.port}",
            "null",
            "*",
            "",
        ):
            code, body, _ = await refusal(url, origin=origin)
            assert (code, "allow" in body) == (403, True)
        # One wrong Origin beside a right one does not come through either.
        both = [("Origin", f"http://127.0.0.1:{server.port}"), ("Origin", "http://evil.example")]
        assert await status(url, additional_headers=both) in {400, 403}


async def test_an_allow_list_lets_other_sites_in():
    app = create_app(allowed_origins=["https://app.example:443", "null"])
    async with running(app) as server:
        for origin in ("https://app.example", "https://APP.example:443", "null"):
            async with guest(server.url(), origin=origin):
                pass
        assert await status(server.url(), origin="https://app.example:444") == 403
    async with running(create_app(allowed_origins=["*"])) as server:
        async with guest(server.url(), origin="http://evil.example"):
            pass


@pytest.mark.parametrize("path", PATHS)
async def test_a_token_is_taken_from_the_header_or_the_query(path):
    async with running(create_app(token="sésame")) as server:
        url = server.url(path)
        async with guest(f"{url}?token=s%C3%A9same"):
            pass
        for wrong in ("", "?token=", "?token=other", "?token=s%C3%A9same2"):
            code, body, headers = await refusal(url + wrong)
            assert (code, headers["www-authenticate"]) == (401, "Bearer")
            assert "sésame" not in body
        wrong_header = {"Authorization": "Bearer other"}
        assert await status(f"{url}?token=s%C3%A9same", additional_headers=wrong_header) == 401
    async with running(create_app(token="secret")) as server:
        async with guest(server.url(path), additional_headers={"Authorization": "bearer secret"}):
            pass


async def test_a_token_can_be_checked_by_a_callable():
    shown = []

    async def check(token: str | None) -> bool:
        shown.append(token)
        await asyncio.sleep(0)
        return token == "good"

    async with running(create_app(token=check)) as server:
        async with guest(server.url() + "?token=good"):
            pass
        assert await status(server.url()) == 401
    assert shown == ["good", None]
    async with running(create_app(token=lambda token: token == "good")) as server:
        async with guest(server.url() + "?token=good"):
            pass


async def test_a_token_check_that_raises_is_500_and_logged_without_the_token(caplog):
    def broken(token: str | None) -> bool:
        raise ZeroDivisionError

    async with running(create_app(token=broken)) as server:
        assert await status(server.url() + "?token=hunter2") == 500
    assert "the token check failed" in caplog.text
    assert "hunter2" not in caplog.text


async def test_our_client_asks_its_callable_for_a_fresh_token():
    def headers(attempt: Attempt) -> dict[str, str]:
        return {"Authorization": f"Bearer {'fresh' if attempt.refresh else 'stale'}"}

    async with running(create_app(token="fresh")) as server:
        async with WebSocketStore(server.url(), headers=headers) as connection:
            await connection.ready(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/chat/" + "x" * 64, None),
        ("/chat/" + "x" * 65, 404),
        ("/chat/" + "x" * 10_000, 404),
        ("/chat/" + "%C3%A9" * 64, None),
        ("/chat/", 404),
        ("/chat/a/b", 404),
        ("/chat/a%2Fb", 404),
        ("/chat/..%2F..%2Fetc", 404),
        ("/chat/.hidden", 404),
        ("/chat/-x", 404),
        ("/chat/a%20b", 404),
        ("/chat/%3Cb%3E", 404),
        ("/chat/a%00b", 404),
        ("/chat/a%0Ab", 404),
        ("/chat/lobby%0A", 404),
        ("/chat/%0Alobby", 404),
        ("/chat/a%0Db", 404),
        ("/chat/%E3%85%A4", 404),
        ("/chat/lobby/", 404),
        ("/chat", 404),
        ("/chat/..", 404),
        ("/echo%0A", 404),
        ("/connection/websocket%0A", 404),
        ("/connection/websocket?name=%E2%80%8B", 400),
        ("/no%0Awhere", 404),
        ("/chat/%FF", 404),
        ("/chat/lobby.v2_x-y", None),
        ("/nowhere", 404),
        ("/", 404),
        ("/chat/lobby?name=" + "n" * 64, None),
        ("/chat/lobby?name=" + "n" * 65, 400),
        ("/chat/lobby?name=a%0Ab", 400),
        ("/chat/lobby?name=a%E2%80%AEb", 400),
        ("/chat/lobby?name=%20%20", None),
        ("/chat/lobby?name=%E2%80%8B", 400),
        ("/chat/lobby?name=%E3%85%A4", 400),
        ("/chat/lobby?" + "a=1&" * 40, 400),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_names_of_rooms_and_senders_are_bounded(path, expected):
    async with running() as server:
        if expected is None:
            async with guest(server.url(path)):
                pass
        else:
            assert await status(server.url(path)) == expected


@pytest.mark.contract("SV1", "SV4")
@pytest.mark.parametrize("path", ["/chat/a%0Ab", "/chat/lobby%0A", "/echo%0A"])
async def test_routes_in_another_application_read_a_path_to_its_end_too(path):
    chat = ChatServer()
    app = FastAPI()
    app.router.routes.extend(chat.routes)
    async with running(app) as server:
        code = await status(server.url(path))
    await chat.aclose()
    # The other application answers what is not a route of ours, with what Starlette says then.
    assert code == (404 if path.startswith("/chat/") else 403)


async def answer_of(host: str, port: int, path: str, *headers: str, version: str = "1.1") -> str:
    """Return the first line and the body of the answer to a plain request."""
    reader, writer = await asyncio.open_connection(host, port)
    lines = [f"GET {path} HTTP/{version}", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(PATIENCE):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return f"{answer.partition(chr(13))[0]} {answer.rpartition(chr(10) * 2)[2]}"


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("path", [*PATHS, "/connection/websocket", "/nowhere"])
async def test_a_page_that_pointed_its_own_name_at_this_machine_does_not_come_in(path):
    async with running() as server:
        rebound = f"evil.example:{server.port}"
        headers = [("Host", rebound), ("Origin", f"http://{rebound}")]
        for shown in (headers, headers[:1]):
            code, body = await refused_by(server.port, path, shown)
            assert code == 403
            assert "--host-name" in body
        plain = await answer_of("127.0.0.1", server.port, path, f"Host: {rebound}")
        assert " 403 " in plain
        assert " 404 " in await answer_of("127.0.0.1", server.port, path, "Host: localhost")


async def refused_by(port: int, path: str, headers: list[tuple[str, str]]) -> tuple[int, str]:
    """Return status and body of a refusal; the client under test cannot choose its own Host."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        f"GET {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers),
        *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        code = int(head.split()[1])
        body = "" if code == 101 else (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return code, body


@pytest.mark.contract("SV12")
async def test_a_proxys_name_comes_in_where_it_is_allowed():
    app = create_app(host_names=["chat.example"], allowed_origins=["https://page.example"])
    async with running(app) as server:
        for name in ("chat.example", "page.example", "localhost", "127.0.0.1"):
            assert (await refused_by(server.port, "/echo", [("Host", name)]))[0] == 101
        assert (await refused_by(server.port, "/echo", [("Host", "evil.example")]))[0] == 403


@pytest.mark.contract("SV12")
async def test_a_mounted_server_checks_the_host_too():
    inner = create_app(limits=Limits(**QUICK))
    async with running(Starlette(routes=[Mount("/live", inner)])) as server:
        path = "/live/chat/lobby"
        assert (await refused_by(server.port, path, [("Host", "evil.example")]))[0] == 403
        assert (await refused_by(server.port, path, [("Host", "localhost")]))[0] == 101
    await inner.state.chat_server.aclose()


@pytest.mark.contract("SV12")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), 403), (("--host-name", "evil.example"), 101), (("--host", "0.0.0.0"), 101)],
    ids=["loopback", "a name that is allowed", "all addresses"],
)
async def test_the_command_decides_by_what_it_listens_on(arguments, code):
    async with serving(0, *arguments, "--history", "sqlite:///:memory:") as server:
        headers = [("Host", "evil.example"), ("Origin", "http://evil.example")]
        assert (await refused_by(server.port, "/echo", headers))[0] == code


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("path", ["/", "/chat", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"])
async def test_the_demos_pages_are_not_shown_to_another_name(path):
    async with serving_demo() as port:
        assert " 403 " in await answer_of("127.0.0.1", port, path, "Host: evil.example")
        assert " 200 " in await answer_of("127.0.0.1", port, path, f"Host: localhost:{port}")


@asynccontextmanager
async def serving_demo() -> AsyncIterator[int]:
    demo = await start("demo", "--no-browser", "--port", "0")
    try:
        async with asyncio.timeout(60):
            line = (await demo.stdout.readline()).decode()
        yield int(line.rpartition(":")[2].split()[0])
    finally:
        demo.kill()
        await demo.communicate()


async def test_a_room_that_cannot_be_is_fatal_for_our_client():
    async with running() as server:
        connection = WebSocketStore(server.url("/chat/" + "x" * 10_000))
        async with connection:
            with pytest.raises(ConnectionEnded):
                await connection.ready(timeout=PATIENCE)
            assert connection.state.value.phase == "failed"


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /chat/\xff\xfe HTTP/1.1",
        b"GET /chat/lobby?name=\xc3\xa9 HTTP/1.1",
        b"POST /chat/lobby HTTP/1.1",
    ],
)
@pytest.mark.parametrize("header", [b"X: y", b"X: " + b"y" * 9000, b"X: y\r\n" * 200 + b"X: y"])
async def test_a_request_that_is_no_handshake_gets_an_answer(request_line, header, caplog):
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            request_line + b"\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            + header
            + b"\r\n\r\n"
        )
        async with asyncio.timeout(PATIENCE):
            line = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert line.startswith((b"HTTP/1.1 4", b"HTTP/1.1 101"))
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


@pytest.mark.contract("SV3", "RC8")
async def test_one_client_too_many_is_503_with_retry_after():
    async with running(limits=Limits(clients=2)) as server:
        async with server.enter(), guest(server.url()):
            code, _, headers = await refusal(server.url())
            assert (code, headers["retry-after"]) == (503, "5")
            connection = WebSocketStore(
                server.url(), reconnect=Reconnect.exponential(base=0.001, max=0.001)
            )
            connection.connect()
            await connection.state.wait_for(lambda state: state.phase == "waiting")
            await connection.aclose()
        await until(lambda: server.chat.clients == 0)
        async with guest(server.url()):
            pass


async def test_clients_whose_token_is_being_checked_count_too():
    checking: list[str | None] = []
    answer = asyncio.get_running_loop().create_future()

    async def check(token: str | None) -> bool:
        checking.append(token)
        return await answer

    async with running(create_app(token=check, limits=Limits(clients=1))) as server:
        first = asyncio.create_task(visit(server.url()))
        await until(lambda: checking)
        assert await status(server.url()) == 503
        answer.set_result(True)
        await first
    assert len(checking) == 1


async def visit(url: str) -> None:
    async with guest(url):
        pass


@pytest.mark.contract("SV1")
@pytest.mark.parametrize("ws", ["websockets-sansio", None])
@pytest.mark.parametrize("outer", [Starlette, FastAPI])
async def test_it_can_be_mounted_in_another_application(outer, ws):
    inner = create_app(limits=Limits(**QUICK))
    app = outer(routes=[Mount("/live", inner)])
    async with running(app, ws=ws) as server:
        url = server.url("/live/chat/lobby?name=Ann")
        async with guest(url) as ann, guest(server.url("/live/echo")) as echo:
            await ann.say("hello")
            assert (await ann.read_until("message"))["sender"] == "Ann"
            await echo.connection.send("x" * 65537)
            assert (await echo.close_of())[0] == 1009
            assert await status(url, origin="http://evil.example") == 403
            assert await status(server.url("/live/chat/" + "x" * 100)) == 404
            async with asyncio.timeout(PATIENCE):
                await inner.state.chat_server.aclose()
            assert (await ann.close_of())[0] == 1012


@pytest.mark.contract("SV1", "SV5")
async def test_its_routes_can_be_added_to_another_application(tmp_path):
    chat = ChatServer(history=SqliteHistory(tmp_path / "chat.db"))
    app = FastAPI()
    app.router.routes.extend(chat.routes)
    async with running(app) as server:
        async with server.enter("lobby", "Ann") as ann:
            assert chat.rooms == {"lobby": ["Ann"]}
            await ann.say("kept")
            await ann.messages(1)
            async with asyncio.timeout(PATIENCE):
                await chat.aclose()
                await chat.aclose()
            assert (await ann.close_of())[0] == 1012
        assert await status(server.url("/chat/lobby")) == 503
        await chat.open()
        async with server.enter("lobby") as late:
            assert [m["content"] for m in late.history] == ["kept"]
        await chat.aclose()


@pytest.mark.contract("SV3")
async def test_without_our_protocol_a_client_that_never_reads_is_still_out_of_the_room():
    limits = Limits(**QUICK, max_message_bytes=20_000, buffer_bytes=100_000, close_seconds=0.05)
    async with running(
        limits=limits, ws="websockets-sansio", timeout_graceful_shutdown=1
    ) as server:
        async with server.enter("lobby", "Ann") as talker:
            mute = await Mute.connect(server.port, "/chat/lobby?name=Mute")
            await talker.read_until("join")
            while server.chat.clients == 2:
                await talker.say("x" * 10_000)
                await talker.read_until("message")
            assert server.chat.rooms == {"lobby": ["Ann"]}
        mute.sock.close()


async def test_an_error_of_the_server_closes_with_1011_and_is_logged(caplog, monkeypatch):
    async def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    async with running() as server, server.enter("other") as other:
        monkeypatch.setattr("sockstore.server.plain.visitor.PlainVisitor.hear", broken)
        async with server.enter() as visitor:
            await visitor.say("x")
            assert await visitor.close_of() == (1011, "internal error")
        monkeypatch.undo()
        await other.say("still here")
        await other.read_until("message")
    assert "error in the server" in caplog.text
