"""Measure the message log: what an append costs, and that the length does not change that."""
