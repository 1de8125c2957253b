"""Foreign WebSocket servers, with a few lines that make them echo.

They all understand ``!close CODE REASON``, and ``!last``, to which they answer with the code and
the reason of the close frame that they received last. They speak the subprotocol "two".
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from loopback.foreign.programs import Program, need, running
from loopback.node_packages import SCRIPTS, node_modules
from loopback.processes import free_port

TESTS = Path(__file__).parent.parent.parent
PYTHON = (sys.executable, "-W", "ignore")

SERVERS = ("ws", "uvicorn-websockets", "uvicorn-wsproto", "aiohttp")
BEHIND_NGINX = "uvicorn-websockets"


class ServerProgram(Program):
    """A server and its url."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


def make_server(kind: str, port: int | None = None) -> ServerProgram:
    """Return a server that is not started yet."""
    port = port or free_port()
    if kind == "ws":
        # Beside the packages, and for this worker alone: another one may be writing its own.
        script = node_modules() / f"{os.getpid()}-ws_server.mjs"
        script.write_bytes((SCRIPTS / "ws_server.mjs").read_bytes())
        return ServerProgram(port, "node", str(script), str(port))
    if kind == "aiohttp":
        script = Path(__file__).with_name("aiohttp_app.py")
        return ServerProgram(port, *PYTHON, str(script), str(port))
    protocol = kind.removeprefix("uvicorn-")
    where = ("--host", "127.0.0.1", "--port", str(port), "--app-dir", str(TESTS))
    how = ("--ws", protocol, "--log-level", "error", "--no-access-log")
    app = "loopback.foreign.starlette_app:app"
    return ServerProgram(port, *PYTHON, "-m", "uvicorn", *where, *how, app)


SETTINGS = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 100; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  limit_conn_zone $binary_remote_addr zone=one:1m;
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    proxy_set_header Host $host;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_read_timeout 1h; }}
    location /idle/ {{ proxy_pass http://127.0.0.1:{upstream}/; proxy_read_timeout 1s; }}
    location /one/ {{
      limit_conn one 1; limit_conn_status 429; error_page 429 @busy;
      proxy_pass http://127.0.0.1:{upstream}/;
    }}
    location @busy {{ add_header Retry-After 1 always; return 429; }}
    location /locked/ {{
      auth_basic "tests"; auth_basic_user_file {folder}/users;
      proxy_pass http://127.0.0.1:{upstream}/;
    }}
  }}
}}
"""


def make_nginx(upstream: ServerProgram, folder: Path) -> ServerProgram:
    """Return an nginx that is not started yet: ``/idle/`` is cut, ``/one/`` lets one in."""
    port = free_port()
    settings = folder / "nginx.conf"
    # Only root may say who its workers are, and must: pytest's folders are for their owner.
    user = "user root;" if os.geteuid() == 0 else ""
    values = {"folder": folder, "port": port, "upstream": upstream.port, "user": user}
    settings.write_text(SETTINGS.format(**values))
    (folder / "users").write_text("me:{PLAIN}secret\n")
    tool = need("nginx", "nginx")
    return ServerProgram(port, tool, "-p", str(folder), "-c", str(settings), "-e", "stderr")


@asynccontextmanager
async def nginx_in_front(folder: Path) -> AsyncIterator[tuple[ServerProgram, ServerProgram]]:
    """Run nginx in front of a server until the block ends: (nginx, server)."""
    upstream = make_server(BEHIND_NGINX)
    async with running(upstream), running(make_nginx(upstream, folder)) as nginx:
        yield nginx, upstream
