"""Another machine: a network namespace at the other end of a cable that tests can pull.

Nothing leaves this machine. The addresses are of 198.18.0.0/15, which RFC 2544 keeps for such
tests, and exist only on a pair of interfaces that is made here and deleted at the end.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import pytest
from tests.loopback.processes import EchoServer

SECONDS = 20


class OtherMachine:
    """A network namespace, its address, and a server in it."""

    def __init__(self) -> None:
        token = token_hex(4)
        second, third, fourth = (
            random.randrange(18, 20),
            random.randrange(256),
            random.randrange(64),
        )
        network = f"198.{second}.{third}"
        self.name = f"sock-{token}"
        self.address = f"{network}.{4 * fourth + 2}"
        self._own_address = f"{network}.{4 * fourth + 1}"
        self._cable = (f"so{token}", f"si{token}")

    async def make(self) -> None:
        """Make the namespace, and lay the cable; skip where that is not allowed."""
        status, why = await _run("ip", "netns", "add", self.name)
        if status:
            pytest.skip(f"network namespaces are not permitted here: {why}")
        here, there = self._cable
        await self._ip(
            "link", "add", here, "type", "veth", "peer", "name", there, "netns", self.name
        )
        await self._ip("address", "add", f"{self._own_address}/30", "dev", here)
        await self._ip("link", "set", here, "up")
        await self._ip("-n", self.name, "address", "add", f"{self.address}/30", "dev", there)
        await self._ip("-n", self.name, "link", "set", there, "up")

    async def remove(self) -> None:
        """Leave nothing of it: the cable goes first, since a namespace dies in its own time."""
        await _run("ip", "link", "delete", self._cable[0])
        await _run("ip", "netns", "delete", self.name)

    async def serve(self) -> EchoServer:
        """Run `sockstore serve` over there, and return once it listens."""
        process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", self.name),
            *(sys.executable, "-m", "sockstore", "serve", "--host", self.address, "--port", "0"),
            *("--history", "sqlite:///:memory:", "--rate", "1000"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        server = EchoServer(process)
        try:
            await server.read_port()
        except BaseException:
            await server.kill()
            raise
        return server

    async def drop(self, *chains: str) -> None:
        """Throw away every packet, both ways or one: no FIN and no RST comes through either."""
        for chain in chains or ("INPUT", "OUTPUT"):
            await self._there("iptables", "--wait", "--append", chain, "--jump", "DROP")

    async def stop_dropping(self) -> None:
        """Let packets through again."""
        await self._there("iptables", "--wait", "--flush")

    async def unplug(self) -> None:
        """Pull the cable at the other end."""
        await self._ip("-n", self.name, "link", "set", self._cable[1], "down")

    async def plug_in(self) -> None:
        """Put the cable back."""
        await self._ip("-n", self.name, "link", "set", self._cable[1], "up")

    async def _ip(self, *arguments: str) -> None:
        await _succeed("ip", *arguments)

    async def _there(self, *command: str) -> None:
        await _succeed("ip", "netns", "exec", self.name, *command)


@asynccontextmanager
async def other_machine() -> AsyncIterator[OtherMachine]:
    """Make another machine for as long as the block lasts; skip where that is impossible."""
    for tool, package in (("ip", "iproute2"), ("iptables", "iptables")):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: {package})")
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    machine = OtherMachine()
    try:
        await machine.make()
        yield machine
    finally:
        await machine.remove()


async def _succeed(*command: str) -> None:
    status, why = await _run(*command)
    assert status == 0, f"{' '.join(command)}: {why}"


async def _run(*command: str) -> tuple[int, str]:
    """Run a command; return its status and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        _, complaint = await process.communicate()
    return process.returncode or 0, complaint.decode().strip()
