"""Measure sockstore beside its peers: `make bench`.

Layout: `harness/` measures, judges and reports, and does not depend on the suites; each other
folder is one suite: the rows of its table, its contenders, and the small programs that they run.
Every program uses its library as the library's users do.
"""
