"""Set up permessage-deflate of `websockets`, with a window of 256 bytes, which zlib lacks."""

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
    """Offers compression with these parameters, and checks the parameters of the answer."""

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
        """Return the offered parameters."""
        smallest = (BITS, str(SMALLEST_WINDOW))
        offered = super().get_request_params()
        return [smallest if self._wants_smallest and pair[0] == BITS else pair for pair in offered]

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> PerMessageDeflate:
        """Return the compression that a server's answer puts in force.

        Raises:
            NegotiationError: If it does not match the offer.
        """
        answered = [value for name, value in params if name == BITS]
        smallest = str(SMALLEST_WINDOW)
        if self._wants_smallest and answered not in ([], [smallest]):
            raise NegotiationError(f"unsupported {BITS}")
        adapted = [
            (n, str(SMALLEST_WINDOW + 1) if (n, v) == (BITS, smallest) else v) for n, v in params
        ]
        agreed = super().process_response_params(adapted, accepted_extensions)
        if self._wants_smallest or answered == [smallest]:
            return _ReceivesOnly(agreed)
        return agreed


class _ReceivesOnly(PerMessageDeflate):
    """Decompresses, and sends messages uncompressed, which every server must accept.

    Source:
        RFC 7692 section 6; zlib has no raw deflate with a window of 256 bytes.
    """

    def __init__(self, agreed: PerMessageDeflate) -> None:
        super().__init__(
            agreed.remote_no_context_takeover,
            local_no_context_takeover=True,  # so that zlib keeps no window for sending
            remote_max_window_bits=agreed.remote_max_window_bits,
            local_max_window_bits=agreed.local_max_window_bits,
        )

    def encode(self, frame: Frame) -> Frame:
        """Return the frame as it is."""
        return frame
