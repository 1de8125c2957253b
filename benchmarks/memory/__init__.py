"""Measure what an idle open connection costs, and what an import costs."""
