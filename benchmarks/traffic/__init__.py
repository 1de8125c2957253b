"""Serve the traffic of the measurements; this server is never what limits one."""
