"""Pages of a long range: all keys once and in order, whatever is there, and a cost that grows with
the number of keys."""

from __future__ import annotations

import bisect
import functools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import paging

START, END = b"/d/", b"/d0"


class Read(NamedTuple):
    """What came, how many pages it took, and how many keys etcd counted for them."""

    keys: list[bytes]
    pages: int
    counted: int


def read(keys: Sequence[bytes], limit: int) -> Read:
    """All of a sorted list, as etcd would page it."""
    pages = paging.Pages(START, END)
    found: list[bytes] = []
    asked = counted = 0
    while not pages.done:
        assert START <= pages.start < pages.stop <= END
        first, last = (bisect.bisect_left(keys, each) for each in (pages.start, pages.stop))
        page = keys[first : min(last, first + limit)]
        pages.saw(page, last - first, more=last - first > limit)
        found += page
        asked += 1
        counted += last - first
    return Read(found, asked, counted)


NAMES = st.binary(max_size=6) | st.text("01", max_size=12).map(str.encode)


@given(st.sets(NAMES.map(lambda name: START + name), max_size=200), st.integers(1, 5))
def test_every_key_comes_once(keys: set[bytes], limit: int) -> None:
    found = read(sorted(keys), limit)
    assert found.keys == sorted(keys)
    assert found.pages < 20 * (len(keys) + 1)


def test_a_place_where_to_go_on_is_kept_to() -> None:
    """Behind a page it may be far ahead, or beyond what was asked for, or the end."""
    for place in (b"/d/b0", b"/d/zz", b"/e"):
        pages = paging.Pages(START, END, functools.partial(max, place))
        for total in (1000, 900, 2):
            pages.saw([b"/d/a", b"/d/b/x"], total, more=total > 2)
            assert pages.start == min(place, END) or total == 2
            assert pages.done or pages.start < pages.stop <= END


def numbered(many: int) -> Iterator[bytes]:
    return (b"/d/child-%08d" % number for number in range(many))


def unpadded(many: int) -> Iterator[bytes]:
    return (b"/d/%d" % number for number in range(many))


def drawn(many: int) -> Iterator[bytes]:
    draw = random.Random(1)
    return (b"/d/%032x" % draw.getrandbits(128) for _ in range(many))


def services(many: int) -> Iterator[bytes]:
    for service in range(many // 20):
        name = b"/d/com.example.shop%02d.Service%06d" % (service % 97, service)
        yield name
        yield from (b"%s/providers/10.0.%d.7" % (name, each) for each in range(19))


def far_apart(many: int) -> Iterator[bytes]:
    yield from (b"/d/a/%032x" % number for number in range(many // 2))
    yield from (b"/d/z/one/below/the/other/%d" % number for number in range(many // 2))


@pytest.mark.parametrize("limit", [500, 2000])
@pytest.mark.parametrize("names", [numbered, unpadded, drawn, services, far_apart])
def test_what_is_counted_grows_with_the_keys(
    names: Callable[[int], Iterator[bytes]], limit: int
) -> None:
    """To the end of the range each, a hundred pages of 500 would count the keys 50 times."""
    for many in (50_000, 200_000):
        keys = sorted(names(many))
        found = read(keys, limit)
        assert found.keys == keys
        assert found.counted < 14 * many
        assert found.pages < 5 * many // limit
