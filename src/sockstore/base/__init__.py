"""Plain values that every other layer speaks."""
