"""Own connections and other things in scopes, which destroy them in order."""
