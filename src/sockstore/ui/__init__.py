"""User interfaces: the same components, with the same names, in each kit."""
