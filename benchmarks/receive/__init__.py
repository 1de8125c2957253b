"""Receive: messages decoded, kept and delivered to one callback, beside the bare engines."""
