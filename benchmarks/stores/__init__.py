"""Stores beside their peers: what a change costs, what a subscription costs.

`peer.py` says what is asked of a peer and `peers/` gives it for each library; `graphs.py` builds
what is measured, `cases.py` the operations; `guarantees.py` counts what a peer computes and mixes;
`client.py` is the program that does it all for one peer, `suite.py` the table.
"""
