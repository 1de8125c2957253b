"""Use stores without a connection and without an event loop: the guide's `status`, made by hand."""

from sockstore import Writable, derived, writable

connected: Writable[bool] = writable(False)
error: Writable[str | None] = writable(None)

status = derived(
    (connected, error),
    lambda is_connected, problem: (
        "error" if problem is not None else "connected" if is_connected else "disconnected"
    ),
)

with status.subscribe(lambda text: print("status:", text)):
    connected.set(True)
    error.set("the server is gone")
    error.set(None)
