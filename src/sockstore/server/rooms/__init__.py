"""Rooms: their members, and the delivery of messages in order; knows no protocol."""
