from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from zk2etcd.config import mirroring
from zk2etcd_workers.model import guard, turnover

LIMITS = mirroring.DeleteGuard()  # 100, 0.3, 10000, hold


def _trips(
    deletes: int,
    present: int,
    limits: mirroring.DeleteGuard = LIMITS,
    *,
    first: bool = False,
    root_missing: bool = False,
) -> str | None:
    return guard.trips(guard.Walk(deletes, present, first, root_missing), limits)


@pytest.mark.parametrize(
    ("deletes", "present", "held"),
    [
        (0, 0, False),
        (0, 1000, False),
        (1, 1, False),
        (9, 9, False),
        (10, 10, True),
        (10, 11, True),
        (10, 12, False),
        (100, 200, False),
        (101, 336, True),
        (101, 337, False),
        (10_000, 100_000, False),
        (10_001, 10_000_000, True),
    ],
)
def test_thresholds(deletes: int, present: int, held: bool) -> None:
    assert (_trips(deletes, present) is not None) is held


def test_the_first_sync_holds_a_single_delete_unless_waived() -> None:
    waived = mirroring.DeleteGuard(first_sync="apply")
    assert _trips(1, 1000, first=True)
    assert _trips(0, 1000, first=True) is None
    assert _trips(1, 1000, waived, first=True) is None
    assert _trips(10, 11, waived, first=True)


def test_a_missing_root_holds_a_single_delete() -> None:
    assert _trips(1, 1000, root_missing=True)
    assert _trips(0, 0, root_missing=True) is None


def test_nothing_may_go_when_nothing_is_allowed() -> None:
    strict = mirroring.DeleteGuard(max_deletes=0)
    assert _trips(1, 1_000_000, strict)


@given(st.integers(0, 20_000), st.integers(0, 20_000), st.booleans(), st.booleans())
def test_more_deletes_never_pass_where_fewer_did_not(
    deletes: int, rest: int, first: bool, root_missing: bool
) -> None:
    present = deletes + rest
    if _trips(deletes, present, first=first, root_missing=root_missing):
        assert _trips(deletes + 1, present, first=first, root_missing=root_missing)


def test_a_bucket_has_its_part_of_the_limits() -> None:
    limits = mirroring.DeleteGuard(min_deletes=100, max_deletes=10_000, first_sync="apply")
    assert guard.share(limits, 1) is limits
    part = guard.share(limits, 3)
    assert (part.min_deletes, part.max_deletes) == (33, 3333)
    assert (part.max_ratio, part.first_sync) == (limits.max_ratio, "apply")


def test_what_is_replaced_is_not_lost() -> None:
    def trips(deletes: int, replaced: int, present: int) -> str | None:
        return guard.trips(guard.Walk(deletes, present, False, False, replaced), LIMITS)

    assert trips(171, 171, 171) is None
    assert trips(20_000, 15_000, 100_000) is None
    assert trips(20_000, 9_999, 100_000)
    assert trips(171, 1, 171)
    said = trips(300, 100, 500)
    assert said == "40% of the keys would go, with none in their place (max_ratio 30%)"


def _side(paths: Iterable[str]) -> turnover.Side:
    side = turnover.Side()
    for path in sorted(path.encode() for path in paths):
        side.saw(path)
    return side


def _instances(services: Iterable[int], first: int = 0) -> list[str]:
    return [f"/d/s{s}/providers/10.{first + n}" for s in services for n in range(20)]


@pytest.mark.parametrize(
    ("went", "came", "reason"),
    [
        (_instances(range(20)), _instances(range(20), 100), None),
        (
            _instances(range(10)),
            _instances(range(10, 20), 100),
            "45% of the keys would go (max_ratio 30%)",
        ),
        (
            [
                *(f"/d/s{s}" for s in range(1, 20)),
                *(f"/d/s{s}/providers" for s in range(1, 20)),
                *_instances(range(20)),
            ],
            ["/d/s0/providers/new"],
            "99% of the keys would go, with none in their place (max_ratio 30%)",
        ),
    ],
)
def test_the_examples_of_the_manual(went: list[str], came: list[str], reason: str | None) -> None:
    """docs/operations.md, "What the delete guard holds": 441 keys."""
    replaced = turnover.replaced(_side(went), _side(came))
    walk = guard.Walk(len(went), 441, first=False, root_missing=False, replaced=replaced)
    assert guard.trips(walk, LIMITS) == reason


def test_a_bucket_has_its_part_of_the_live_thresholds_too() -> None:
    limits = mirroring.DeleteGuard(live=mirroring.LiveGuard(min_deletes=100))
    part = guard.share(limits, 3).live
    assert part is not None
    assert (part.min_deletes, part.max_ratio) == (33, 0.3)
    assert guard.share(limits, 1) is limits


@given(st.integers(0, 20_000), st.integers(0, 20_000), st.integers(0, 20_000))
def test_the_thresholds_see_the_net_loss_alone(deletes: int, rest: int, replaced: int) -> None:
    replaced = min(replaced, deletes)
    net = guard.Walk(deletes, deletes + rest, False, False, replaced)
    gross = guard.Walk(deletes - replaced, deletes + rest, False, False)
    assert (guard.trips(net, LIMITS) is None) is (guard.trips(gross, LIMITS) is None)


@given(st.integers(1, 20_000), st.integers(0, 20_000))
def test_what_is_odd_is_held_whatever_came(deletes: int, replaced: int) -> None:
    replaced = min(replaced, deletes)
    assert guard.trips(guard.Walk(deletes, 99, True, False, replaced), LIMITS)
    assert guard.trips(guard.Walk(deletes, 99, False, True, replaced), LIMITS)
