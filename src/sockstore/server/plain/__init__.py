"""The plain JSON frames, and the client that speaks them."""
