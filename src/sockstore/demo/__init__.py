"""Demo package: a server and the guide's two pages on one port."""
