"""The session: a subset of Centrifugo's client protocol, as PROTOCOL.md has it in section 6."""
