"""What an open connection costs while it is idle, and what an import costs."""
