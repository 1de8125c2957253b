"""The machine of a managed connection: no I/O, no clock (see `sockstore.machine.machine`)."""
