"""What a connection says of itself: timeline, statistics, explanation, log."""
