"""Rooms: who is in one, what it keeps, what is told to whom."""
