"""Stores need no connection and no event loop: the guide's `status`, made by hand."""

from sockstore import derived, writable

connected = writable(False)
error = writable[str | None](None)


def name_status(is_connected: bool, problem: str | None) -> str:
    if problem is not None:
        return "error"
    return "connected" if is_connected else "disconnected"


status = derived((connected, error), name_status)

with status.subscribe(lambda text: print("status:", text)):
    connected.set(True)
    error.set("the server is gone")
    error.set(None)
