"""A storm: a server drops all its clients at once, and how many come back in the same second."""
