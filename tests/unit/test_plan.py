"""The merge against a model made of dicts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk2etcd_workers import plan

KEYS = st.binary(min_size=1, max_size=3)
VALUES = st.sampled_from([b"", b"1", b"2"])


@given(st.dictionaries(KEYS, st.none() | VALUES), st.dictionaries(KEYS, VALUES))
def test_the_merge_is_the_difference(
    wanted: dict[bytes, bytes | None], present: dict[bytes, bytes]
) -> None:
    counts = plan.Counts()
    changes = list(
        plan.merge(
            iter([plan.Wanted(key, wanted[key], b"/" + key, 7) for key in sorted(wanted)]),
            iter([plan.Present(key, present[key], 1) for key in sorted(present)]),
            counts,
        )
    )
    assert [change.key for change in changes] == sorted({change.key for change in changes})
    puts = {change.key: change for change in changes if isinstance(change, plan.Write)}
    extras = {change.key for change in changes if isinstance(change, plan.Extra)}
    assert extras == present.keys() - wanted.keys()
    assert {key: put.value for key, put in puts.items()} == {
        key: value
        for key, value in wanted.items()
        if value is not None and present.get(key) != value
    }
    assert all((put.path, put.zxid) == (b"/" + put.key, 7) for put in puts.values())
    assert (counts.wanted, counts.present) == (len(wanted), len(present))


def test_nothing_is_planned_before_it_is_known() -> None:
    """The walk may end in an error: what it did not show must not become an extra by then."""

    def broken() -> Iterator[plan.Wanted]:
        yield plan.Wanted(b"b", b"1", b"/b", 1)
        raise ConnectionError

    seen: list[plan.Write | plan.Extra] = []
    present = [plan.Present(key, b"1", 1) for key in (b"a", b"c", b"d")]
    with pytest.raises(ConnectionError):
        seen.extend(plan.merge(broken(), present, plan.Counts()))
    assert plan.Extra(b"c") not in seen
    assert plan.Extra(b"d") not in seen
