"""Inspect a connection: timeline, statistics, explanation, log."""
