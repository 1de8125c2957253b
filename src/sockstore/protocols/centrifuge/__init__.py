"""The protocol of Centrifugo, and of the server of this package: rooms on one connection."""

from sockstore.protocols.centrifuge.options import Centrifuge

__all__ = ["Centrifuge"]
