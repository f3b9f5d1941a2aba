"""Will what is to come fit?"""

from __future__ import annotations

import pytest

from zk2etcd_workers.model import space

MIB = 1024 * 1024


def test_what_is_free_in_the_file_counts_until_the_file_is_at_the_quota() -> None:
    assert space.Space(16 * MIB, 10 * MIB, 4 * MIB).free == 12 * MIB
    assert space.Space(16 * MIB, 16 * MIB, 4 * MIB).free == 0


def test_what_is_to_come_is_as_large_as_what_was_seen() -> None:
    seen = space.Seen(10, 10_000)
    assert seen.to_come(100) == 100 * (1_000 + space.KEY_BYTES)
    assert seen.to_come(0) == seen.to_come(-5) == 0


def test_nothing_is_known_to_come_where_nothing_was_seen() -> None:
    assert space.Seen(0, 0).to_come(1_000) == 0


@pytest.mark.parametrize(
    ("to_come", "fits", "is_close"),
    [(0, True, False), (8 * MIB, True, False), (11 * MIB, True, True), (13 * MIB, False, False)],
)
def test_it_fits_or_nearly_so_or_not(to_come: int, fits: bool, is_close: bool) -> None:
    there = space.Space(16 * MIB, 4 * MIB, 4 * MIB)
    assert space.fits(there, to_come) is fits
    assert space.is_close(there, to_come) is is_close
