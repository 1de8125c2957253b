"""The test kit: whole reconnect stories without sockets, in milliseconds."""
