"""Rooms that several servers share, in Redis or Valkey; needs the extra ``redis``."""
