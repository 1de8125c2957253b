"""Measure a storm: a server drops all clients at once; how many return in the same second?"""
