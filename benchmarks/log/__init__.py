"""The message log: what appending costs, and that it does not grow with the length."""
