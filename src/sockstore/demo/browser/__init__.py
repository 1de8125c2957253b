"""Serve and start the demo whose Python runs in the visitor's browser."""
