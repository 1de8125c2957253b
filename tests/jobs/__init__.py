"""The servers that the programs in `examples/jobs` talk to, and the tests of both."""
