"""The parameters of compression."""

import pytest

from sockstore import Deflate, InvalidOption


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_no_context_takeover", 1),
        ("client_no_context_takeover", None),
        ("server_max_window_bits", 7),
        ("server_max_window_bits", 16),
        ("server_max_window_bits", True),
        ("server_max_window_bits", "9"),
        ("client_max_window_bits", 7),
        ("client_max_window_bits", False),
        ("client_max_window_bits", 9.0),
    ],
)
def test_a_parameter_of_compression_that_cannot_work_is_refused(name, value):
    with pytest.raises(InvalidOption, match=f"^{name}={value!r} cannot be used: give "):
        Deflate(**{name: value})
