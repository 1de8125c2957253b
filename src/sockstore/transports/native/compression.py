"""permessage-deflate as `websockets` speaks it, and a window of 256 bytes, which zlib cannot do."""

from __future__ import annotations

from collections.abc import Sequence

from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

from sockstore.base.deflate import SMALLEST_WINDOW, Deflate

__all__ = ["DeflateFactory"]

BITS = "client_max_window_bits"


class DeflateFactory(ClientPerMessageDeflateFactory):
    """Offer compression with these parameters, and take what a server makes of it.

    Args:
        deflate: The parameters.
    """

    def __init__(self, deflate: Deflate) -> None:
        bits = deflate.client_max_window_bits
        self._wants_smallest = bits is not True and bits == SMALLEST_WINDOW
        super().__init__(
            deflate.server_no_context_takeover,
            deflate.client_no_context_takeover,
            deflate.server_max_window_bits,
            True if bits is True else SMALLEST_WINDOW + 1 if self._wants_smallest else bits or None,
        )

    def get_request_params(self) -> Sequence[ExtensionParameter]:
        """Return what is offered."""
        smallest = (BITS, str(SMALLEST_WINDOW))
        offered = super().get_request_params()
        return [smallest if self._wants_smallest and one[0] == BITS else one for one in offered]

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> PerMessageDeflate:
        """Return what is in force after a server's answer.

        Raises:
            NegotiationError: If that is not what was offered.
        """
        answered = [value for name, value in params if name == BITS]
        smallest = str(SMALLEST_WINDOW)
        if self._wants_smallest and answered not in ([], [smallest]):
            raise NegotiationError(f"unsupported {BITS}")
        known = [
            (n, str(SMALLEST_WINDOW + 1) if (n, v) == (BITS, smallest) else v) for n, v in params
        ]
        agreed = super().process_response_params(known, accepted_extensions)
        if self._wants_smallest or answered == [smallest]:
            return _ReceivesOnly(agreed)
        return agreed


class _ReceivesOnly(PerMessageDeflate):
    """Decompresses, and sends messages as they are, which every server must take.

    Source:
        RFC 7692 section 6; zlib has no raw deflate with a window of 256 bytes.
    """

    def __init__(self, agreed: PerMessageDeflate) -> None:
        super().__init__(
            agreed.remote_no_context_takeover,
            local_no_context_takeover=True,  # no window of our own is needed
            remote_max_window_bits=agreed.remote_max_window_bits,
            local_max_window_bits=agreed.local_max_window_bits,
        )

    def encode(self, frame: Frame) -> Frame:
        """Return the frame as it is."""
        return frame
