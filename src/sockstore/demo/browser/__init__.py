"""The demo whose Python runs in the visitor's browser: what serves it, and what starts it there."""
