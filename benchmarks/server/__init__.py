"""Measure the chat server beside plain broadcasts, and the gain of its group commit."""
