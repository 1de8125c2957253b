"""Measure contenders in interleaved rounds, judge by ratios, write down what came out."""
