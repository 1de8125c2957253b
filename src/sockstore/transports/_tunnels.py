"""The way through a proxy: an HTTP CONNECT, or SOCKS by `python-socks`.

Whatever fails here is a `ProxyFailedError`, and leaves no socket behind, also if it is cancelled.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from typing import Any, cast

from websockets.http11 import Response
from websockets.streams import StreamReader

from sockstore._version import __version__
from sockstore.transports._handshake import network_words, retry_after, without_body, words_of
from sockstore.transports._proxies import Proxy, ProxyFailedError
from sockstore.transports._sockets import connected_socket
from sockstore.transports._tls_tunnels import tunnel_over_tls

__all__ = ["tunnel"]

LONGEST_ANSWER = 64 * 2**10
"""Bytes of the head of a proxy's answer."""

NO_DEADLINE = 10.0**6
"""Seconds; `python-socks` wants some, and `connect_timeout` is the deadline."""

PROXY_AUTHENTICATION_REQUIRED = 407


async def tunnel(proxy: Proxy, host: str, port: int, trust: ssl.SSLContext) -> socket.socket:
    """Return a socket that leads to a server through a proxy.

    Args:
        proxy: The proxy.
        host: The server's name or address.
        port: The server's port.
        trust: Whose certificates are accepted, if the proxy is spoken to over TLS.

    Raises:
        ProxyFailedError: If the proxy cannot be reached, or refuses.
    """
    try:
        match proxy.scheme:
            case "http":
                return await _tunnel_by_http(proxy, host, port)
            case "https":
                request = connect_request(proxy, host, port)
                return await tunnel_over_tls(proxy, request, Answer(proxy).take, trust)
            case _:
                return await _tunnel_by_socks(proxy, host, port)
    except (OSError, EOFError) as error:
        raise _unreachable(proxy, error) from error


async def _tunnel_by_http(proxy: Proxy, host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    sock = await connected_socket(proxy.host, proxy.port)
    try:
        await loop.sock_sendall(sock, connect_request(proxy, host, port))
        answer = Answer(proxy)
        while not answer.take(await loop.sock_recv(sock, 4096)):
            pass
    except BaseException:
        sock.close()
        raise
    return sock


def connect_request(proxy: Proxy, host: str, port: int) -> bytes:
    """Return the request for a tunnel (RFC 9110 section 9.3.6).

    Example:
        >>> proxy = Proxy(scheme="http", host="proxy.example", port=3128)
        >>> connect_request(proxy, "::1", 443).splitlines()[0]
        b'CONNECT [::1]:443 HTTP/1.1'
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", f"User-Agent: sockstore/{__version__}"]
    if proxy.user is not None:
        secret = b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {secret}")
    return "\r\n".join((*lines, "", "")).encode()


class Answer:
    """A proxy's answer to CONNECT, as it arrives.

    Args:
        proxy: The proxy.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._head = b""

    def take(self, data: bytes) -> bool:
        """Take what arrived; return whether the way is free.

        Raises:
            ProxyFailedError: If the proxy refuses, or speaks no HTTP.
            EOFError: If nothing arrived: the proxy has ended the connection.
        """
        if not data:
            raise EOFError
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not b"HTTP/1.".startswith(head[:7]) or len(head) > LONGEST_ANSWER:
            raise self._nonsense()
        if not end:
            return False
        response = self._parsed(head + end)
        if not 200 <= response.status_code < 300:
            raise ProxyFailedError(
                f"its proxy {self._proxy} {words_of(response)}",
                "http",
                status=response.status_code,
                retry_after=retry_after(response),
            )
        if rest:
            # In a WebSocket, and in TLS, it is the client who speaks first.
            raise self._nonsense()
        return True

    def _parsed(self, head: bytes) -> Response:
        reader = StreamReader()
        # HTTP/1.0 is still common among proxies; for a CONNECT the difference is none.
        reader.feed_data(without_body(b"HTTP/1.1" + head[8:]))
        reader.feed_eof()
        parsing = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof)
        try:
            next(parsing)
        except StopIteration as parsed:
            return cast("Response", parsed.value)
        except Exception as error:
            raise self._nonsense() from error
        raise self._nonsense()

    def _nonsense(self) -> ProxyFailedError:
        why = f"the answer of its proxy {self._proxy} is no answer to an HTTP CONNECT"
        return ProxyFailedError(why, "protocol")


class _Dialler:
    """Connects to a SOCKS proxy as we connect to everything else."""

    async def connect(self, dest_host: str, dest_port: int, **_: Any) -> socket.socket:
        return await connected_socket(dest_host, dest_port)


async def _tunnel_by_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    try:
        from python_socks import ProxyError, ProxyType  # noqa: PLC0415 - an extra
        from python_socks.async_.asyncio import Proxy as SocksProxy  # noqa: PLC0415 - an extra
    except ImportError as error:
        why = f"its proxy {proxy} needs a package: pip install 'sockstore[proxy]'"
        raise ProxyFailedError(why, "option") from error
    way = SocksProxy(
        ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=proxy.user,
        password=proxy.password if proxy.user is not None else None,
        rdns=proxy.scheme in {"socks5h", "socks4a"},
        forward=cast("SocksProxy", _Dialler()),
    )
    try:
        return await way.connect(host, port, timeout=NO_DEADLINE)
    except ProxyError as error:
        raise _refused_by_socks(proxy, error) from error
    except ValueError as error:
        raise ProxyFailedError(f"its proxy {proxy} cannot be asked: {error}", "protocol") from error


def _refused_by_socks(proxy: Proxy, error: Exception) -> ProxyFailedError:
    why = f"its proxy {proxy} refused: {error}"
    if "authentication" in str(error):
        return ProxyFailedError(why, "http", status=PROXY_AUTHENTICATION_REQUIRED)
    return ProxyFailedError(why)


def _unreachable(proxy: Proxy, error: OSError | EOFError) -> ProxyFailedError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the TLS certificate of its proxy {proxy} was not accepted: {error.verify_message}"
        return ProxyFailedError(why, "certificate")
    return ProxyFailedError(f"its proxy {proxy} failed: {network_words(error, 'proxy')}")
