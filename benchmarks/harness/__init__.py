"""Measure contenders in interleaved rounds, judge by ratios, and write down the results."""
