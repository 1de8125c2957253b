"""The transport over sockets of the operating system."""
