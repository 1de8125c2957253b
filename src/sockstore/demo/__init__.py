"""The demo: an echo page, a chat page and their server on one port."""
