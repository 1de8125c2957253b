"""Foreign HTTP and SOCKS proxies: tinyproxy, microsocks and pproxy."""

from __future__ import annotations

import sys
from pathlib import Path

from loopback.foreign.programs import Program, need
from loopback.processes import free_port
from loopback.servers import Trust

USER, PASSWORD = "me", "SECRET.of-1"  # tinyproxy takes no other signs
QUOTED = "me:SECRET.of%2D1"

# It asks for a loop that newer Pythons, and uvloop, do not make unasked.
RUN_PPROXY = """
import asyncio, sys
sys.modules["uvloop"] = None
asyncio.set_event_loop(asyncio.new_event_loop())
from pproxy.server import main
main()
"""

KINDS = ("http", "https", "socks5", "socks5h", "socks4")


class ProxyProgram(Program):
    """A proxy and its url; `with_password` is the one that has user and password."""

    def __init__(self, scheme: str, port: int, *command: str) -> None:
        super().__init__(port, *command)
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.with_password = f"{scheme}://{QUOTED}@127.0.0.1:{port}"


def make_proxy(kind: str, folder: Path, trust: Trust, *, locked: bool = False) -> ProxyProgram:
    """Return a proxy that is not started yet; a locked one wants user and password."""
    port = free_port()
    match kind:
        case "http":
            return ProxyProgram(kind, port, *_tinyproxy(port, folder, locked=locked))
        case "socks5" | "socks5h":
            lock = ("-u", USER, "-P", PASSWORD) if locked else ()
            tool = need("microsocks", "microsocks")
            return ProxyProgram(kind, port, tool, "-i", "127.0.0.1", "-p", str(port), *lock)
        case _:
            return ProxyProgram(kind, port, *_pproxy(kind, port, folder, trust, locked=locked))


def _tinyproxy(port: int, folder: Path, *, locked: bool) -> list[str]:
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 600", "MaxClients 100"]
    if locked:
        lines.append(f"BasicAuth {USER} {PASSWORD}")
    settings = folder / f"tinyproxy-{port}.conf"
    settings.write_text("\n".join(lines) + "\n")
    return [need("tinyproxy", "tinyproxy-bin"), "-d", "-c", str(settings)]


def _pproxy(kind: str, port: int, folder: Path, trust: Trust, *, locked: bool) -> list[str]:
    lock = f"#{USER}:{PASSWORD}" if locked else ""
    # A client that was admitted once is asked again.
    command = [sys.executable, "-W", "ignore", "-c", RUN_PPROXY, "--auth", "-1", "-l"]
    if kind == "socks4":
        return [*command, f"socks4://127.0.0.1:{port}{lock}"]
    certificate = folder / f"pproxy-{port}.pem"
    trust.ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    return [*command, f"http+ssl://127.0.0.1:{port}{lock}", "--ssl", str(certificate)]
