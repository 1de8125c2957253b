"""The rows of a live list."""

from __future__ import annotations

import logging

import pytest

from sockstore import Message
from sockstore.ui.live_list import LiveRows

pytestmark = pytest.mark.contract("UI1")


def trade(number: int, symbol: str = "BTC", price: object = 1) -> Message:
    return Message({"symbol": symbol, "price": price}, "json", number, 0.0)


def cells(rows: LiveRows) -> list[tuple[str, ...]]:
    return [row.cells for row in rows.value]


def test_a_row_is_a_text_or_a_value_for_each_column():
    texts = LiveRows(lambda data: f"{data['symbol']} {data['price']}")
    columns = LiveRows(lambda data: (data["symbol"], data["price"], None))
    for rows in (texts, columns):
        rows.read([trade(1)])
    assert cells(texts) == [("BTC 1",)]
    assert cells(columns) == [("BTC", "1", "None")]


def test_a_message_is_read_once_and_the_oldest_rows_go():
    rows = LiveRows(lambda data: str(data["price"]), limit=3)
    log = [trade(number, price=number) for number in range(1, 6)]
    rows.read(log[:3])
    rows.read(log)
    assert cells(rows) == [("3",), ("4",), ("5",)]


def test_with_a_key_a_later_message_takes_the_place_of_an_earlier_one():
    rows = LiveRows(lambda data: (data["symbol"], data["price"]), key=lambda data: data["symbol"])
    rows.read([trade(1, "BTC", 1), trade(2, "ETH", 2), trade(3, "BTC", 3)])
    assert cells(rows) == [("BTC", "3"), ("ETH", "2")]


def test_none_leaves_a_message_out_and_an_error_too_with_one_warning(caplog):
    rows = LiveRows(lambda data: None if data is None else data["symbol"])
    odd = [Message(data, "json", number, 0.0) for number, data in enumerate((None, {}, 7), 1)]
    with caplog.at_level(logging.WARNING, "sockstore.ui"):
        rows.read([*odd, trade(4)])
    assert cells(rows) == [("BTC",)]
    [record] = caplog.records
    assert "KeyError: 'symbol'" in record.getMessage()


def test_what_is_shown_is_clean_and_bounded():
    rows = LiveRows(lambda data: data["symbol"])
    rows.read([trade(1, "half \ud83d"), trade(2, "x" * 100_000)])
    [[half], [long]] = cells(rows)
    assert half == "half \ufffd"
    assert len(long) < 1_100
