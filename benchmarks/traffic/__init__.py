"""The other side: a server that is never what limits a measurement, and what it says."""
