"""What the log says of outages: one warning for each, not one for every attempt."""

from __future__ import annotations

import logging

from sockstore.durations import say_duration
from sockstore.machine.state import ConnectionState

__all__ = ["Outage"]

logger = logging.getLogger("sockstore.connection")


class Outage:
    """Follow a connection's state, and log what an operator wants to know."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._attempts = 0

    def changed(self, state: ConnectionState, where: str, now: float) -> None:
        """The connection is in another phase.

        Args:
            state: Its state.
            where: Where it leads, without secrets.
            now: Seconds, in any clock that only goes forward.
        """
        match state.phase:
            case "waiting":
                self._waits(state, where, now)
            case "open":
                self._is_open(where, now)
            case "failed":
                logger.error("%s: gave up: %s", where, state.error)
                self._began_at = None
            case "closed":
                logger.info("%s: closed", where)
                self._began_at = None
            case phase:
                logger.debug("%s: %s, retry %d", where, phase, state.attempt)

    def _waits(self, state: ConnectionState, where: str, now: float) -> None:
        self._attempts = state.attempt
        if self._began_at is None:
            self._began_at = now
        # A server that accepts and drops is one outage, too: then the retries are counted on.
        if state.attempt <= 1:
            logger.warning("%s: %s; it will be tried again", where, state.error)
        else:
            logger.info("%s: %s; retry %d follows", where, state.error, state.attempt)

    def _is_open(self, where: str, now: float) -> None:
        if self._began_at is None:
            logger.info("%s: connected", where)
            return
        lasted = say_duration(now - self._began_at)
        logger.info("%s: connected again after %s, retry %d", where, lasted, self._attempts)
        self._began_at = None
