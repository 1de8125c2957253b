"""Servers and proxies that nobody here wrote, and how the tests start them."""
