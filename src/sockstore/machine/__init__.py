"""Decide what a managed connection does: no I/O, no clock (see `sockstore.machine.machine`)."""
