"""Measure how soon a page with its own Python is connected, and how much it loads."""
