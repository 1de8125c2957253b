"""Sockstore beside its peers: `make bench`.

Layout: `harness/` measures, judges and reports, and knows nothing of what is measured; each other
folder is one suite: the rows of its table, who stands in them, and the small programs that they
run. Every program uses its library as the library's users do.
"""
