"""A chat as every interface shows it."""
