"""The server that the demos, tests and small teams use."""
