"""Send: round trips with one and with 32 messages in flight, and sending without an answer."""
