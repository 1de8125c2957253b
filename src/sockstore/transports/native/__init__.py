"""Transport messages over TCP and TLS sockets."""
