"""Session protocol, section 6 of PROTOCOL.md: a subset of Centrifugo's client protocol."""
