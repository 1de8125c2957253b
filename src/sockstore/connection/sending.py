"""Send messages on a connection, for one holder, and take back those that wait."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sockstore.base.sending import SendOptions
from sockstore.connection.receipts import Delivery, Receipt
from sockstore.connection.view import ConnectionView

__all__ = ["SendingSide"]


class SendingSide(ConnectionView):
    """The sending side of a connection, for one holder."""

    def send(  # noqa: PLR0917 - CONTRACT OB6
        self,
        data: Any,
        ttl: float | None = None,
        key: Hashable = None,
        urgent: bool = False,  # noqa: FBT001, FBT002 - CONTRACT OB6
        now: bool = False,  # noqa: FBT001, FBT002 - CONTRACT OB6
        id: str | None = None,  # noqa: A002 - CONTRACT OB6
    ) -> Receipt:
        """Send a message now, or as soon as the connection is open; never blocks.

        Args:
            data: `str` goes as text, bytes as binary, everything else as JSON (or as the codec
                encodes it).
            ttl: Seconds after which it is not handed over any more; None leaves it to the outbox.
            key: A newer message with the same key takes its place while it waits.
            urgent: Whether it leaves before others that wait, except for those that
                have to be sent again.
            now: Whether it is refused if it cannot leave at once.
            id: Its id, 1 to 64 visible ASCII characters, where the server stores a message once for
                each id: a program that was killed may send it again.

        Returns:
            A receipt; it is true if the message was handed over or queued.

        Raises:
            TypeError: If the data cannot be encoded, or messages have no ids here; nothing was
                sent.
            InvalidOption: If another argument cannot be used.
            RuntimeError: If it is called from another thread.
            ScopeClosed: If its provider has been left.

        Example:
            >>> from sockstore import WebSocketStore
            >>> connection = WebSocketStore("ws://localhost")
            >>> connection.send({"content": "sent when it is open"})
            <Receipt queued>
            >>> cursor = connection.send({"cursor": [1, 1]}, key="cursor")
            >>> connection.send({"cursor": [9, 9]}, key="cursor"), cursor.state
            (<Receipt queued>, 'dropped')
        """
        gate = self._gate
        if gate.is_shut:  # before the call, as every message comes here
            return self._refused("send", data)
        if ttl is None and key is None and id is None and not urgent and not now:
            return self._sender.send(self._engine.encoder(data), gate)
        options = SendOptions(ttl, key, urgent, now, id)
        return self._sender.send(self._engine.encoder(data), gate, options)

    async def asend(
        self,
        data: Any,
        *,
        ttl: float | None = None,
        key: Hashable = None,
        urgent: bool = False,
        id: str | None = None,  # noqa: A002 - as `send`
    ) -> Receipt:
        """Send a message as `send` does, and wait while the outbox has no room for it.

        Those that wait get in in the order of their calls. If the caller is cancelled, the message
        is not sent.

        Args:
            data: As for `send`.
            ttl: As for `send`; the seconds count from this call.
            key: As for `send`.
            urgent: As for `send`.
            id: As for `send`.

        Returns:
            A receipt, once the message was handed over or queued; or one that is false, if it can
            never be: it is too large, or the connection has ended.

        Raises:
            TypeError: If the data cannot be encoded, or messages have no ids here.
            InvalidOption: If another argument cannot be used.
            RuntimeError: If it is called from another thread.
            ScopeClosed: If its provider has been left.

        Example:
            ::

                for row in rows:
                    await connection.asend(row)
        """
        options = SendOptions(ttl, key, urgent, now=False, id=id)
        if self._gate.is_shut:
            return self._refused("asend", data)
        return await self._sender.asend(self._engine.encoder(data), self._gate, options)

    def clear_outbox(self) -> list[Any]:
        """Take back everything that waits to be sent, and return it.

        Requests that wait are taken back, too: they raise `DeliveryError`. A share of a connection
        takes back its own only.

        Returns:
            The messages in the order in which they would have left, as `send` takes them: text and
            bytes; the data itself where a protocol carries JSON.

        Raises:
            RuntimeError: If it is called from another thread.
            ScopeClosed: If its provider has been left.

        Example:
            >>> from sockstore import WebSocketStore
            >>> connection = WebSocketStore("ws://localhost")
            >>> connection.send("one"), connection.send({"n": 2})
            (<Receipt queued>, <Receipt queued>)
            >>> connection.clear_outbox()
            ['one', '{"n":2}']
        """
        self._gate.check("clear_outbox")
        return self._sender.clear()

    def _refused(self, action: str, data: Any) -> Receipt:
        """Refuse to send: the provider was left, or this share of a connection is not in use."""
        self._gate.check(action)
        self._engine.encoder(data)
        return Receipt(Delivery("refused", self._gate.why_unused or ""))
