"""What is made once per machine is whole, and made once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tools.once import made_once

from loopback.processes import AT_ONCE, PORTS, free_port


def test_of_many_at_the_same_time_one_makes_it_and_the_others_find_it_whole(tmp_path):
    place, many = tmp_path / "place", 4
    made: list[Path] = []
    together = threading.Barrier(many)

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "first").touch()
        assert not place.exists()
        (folder / "last").touch()

    def want(_: int) -> set[str]:
        together.wait()
        return {file.name for file in made_once(place, make).iterdir()}

    with ThreadPoolExecutor(many) as pool:
        assert list(pool.map(want, range(many))) == [{"first", "last"}] * many
    assert len(made) == 1


def test_one_that_cannot_be_made_leaves_nothing_and_can_be_made_later(tmp_path):
    place = tmp_path / "place"

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        made_once(place, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["place.lock"]
    assert made_once(place, lambda folder: (folder / "whole").touch()) == place
    assert [path.name for path in place.iterdir()] == ["whole"]


@pytest.mark.loopback
def test_no_port_is_given_twice_nor_taken_by_the_system_for_another_connection():
    ports = [free_port() for _ in range(AT_ONCE - 5)]
    assert len(set(ports)) == AT_ONCE - 5
    assert all(port in PORTS for port in ports)
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert PORTS.stop <= first
