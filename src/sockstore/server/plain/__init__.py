"""Plain JSON, the protocol of a room without a session: its frames and its clients."""
