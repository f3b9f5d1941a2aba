"""What is known by heart of our keys, and which of strangers' changes are looked at by that."""

from __future__ import annotations

import pytest

from zk2etcd_workers.belonging import marks

KEYS = [b"/k%03d" % number for number in range(25)]


@pytest.mark.parametrize("count", [5, 10, 11, 15, 20, 25])
def test_none_of_ours_is_taken_for_others(count: int) -> None:
    """Also of more keys than are known, whose base told of them page by page."""
    of = marks.Marks(b"zk2etcd/owned/p-1", most=10)
    ours = KEYS[:count]
    for start in range(0, count, 5):
        of.knows(ours[start : start + 5], 7)
    of.knows_all()
    assert all(map(of.may_have, ours))
    assert of.may_have(b"/theirs") is (count > 10)
    of.clear()
    assert of.may_have(b"/theirs"), "nobody has looked yet"
    of.knows(KEYS[:5], 7)
    of.knows_all()
    assert not of.may_have(b"/theirs")
    of.knows_less()
    assert of.may_have(b"/theirs"), "somebody may have marked it for us"
