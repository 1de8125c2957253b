"""Keep the messages that arrived: bounded, numbered, with any number of readers."""
