"""The chat server beside plain broadcasts, and what the group commit of its history gains."""
