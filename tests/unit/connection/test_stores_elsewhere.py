"""Reading the stores of a connection in a thread that is not its own."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sockstore import WebSocketStore, get
from sockstore.protocols import Topics

BY_TYPE = Topics(key=lambda data: data.get("type"))


@pytest.mark.contract("ST12")
@pytest.mark.parametrize(
    "store_of",
    [
        lambda connection: connection.buffered_amount,
        lambda connection: connection.messages,
        lambda connection: connection.phase,
        lambda connection: connection.select(len),
        lambda connection: connection.timeline,
        lambda connection: connection.subscribe("prices").latest,
    ],
)
def test_a_thread_that_reads_before_the_connection_is_used_does_not_take_its_stores(store_of):
    connection, told = WebSocketStore("ws://localhost", protocol=BY_TYPE), []
    store = store_of(connection)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(get, store).result()
    with store.subscribe(told.append):
        assert list(map(repr, told)) == [repr(found)]
