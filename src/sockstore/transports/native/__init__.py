"""A transport over TCP and TLS sockets."""
