"""Foreign servers and proxies, and how the tests start them."""
