"""Files that are served to pages: compressed or not, kept for ever, and no other ones."""

from __future__ import annotations

import gzip

import pytest
from starlette.applications import Starlette

from sockstore.demo.browser.files import Folder, encoding_for

pytestmark = pytest.mark.asyncio


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    place = tmp_path / "files"
    place.mkdir()
    (place / "python.wasm").write_bytes(b"plain")
    (place / "python.wasm.br").write_bytes(b"brotli")
    (place / "python.wasm.gz").write_bytes(gzip.compress(b"plain"))
    (place / "unlisted.txt").write_text("unlisted")
    return Folder("/runtime", {"python.wasm": place / "python.wasm", "made.json": b"{}"})


async def ask(folder, path, method="GET", **headers):
    """Ask for a path as it is written; what a server would hand over to the network."""
    sent = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
        "app": None,
    }

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    await Starlette(routes=[folder.route()])(scope, receive, send)
    answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answer, b"".join(part.get("body", b"") for part in sent[1:])


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("GZIP;q=1.0, identity; q=0.5, *;q=0", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("br; q=0.001", "br"),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=0, *;q=0.1", "gzip"),
        ("br;q=nonsense", None),
        ("identity", None),
        ("", None),
        (",;,=", None),
    ],
)
async def test_the_best_encoding_that_a_browser_takes(accepted, encoding):
    assert encoding_for(accepted, {"br": 1, "gzip": 2}) == encoding


async def test_a_browser_gets_the_compressed_twin_and_may_keep_it_for_ever(folder):
    status, headers, body = await ask(folder, f"{folder.url}python.wasm", accept_encoding="br")
    assert (status, body) == (200, b"brotli")
    assert headers["content-encoding"] == "br"
    assert headers["content-type"] == "application/wasm"
    assert headers["content-length"] == "6"
    assert headers["vary"] == "Accept-Encoding"
    assert "immutable" in headers["cache-control"]


async def test_without_a_common_encoding_it_gets_the_plain_file(folder):
    status, headers, body = await ask(folder, f"{folder.url}python.wasm")
    assert (status, body) == (200, b"plain")
    assert "content-encoding" not in headers


async def test_what_has_no_twin_is_served_plain(folder):
    _, headers, body = await ask(folder, f"{folder.url}made.json", accept_encoding="br, gzip")
    assert body == b"{}"
    assert headers["content-type"] == "application/json"
    assert "content-encoding" not in headers


async def test_a_copy_that_is_still_right_is_not_sent_again(folder):
    path = f"{folder.url}python.wasm"
    tags = set()
    for encoding in ("br", "gzip", "identity"):
        _, headers, _ = await ask(folder, path, accept_encoding=encoding)
        tags.add(headers["etag"])
        status, _, body = await ask(
            folder, path, accept_encoding=encoding, if_none_match=f'"other", {headers["etag"]}'
        )
        assert (status, body) == (304, b"")
    assert len(tags) == 3


async def test_head_has_the_headers_of_get(folder):
    path = f"{folder.url}python.wasm"
    _, wanted, _ = await ask(folder, path, accept_encoding="br")
    status, headers, _ = await ask(folder, path, "HEAD", accept_encoding="br")
    assert (status, headers) == (200, wanted)


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "unlisted.txt",
        "../secret.txt",
        "/etc/passwd",
        "python.wasm/",
        "python.wasm.br",
        "..",
        "",
    ],
)
async def test_any_other_name_is_not_found(folder, name):
    status, _, body = await ask(folder, f"{folder.url}{name}")
    assert status == 404
    assert body == f"there is no {folder.url}{name}".encode()


async def test_other_contents_have_another_address(tmp_path):
    path = tmp_path / "a.js"
    addresses = set()
    for text in ("one", "two"):
        path.write_text(text)
        addresses.add(Folder("/assets", {"a.js": path}).url)
    addresses.add(Folder("/assets", {"b.js": path}).url)
    assert len(addresses) == 3


async def test_sizes_tell_what_comes_over_the_wire(folder):
    assert folder.size("python.wasm") == {"bytes": 5, "wire": 6}
    assert folder.size("made.json") == {"bytes": 2, "wire": 2}
