"""Hold the plain values that all other packages use: errors, options, state, urls, JSON."""
