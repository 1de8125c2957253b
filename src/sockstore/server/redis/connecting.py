"""Make the clients of one Redis, check its configuration, and explain its errors."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final
from urllib.parse import urlsplit

from sockstore.base.errors import InvalidOption
from sockstore.base.urls import redact_url
from sockstore.server.history.base import HistoryUnavailable

__all__ = ["Connecting", "end", "explain", "problems_of"]

SECONDS_FOR_A_CALL = 5.0
MOST_CONNECTIONS = 16

REASONS = {
    "ReadOnlyError": "it is a replica that only reads; give the address of its primary",
    "OutOfMemoryError": "its memory is full; raise its maxmemory",
}
"""By the names of redis-py's errors: importing redis-py, an extra, is not needed for these."""

logger: Final = logging.getLogger("sockstore.server")


class Connecting:
    """Makes clients of one Redis; a client connects at its first use.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.

    Raises:
        InvalidOption: If the url is not valid.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise InvalidOption("history", redact_url(url), "give redis://HOST:PORT/DB")
        _check_place(url)
        self.url = url
        self.shown: str = redact_url(url)

    def client(self, *, seconds: float = SECONDS_FOR_A_CALL) -> Any:
        """Return a client.

        Args:
            seconds: The most seconds that a call may take.

        Raises:
            HistoryUnavailable: If the package is missing.
            InvalidOption: If the url cannot be used.
        """
        try:
            from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - an extra
            from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
            from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
            from redis.exceptions import ConnectionError  # noqa: A004, PLC0415 - an extra
        except ImportError:
            why = "the package redis is missing; install it with: pip install 'sockstore[redis]'"
            raise HistoryUnavailable(self.shown, why) from None
        try:
            pool = BlockingConnectionPool.from_url(
                self.url,
                max_connections=MOST_CONNECTIONS,
                timeout=seconds,
                socket_timeout=seconds,
                socket_connect_timeout=SECONDS_FOR_A_CALL,
                # Retry at once, on a new connection, if an idle one has died; not after a timeout,
                # which would double it. All of our calls may run twice.
                retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
                decode_responses=True,
            )
            pool.connection_class(**pool.connection_kwargs)  # checks the options only
        except Exception as error:  # noqa: BLE001 - redis-py raises many types
            raise InvalidOption("history", self.shown, _what_is_wrong(error)) from None
        return Redis.from_pool(pool)


def _check_place(url: str) -> None:
    """Check the host and the port of a url.

    Raises:
        InvalidOption: If one of them is not valid.
    """
    why = "its host is not a valid name or address"
    try:
        place = urlsplit(url)
        why = "its port must be a number from 0 to 65535"
        place.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise InvalidOption("history", redact_url(url), why) from None


def _what_is_wrong(error: Exception) -> str:
    """Return what is wrong with the options of a url, which redis-py passes to its classes.

    Args:
        error: The exception of a class.
    """
    unknown = re.search(r"argument ('.*')", str(error)) if isinstance(error, TypeError) else None
    if unknown is not None:
        return f"the client of Redis has no option {unknown[1]}"
    if isinstance(error, TypeError | AttributeError):
        return "the client of Redis cannot use an option of it"
    return str(error).rstrip(".")


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task that uses Redis, and wait until it has ended.

    The client swallows a cancellation that comes at the same time as an answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


async def problems_of(client: Any) -> tuple[str | None, list[str]]:
    """Check whether a Redis is configured to keep its data.

    Returns:
        Why it must not be used, or None; and warnings for its operator.
    """
    from redis.exceptions import ResponseError  # noqa: PLC0415 - an extra

    try:
        config: dict[str, Any] = {}
        for name in ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy"):
            config.update(await client.config_get(name))
    except ResponseError:
        return None, ["CONFIG is forbidden, so whether it keeps its data is unknown"]
    refusal = None
    if config.get("appendonly") == "no":
        refusal = (
            "appendonly is off, so it loses everything when it stops; turn it on with "
            "'CONFIG SET appendonly yes' or in redis.conf, or add ?appendonly=ignore to the url"
        )
    warnings = []
    fsync = config.get("appendfsync", "always")
    if fsync != "always" and refusal is None:
        # Redis delays writes up to 2 s during an fsync, so its death alone may lose some.
        warnings.append(
            f"appendfsync is {fsync!r}, so it may lose the last seconds when it is killed; "
            "'CONFIG SET appendfsync always' keeps every acknowledged message"
        )
    try:
        await client.info("replication")
    except ResponseError:
        warnings.append(
            "INFO is forbidden, so a failover is not noticed: messages may be missing after it, "
            "and clients are not told of a gap"
        )
    policy = config.get("maxmemory-policy")
    if config.get("maxmemory", "0") != "0" and policy != "noeviction":
        warnings.append(f"maxmemory-policy is {policy!r}, so it may delete messages")
    return refusal, warnings


def explain(error: BaseException) -> str:
    """Return what is wrong with a Redis, as the end of a sentence."""
    if isinstance(error, HistoryUnavailable):
        return error.why
    if type(error).__name__ in REASONS:
        return REASONS[type(error).__name__]
    text = " ".join(str(error).split()) or type(error).__name__
    return f"Redis says: {text}" if type(error).__name__.endswith("ResponseError") else text
