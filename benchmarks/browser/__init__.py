"""How soon a page with its own Python is there, and how much it loads."""
