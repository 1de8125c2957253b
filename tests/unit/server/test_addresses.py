"""Where a client comes from, and how many connections it may have."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import InvalidOption
from sockstore.server.addresses import client_address, group_of, read_address, trusted_networks
from sockstore.server.connections import Connections, Crowded, Visit

pytestmark = pytest.mark.contract("SV11")

OURS = trusted_networks(["10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1"])


def seen(peer: str | None, *headers: tuple[str, str]) -> str | None:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    address = client_address(peer, values, OURS)
    return None if address is None else str(address)


@pytest.mark.parametrize(
    ("peer", "header", "value", "client"),
    [
        ("203.0.113.1", "x-forwarded-for", "198.51.100.9", "203.0.113.1"),
        ("203.0.113.1", "forwarded", "for=198.51.100.9", "203.0.113.1"),
        ("10.0.0.1", "x-forwarded-for", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "x-forwarded-for", "1.1.1.1, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "x-forwarded-for", "1.1.1.1,198.51.100.9 , 10.9.9.9", "198.51.100.9"),
        ("10.0.0.1", "x-forwarded-for", "198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.1", "x-forwarded-for", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "x-forwarded-for", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "x-forwarded-for", "10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", "x-forwarded-for", "198.51.100.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "x-forwarded-for", "198.51.100.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "x-forwarded-for", "", "10.0.0.1"),
        ("10.0.0.1", "forwarded", "for=198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "forwarded", 'FOR="198.51.100.9:80";proto=https', "198.51.100.9"),
        ("10.0.0.1", "forwarded", 'for=1.1.1.1, for="[2001:db8::1]:4711"', "2001:db8::1"),
        ("10.0.0.1", "forwarded", "for=198.51.100.9;by=10.0.0.2, for=10.0.0.2", "198.51.100.9"),
        ("10.0.0.1", "forwarded", "for=198.51.100.9, for=_hidden", "10.0.0.1"),
        ("10.0.0.1", "forwarded", "for=198.51.100.9, proto=https", "10.0.0.1"),
        (
            "10.0.0.1",
            "forwarded",
            'for=1.1.1.1;x="a, for=8.8.8.8", for=198.51.100.9',
            "198.51.100.9",
        ),
        ("10.0.0.1", "forwarded", "for=198.51.100.9, {", "10.0.0.1"),
        ("10.0.0.1", "other", "for=198.51.100.9", "10.0.0.1"),
        ("127.0.0.1", "x-forwarded-for", "198.51.100.9", "198.51.100.9"),
        ("::ffff:10.0.0.1", "x-forwarded-for", "198.51.100.9", "198.51.100.9"),
        ("2001:db8:ffff::7", "x-forwarded-for", "198.51.100.9", "198.51.100.9"),
        ("fe80::1%eth0", "x-forwarded-for", "198.51.100.9", "fe80::1"),
        (None, "x-forwarded-for", "198.51.100.9", None),
    ],
)
def test_a_client_is_the_last_address_that_is_not_a_proxy_of_ours(peer, header, value, client):
    assert seen(peer, (header, value)) == client


def test_lines_of_one_header_are_one_list():
    lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.9, 10.0.0.3")]
    assert seen("10.0.0.1", *lines) == "198.51.100.9"


def test_proxies_that_contradict_each_other_are_not_believed():
    both = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "198.51.100.9")]
    with pytest.raises(ValueError, match="different clients"):
        seen("10.0.0.1", *both)
    assert seen("203.0.113.1", *both) == "203.0.113.1"
    same = [("forwarded", "for=198.51.100.9"), ("x-forwarded-for", "198.51.100.9:80")]
    assert seen("10.0.0.1", *same) == "198.51.100.9"


@given(
    st.lists(st.tuples(st.sampled_from(["forwarded", "x-forwarded-for"]), st.text()), max_size=3)
)
def test_no_header_makes_a_client_of_a_stranger(headers):
    assert seen("203.0.113.1", *headers) == "203.0.113.1"


@given(st.text(alphabet='for=",;.:[]\\ 1209abf_{', max_size=60))
def test_whatever_stands_in_front_the_last_hop_is_what_our_proxy_wrote(claimed):
    """A client can write anything; what our proxy adds behind a comma is what counts."""
    assert seen("10.0.0.1", ("x-forwarded-for", f"{claimed}, 198.51.100.9")) == "198.51.100.9"


@given(st.text(max_size=60))
def test_reading_never_fails(text):
    seen("10.0.0.1", ("forwarded", text))
    seen("10.0.0.1", ("x-forwarded-for", text))
    read_address(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_is_read_with_and_without_its_port(address, port):
    text = str(address) if address.version == 4 else f"[{address}]"
    expected = read_address(str(address))
    assert expected in {address, getattr(address, "ipv4_mapped", None)}
    assert read_address(f"{text}:{port}") == read_address(text) == expected


@pytest.mark.parametrize("proxies", ["10.0.0.1", ["10.0.0.1/8"], ["proxy.example"], [""]])
def test_what_is_not_an_address_or_a_network_is_refused(proxies):
    with pytest.raises(InvalidOption) as refused:
        trusted_networks(proxies)
    assert refused.value.option == "trusted_proxies"


def test_what_counts_as_one_address():
    assert group_of(ip_address("192.0.2.1")) != group_of(ip_address("192.0.2.2"))
    one, other = ip_address("2001:db8::1"), ip_address("2001:db8::ffff:1")
    assert group_of(one) == group_of(other) == ip_network("2001:db8::/64")
    assert group_of(ip_address("2001:db8:0:1::1")) != group_of(one)
    assert group_of(ip_address("127.0.0.9")) is None
    assert group_of(ip_address("::1")) is None


ANN, BOB = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def test_an_address_has_its_connections_and_no_more():
    connections = Connections(2, 2)
    first = connections.enter(ANN)
    assert isinstance(first, Visit)
    assert isinstance(connections.enter(ANN), Visit)
    assert connections.enter(ANN) is Crowded.ADDRESS
    assert isinstance(connections.enter(BOB), Visit)
    first.leave()
    first.leave()
    assert isinstance(connections.enter(ANN), Visit)
    assert connections.enter(ANN) is Crowded.ADDRESS
    assert connections.total == 3


def test_fewer_of_them_may_be_unfinished_handshakes():
    connections = Connections(10, 1)
    first = connections.enter(ANN)
    assert isinstance(first, Visit)
    assert connections.enter(ANN) is Crowded.HANDSHAKES
    first.arrive()
    second = connections.enter(ANN)
    assert isinstance(second, Visit)
    second.leave()  # before it arrived
    assert isinstance(connections.enter(ANN), Visit)


def test_loopback_and_unix_sockets_are_not_counted_for_an_address():
    connections = Connections(1, 1)
    for address in (ip_address("127.0.0.1"), ip_address("::1"), None):
        assert isinstance(connections.enter(address), Visit)
        assert isinstance(connections.enter(address), Visit)
    assert connections.total == 6


def test_a_full_server_takes_one_more_for_each_that_leaves():
    connections = Connections(100, 100, most=16)
    visits = [connections.enter(None) for _ in range(16)]
    assert connections.enter(None) is Crowded.DESCRIPTORS
    visits.pop().leave()
    assert isinstance(connections.enter(None), Visit)
    assert connections.enter(None) is Crowded.DESCRIPTORS


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["enter", "arrive", "leave"]))))
def test_counts_are_those_of_who_is_there(steps):
    connections = Connections(3, 2)
    addresses = [ANN, BOB, ip_address("127.0.0.1")]
    here: dict[int, list[Visit]] = {0: [], 1: [], 2: []}
    for who, step in steps:
        if step == "enter":
            entered = connections.enter(addresses[who])
            unfinished = sum(visit.is_in_handshake for visit in here[who])
            if who < 2 and (len(here[who]) >= 3 or unfinished >= 2):
                assert isinstance(entered, Crowded)
            else:
                assert isinstance(entered, Visit)
                here[who].append(entered)
        elif here[who] and step == "arrive":
            here[who][0].arrive()
        elif here[who]:
            here[who].pop(0).leave()
        assert connections.total == sum(map(len, here.values()))
