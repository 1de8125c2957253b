"""Open a tunnel through a proxy: by HTTP CONNECT, also over TLS, or by SOCKS (`python-socks`).

Every failure is a `ProxyFailedError`; it leaves no socket open, nor does a cancellation.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from base64 import b64encode
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from sockstore.base.urls import tls_name
from sockstore.base.version import __version__
from sockstore.transports.answers import Answer, AnswerReader, NotAnAnswerError
from sockstore.transports.base import BODY_SECONDS
from sockstore.transports.native.handshake import network_words
from sockstore.transports.native.sockets import addresses, connected_socket
from sockstore.transports.native.workers import PREPARATIONS
from sockstore.transports.proxies import Proxy, ProxyFailedError
from sockstore.transports.words import clean, hiding, words_of

__all__ = ["tunnel"]

SOCKS = "python_socks.async_.asyncio"

NO_DEADLINE = 10.0**6
"""Seconds; `python-socks` needs a timeout, but `connect_timeout` is the deadline."""

SUCCESSES = range(200, 300)
PROXY_AUTHENTICATION_REQUIRED = 407


async def tunnel(proxy: Proxy, host: str, port: int, trust: ssl.SSLContext | None) -> socket.socket:
    """Return a socket to a server through a proxy; an ``https`` proxy needs a TLS context.

    Raises:
        ProxyFailedError: If the proxy cannot be reached, or refuses.
    """
    reply = _ConnectReply(proxy)
    try:
        async with asyncio.timeout(None) as reply.body_timeout:
            match proxy.scheme:
                case "http":
                    return await _tunnel_by_http(proxy, host, port, reply)
                case "https":
                    assert trust is not None  # noqa: S101 - the caller gives one for https
                    request = connect_request(proxy, host, port)
                    return await _tunnel_by_tls(proxy, request, reply.take, trust)
                case _:
                    return await _tunnel_by_socks(proxy, host, port)
    except (OSError, EOFError) as error:
        if (answer := reply.answer) is not None:
            raise _refused(proxy, answer) from None  # its body did not arrive completely
        raise _unreachable(proxy, error) from error


async def _tunnel_by_http(
    proxy: Proxy, host: str, port: int, reply: _ConnectReply
) -> socket.socket:
    loop = asyncio.get_running_loop()
    sock = await connected_socket(proxy.host, proxy.port)
    try:
        await loop.sock_sendall(sock, connect_request(proxy, host, port))
        while not reply.take(await loop.sock_recv(sock, 4096)):
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
    host = host.partition("%")[0]  # the zone of an address is for this machine only
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", f"User-Agent: sockstore/{__version__}"]
    if proxy.user is not None:
        lines.append(f"Proxy-Authorization: Basic {_credentials(proxy)}")
    return "\r\n".join((*lines, "", "")).encode()


class _ConnectReply:
    """Reads a proxy's answer to CONNECT.

    Attributes:
        body_timeout: The deadline for the body of a refusal; set by `tunnel`, started by `take`.
    """

    body_timeout: asyncio.Timeout

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._reader = AnswerReader(SUCCESSES)

    @property
    def answer(self) -> Answer | None:
        """The refusal, as much of it as has arrived."""
        return self._reader.end()

    def take(self, data: bytes) -> bool:
        """Take received bytes; return whether the tunnel is open.

        Raises:
            ProxyFailedError: If the proxy refuses, or does not speak HTTP.
            EOFError: If `data` is empty: the proxy has ended the connection.
        """
        if not data:
            raise EOFError
        try:
            answer = self._reader.take(data)
        except NotAnAnswerError as error:
            raise self._not_an_answer(str(error)) from error
        if answer is None:
            if self._reader.awaits_body and self.body_timeout.when() is None:
                self.body_timeout.reschedule(asyncio.get_running_loop().time() + BODY_SECONDS)
            return False
        if answer.status not in SUCCESSES:
            raise _refused(self._proxy, answer)
        if self._reader.rest:
            # In a WebSocket and in TLS the client speaks first.
            raise self._not_an_answer("something else follows it")
        return True

    def _not_an_answer(self, why: str) -> ProxyFailedError:
        proxy = self._proxy
        sentence = f"the answer of its proxy {proxy} is not an answer to an HTTP CONNECT: {why}"
        return ProxyFailedError(sentence, "protocol")


def _refused(proxy: Proxy, answer: Answer) -> ProxyFailedError:
    words = words_of(answer, hiding((proxy.user or "", proxy.password, _credentials(proxy))))
    return ProxyFailedError(f"its proxy {proxy} {words}", "http", answer)


def _credentials(proxy: Proxy) -> str:
    return b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()


# A proxy that is reached over TLS. asyncio's transports fail with TLS inside TLS: before Python
# 3.11.8 and 3.12.2 they raise when they are aborted. So the outer TLS ends in a pair of sockets,
# whose other end is like any tunnel.


async def _tunnel_by_tls(
    proxy: Proxy, request: bytes, is_open: Callable[[bytes], bool], trust: ssl.SSLContext
) -> socket.socket:
    loop = asyncio.get_running_loop()
    proxy_side, our_side = _ProxySide(request, is_open), _Side()
    proxy_side.other, our_side.other = our_side, proxy_side
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)  # noqa: FBT003 - its only parameter
        await loop.create_connection(lambda: our_side, sock=theirs)
        sock = await connected_socket(proxy.host, proxy.port)
        await loop.create_connection(
            lambda: proxy_side, sock=sock, ssl=trust, server_hostname=tls_name(proxy.host)
        )
        await proxy_side.opened
    except BaseException:
        proxy_side.abort()
        our_side.abort()
        ours.close()
        theirs.close()
        raise
    return ours


class _Side(asyncio.Protocol):
    """One of two connections; each writes the bytes that the other receives."""

    other: _Side  # set by `_tunnel_by_tls`
    transport: asyncio.Transport | None = None  # set by `connection_made`

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other.is_alive:
            self.other.writer.write(data)

    def pause_writing(self) -> None:
        if self.other.is_alive:
            self.other.writer.pause_reading()

    def resume_writing(self) -> None:
        if self.other.is_alive:
            self.other.writer.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.other.abort()

    @property
    def is_alive(self) -> bool:
        """Whether it can still be written to."""
        return self.transport is not None and not self.transport.is_closing()

    @property
    def writer(self) -> asyncio.Transport:
        """Its transport, once there is one."""
        assert self.transport is not None  # noqa: S101 - `is_alive` was asked
        return self.transport

    def abort(self) -> None:
        """End it at once; asyncio's close would wait for TLS, for up to 30 s."""
        if self.transport is not None:
            self.transport.abort()


class _ProxySide(_Side):
    """The connection to the proxy: it asks for the tunnel, then passes bytes on.

    Args:
        request: The request for a tunnel.
        is_open: Takes the proxy's answer; returns whether the tunnel is open, raises if not.
    """

    def __init__(self, request: bytes, is_open: Callable[[bytes], bool]) -> None:
        self._request = request
        self._is_open = is_open
        # Done when the proxy has answered, or the connection ended; set by `data_received`.
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.writer.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            super().data_received(data)
            return
        try:
            if self._is_open(data):
                self.opened.set_result(None)
        except Exception as error:  # noqa: BLE001 - `_tunnel_by_tls` raises it
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self._refuse(exc or EOFError())
        if self.other.is_alive:
            self.other.writer.close()  # its last bytes are still to be read

    def _refuse(self, error: Exception) -> None:
        self.opened.set_exception(error)
        self.opened.exception()  # perhaps nothing awaits it any more


# SOCKS


class _Dialler:
    """Lets `python-socks` connect to a proxy with our `connected_socket`."""

    async def connect(self, dest_host: str, dest_port: int, **_: Any) -> socket.socket:
        return await connected_socket(dest_host, dest_port)


async def _tunnel_by_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    try:
        if SOCKS not in sys.modules:
            await PREPARATIONS.run("load python-socks", lambda: import_module(SOCKS))
        from python_socks import ProxyError, ProxyType  # noqa: PLC0415 - an extra
        from python_socks.async_.asyncio import Proxy as SocksProxy  # noqa: PLC0415 - an extra
    except ImportError as error:
        why = f"its proxy {proxy} needs a package: pip install 'sockstore[proxy]'"
        raise ProxyFailedError(why, "option") from error
    asks_by_name = proxy.scheme in {"socks5h", "socks4a"}
    if not asks_by_name:
        host = await _numeric(host, port, only_ipv4=proxy.scheme == "socks4")
    socks = SocksProxy(
        ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=proxy.user,
        password=proxy.password if proxy.user is not None else None,
        rdns=asks_by_name,
        forward=cast("SocksProxy", _Dialler()),
    )
    try:
        return await socks.connect(host, port, timeout=NO_DEADLINE)
    except ProxyError as error:
        raise _refused_by_socks(proxy, error) from None  # its text may have the password in it
    except ValueError:
        # Its text may have the user name and the password in it.
        why = f"its proxy {proxy} cannot be asked for this host, or with this user name"
        raise ProxyFailedError(why, "protocol") from None


async def _numeric(host: str, port: int, *, only_ipv4: bool) -> str:
    """Return an address of a host; `python-socks` would look it up in the loop's executor."""
    try:
        candidates = await addresses(host, port)
    except OSError as error:
        raise ProxyFailedError(network_words(error)) from error
    candidates.sort(key=lambda address: address[0] != socket.AF_INET)
    if only_ipv4 and candidates[0][0] != socket.AF_INET:
        raise ProxyFailedError("its host has no IPv4 address, and SOCKS4 knows no other")
    return str(candidates[0][4][0])


def _refused_by_socks(proxy: Proxy, error: Exception) -> ProxyFailedError:
    words = clean(hiding((proxy.user or "", proxy.password))(str(error)))
    why = f"its proxy {proxy} refused: {words}"
    if "authentication" in str(error):
        return ProxyFailedError(why, "http", Answer(status=PROXY_AUTHENTICATION_REQUIRED))
    return ProxyFailedError(why)


def _unreachable(proxy: Proxy, error: OSError | EOFError) -> ProxyFailedError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the TLS certificate of its proxy {proxy} was not accepted: {error.verify_message}"
        return ProxyFailedError(why, "certificate")
    return ProxyFailedError(f"its proxy {proxy} failed: {network_words(error, 'proxy')}")
