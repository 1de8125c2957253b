"""Measure stores beside their peers: what a change costs, what a subscription costs.

`peer.py` is the interface of a peer and `peers/` implements it for each library; `graphs.py` builds
the graphs, `cases.py` the operations; `guarantees.py` counts computations and mixed values;
`client.py` is the program that measures one peer, `suite.py` the table.
"""
