"""The checks of supervisors that share, on histories that are wrong on purpose."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.faults import drawing, oracle, run, servers, shares, watcher

STATE = "zk2etcd/t"
PREFIXES = (oracle.Prefix("/a", "/a"), oracle.Prefix("/b", "/b", buckets=2))
TTL = 3.0

Change = tuple[float, str, str | None]
"""Second, shard, and whose it is from then on."""


def owned(*changes: Change) -> list[watcher.Event]:
    found = []
    for number, (at, shard, instance) in enumerate(changes, 1):
        key, value = f"{STATE}/owners/{shard}".encode(), None
        if instance is not None:
            target, _, bucket = shard.partition(":")
            said: dict[str, object] = {"v": 1, "target": f"/{target}", "instance": instance}
            if bucket:
                said |= {"bucket": int(bucket), "buckets": 2}
            value = json.dumps(said).encode()
        found.append(watcher.Event(number, key, value, at, 1))
    return found


def members(*instances: str) -> list[watcher.Event]:
    """The key of i0 says that its supervisor is called m0."""
    return [
        watcher.Event(
            1000 + number,
            f"{STATE}/members/{each}".encode(),
            json.dumps({"v": 1, "name": each.replace("i", "m")}).encode(),
            0.5,
        )
        for number, each in enumerate(instances)
    ]


def offers(*changes: Change) -> list[watcher.Event]:
    """The third is who offers."""
    found = []
    for number, (at, shard, giver) in enumerate(changes, 2000):
        value = None if giver is None else json.dumps({"v": 1, "giver": giver}).encode()
        found.append(watcher.Event(number, f"{STATE}/offers/{shard}".encode(), value, at, 1))
    return found


def judged(events: Sequence[watcher.Event], seen: shares.Seen, until: float = 100.0) -> set[str]:
    case = oracle.Case(PREFIXES, STATE, {}, sorted(events, key=lambda e: e.at), until=until)
    found = shares.judge(case, seen, TTL)
    assert {each.invariant for each in found} <= {"I5"}
    return {each.check for each in found}


def seen(*hurt: tuple[int, float, float], began: float = 0.0, pace: float = 1.0) -> shares.Seen:
    spans = [(number, shares.Span(begin, end)) for number, begin, end in hurt]
    return shares.Seen(2, began, spans, pace=pace)


ALL_OWNED = [(1.0, "a", "i0"), (1.0, "b:0", "i0"), (1.0, "b:1", "i1")]


def test_what_goes_from_hand_to_hand_is_not_alone() -> None:
    events = owned(*ALL_OWNED, (10.0, "a", None), (17.9, "a", "i1"), (20.0, "b:1", None))
    assert judged([*events, *owned((27.0, "b:1", "i0"))], seen()) == set()


def test_a_shard_without_an_owner_is_alone_while_somebody_is_well() -> None:
    events = owned(*ALL_OWNED, (10.0, "a", None), (18.1, "a", "i1"))
    assert judged(events, seen()) == {"alone"}
    assert judged(events, seen(pace=2.0)) == set(), "the machine is slow"
    assert judged(events, seen((0, 12.0, 15.0))) == {"alone"}, "the other was well"
    both = seen((0, 12.0, 15.0), (1, 9.0, 11.0))
    assert judged(events, both) == set(), "neither was well for long enough"
    assert judged(events, seen(began=12.0)) == set()


def test_a_shard_that_is_never_owned_again_is_alone() -> None:
    assert judged(owned(*ALL_OWNED, (10.0, "b:1", None)), seen()) == {"alone"}
    assert judged(owned(*ALL_OWNED, (99.0, "b:1", None)), seen()) == set()


def test_a_shard_that_was_first_owned_late_was_alone() -> None:
    late = owned((1.0, "a", "i0"), (9.0, "b:0", "i0"), (1.0, "b:1", "i1"))
    assert judged(late, seen()) == {"alone"}


def test_a_shard_of_another_split_is_nobodys_concern() -> None:
    assert judged(owned(*ALL_OWNED, (2.0, "b", "i0"), (3.0, "b", None)), seen()) == set()


def test_whoever_is_hurt_is_not_well_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((10.0, 20.0))
    monkeypatch.setattr("tests.faults.shares.time.time", lambda: next(clock))
    looked = seen()
    with looked.hurting(0):
        assert list(looked.wells(0, 100.0)) == [(0.0, 10.0)]
    assert list(looked.wells(0, 100.0)) == [(0.0, 10.0), (20.0 + shares.GRACE, 100.0)]
    assert list(looked.wells(1, 100.0)) == [(0.0, 100.0)]


def test_nobody_is_well_while_the_machine_stands_still() -> None:
    events = owned(*ALL_OWNED, (10.0, "a", None), (18.1, "a", "i1"))
    looked = seen()
    looked.stalled(12.0, 14.0)
    assert judged(events, looked) == set()
    assert looked.stood_still(13.0, 20.0) == 1.0
    assert looked.stood_still(14.5, 20.0) == 0.0


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ([], set()),
        ([(12.0, "a", "i0")], set()),  # another token, as after a doubt
        ([(12.0, "a", None), (12.1, "a", "i1")], {"restless"}),
        ([(12.0, "a", "i1")], {"restless"}),
        ([(9.0, "a", None), (9.1, "a", "i1")], set()),
    ],
)
def test_nothing_moves_while_nothing_changes(changes: list[Change], fires: set[str]) -> None:
    looked = seen()
    looked.still.append(shares.Span(10.0, 16.0))
    assert judged(owned(*ALL_OWNED, *changes), looked) == fires


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ([(12.0, "a", None), (12.1, "a", "i2")], set()),
        ([(12.0, "a", "i2"), (13.0, "b:0", "i2")], {"moved"}),
        ([(12.0, "a", "i1")], {"moved"}),
        ([(12.0, "a", "i2"), (13.0, "a", "i0")], {"moved"}),
        ([(12.0, "a", None), (12.1, "a", "i0")], set()),
    ],
)
def test_who_joins_gets_its_part_and_no_more(changes: list[Change], fires: set[str]) -> None:
    looked = seen()
    looked.joins.append(shares.Join(shares.Span(10.0, 20.0), "m2", 3, 3))
    others = [*offers((11.0, "a", "i0"), (12.0, "a", None))]
    others += [watcher.Event(1, key, b"v", 11.5, 1) for key in (b"/a/n", b"zk2etcd/t/floors/a")]
    events = [*members("i0", "i1", "i2"), *owned(*ALL_OWNED, *changes), *others]
    assert judged(events, looked) == fires


def test_an_offer_that_comes_to_nothing_goes() -> None:
    events = [*members("i0", "i1"), *owned(*ALL_OWNED)]
    longer = 2 * (TTL + shares.SLACK) + 1.0
    stands = offers((10.0, "a", "i0"), (10.0 + longer, "a", None))
    assert judged([*events, *stands], seen()) == {"left over"}
    assert judged([*events, *stands], seen((0, 15.0, 20.0))) == set(), "who offered it was hurt"
    assert judged([*events, *offers((10.0, "a", "i0"))], seen()) == {"left over"}
    again = offers((10.0, "a", "i0"), (20.0, "a", None), (21.0, "a", "i0"), (31.0, "a", None))
    assert judged([*events, *again], seen()) == set()


def test_members_are_hurt_where_they_share_and_every_second_scene_spares_the_servers() -> None:
    drawn: set[str] = set()
    known: set[str] = set()
    for seed in range(1, 13):
        made_of = run.scene(seed, servers.Servers(share=True))
        plan = run.plan(seed, 60.0, made_of)
        calm = set(plan.lanes) == {"members", "others", "person"}
        assert calm == (seed // 3 % 2 == 0)
        assert plan == run.plan(seed, 60.0, made_of)
        drawn |= {f.kind for name in ("members", "others") for f in plan.lanes[name]}
        known |= {kind.name for kind in run.members(made_of)}
    assert drawn == known


def test_seeds_of_one_supervisor_are_what_they_were() -> None:
    plan = run.plan(4, 30.0, run.scene(4))
    assert set(plan.lanes) == {"process", "zookeeper", "etcd", "data", "person"}
    assert isinstance(plan, drawing.Plan)
