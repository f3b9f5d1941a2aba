"""The oracle on histories that are wrong on purpose: a check that cannot fire proves nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import pytest

from tests.faults import oracle, txnlog, watcher

PREFIXES = (
    oracle.Prefix("/dubbo", "/dubbo", ("/dubbo/config",)),
    oracle.Prefix("/services", "/mirror/services"),
)
STATE = "zk2etcd/t"
OWNER = f"{STATE}/owners/dubbo-0".encode()
CHECKPOINT = f"{STATE}/checkpoints/dubbo-0".encode()
GUARD = f"{STATE}/guards/dubbo-0".encode()

Change = tuple[int, bytes, bytes | None]
Nodes = Mapping[str, Sequence[tuple[int, bytes | None]]]


def owner(**part: int) -> bytes:
    return json.dumps({"v": 1, "target": "/dubbo", **part}).encode()


def checkpoint(zxid: int, token: int | None = None) -> bytes:
    return b"%016x" % zxid + (b"" if token is None else b" %016x" % token)


def judged(
    nodes: Nodes,
    changes: Sequence[Change],
    *,
    foreign: Sequence[int] = (),
    kept: Mapping[bytes, bytes] | None = None,
    released: Mapping[str, float] | None = None,
    lease: int = 1,
    settled: int = sys.maxsize,
    pauses: Sequence[tuple[oracle.Prefix, str]] = (),
    restored: Sequence[int] = (),
) -> set[tuple[str, str]]:
    """(invariant, check) of all that was found. A zxid is a second of ZooKeeper's clock, and a
    revision a hundredth of one of etcd's, from 1,000 on."""
    history = {
        path: [txnlog.Entry(zxid, float(zxid), value) for zxid, value in states]
        for path, states in nodes.items()
    }
    events = [
        watcher.Event(revision, key, value, 1000.0 + revision / 100, lease, revision in restored)
        for revision, key, value in changes
    ]
    case = oracle.Case(
        PREFIXES, STATE, history, events, foreign, kept or {}, released or {}, settled, pauses
    )
    return {(each.invariant, each.check) for each in oracle.judge(case)}


def mirrored(*changes: Change, zxid: int = 0xFF) -> list[Change]:
    """Changes under an owner and a checkpoint that are in order."""
    return [(1, OWNER, owner()), (1, CHECKPOINT, checkpoint(zxid, 1)), *changes]


def test_a_faithful_mirror_passes() -> None:
    nodes: Nodes = {
        "/dubbo": [(1, b"")],
        "/dubbo/a": [(2, b"1"), (3, b"2"), (4, None), (5, b"1")],
        "/dubbo/config/x": [(6, b"excluded")],
    }
    changes = mirrored(
        (2, b"/dubbo", b""), (3, b"/dubbo/a", b"2"), (4, b"/dubbo/a", None), (5, b"/dubbo/a", b"1")
    )
    assert judged(nodes, changes) == set()


def test_a_put_of_what_stands_already_is_no_change() -> None:
    nodes = {"/dubbo/a": [(2, b"1")]}
    changes = mirrored((2, b"/dubbo/a", b"1"), (3, b"/dubbo/a", b"1"))
    assert judged(nodes, changes) == set()


def test_an_older_value_over_a_newer_one_is_seen() -> None:
    nodes = {"/dubbo/a": [(2, b"1"), (3, b"2")]}
    changes = mirrored(
        (2, b"/dubbo/a", b"1"),
        (3, b"/dubbo/a", b"2"),
        (4, b"/dubbo/a", b"1"),
        (5, b"/dubbo/a", b"2"),
    )
    assert judged(nodes, changes) == {("I1", "order")}


def test_a_value_that_the_node_never_had_is_seen() -> None:
    nodes = {"/dubbo/a": [(2, b"1"), (3, b"2")]}
    changes = mirrored((2, b"/dubbo/a", b"invented"), (3, b"/dubbo/a", b"2"))
    assert judged(nodes, changes) == {("I1", "order")}


def test_equal_values_are_matched_to_the_earliest_that_fits() -> None:
    nodes = {"/dubbo/a": [(2, b"same"), (3, b"x"), (4, b"same"), (5, b"y")]}
    changes = mirrored((2, b"/dubbo/a", b"same"), (3, b"/dubbo/a", b"x"), (4, b"/dubbo/a", b"same"))
    assert ("I1", "order") not in judged(nodes, changes)
    again = [*changes, (5, b"/dubbo/a", b"x"), (6, b"/dubbo/a", b"y")]
    assert judged(nodes, again) == {("I1", "order")}


def test_a_delete_of_a_node_that_was_always_there_is_seen() -> None:
    nodes = {"/dubbo/a": [(2, b"1"), (3, b"2")]}
    changes = mirrored((2, b"/dubbo/a", b"1"), (3, b"/dubbo/a", None), (4, b"/dubbo/a", b"2"))
    assert judged(nodes, changes) == {("I2", "absence")}


def test_a_delete_before_the_node_went_is_seen() -> None:
    """ZooKeeper deleted it at second 1,500, etcd at second 1,000.03."""
    nodes = {"/dubbo/a": [(2, b"1"), (1500, None)]}
    changes = mirrored((2, b"/dubbo/a", b"1"), (3, b"/dubbo/a", None), zxid=0xFFFF)
    assert judged(nodes, changes) == {("I2", "absence")}


def test_a_second_delete_needs_a_second_absence() -> None:
    nodes = {"/dubbo/a": [(2, b"1"), (3, None), (4, b"2")]}
    changes = mirrored(
        *[(2, b"/dubbo/a", b"1"), (3, b"/dubbo/a", None), (4, b"/dubbo/a", b"2")],
        *[(5, b"/dubbo/a", None), (6, b"/dubbo/a", b"2")],
    )
    assert judged(nodes, changes) == {("I2", "absence")}


def test_what_the_test_tampered_with_may_be_put_right() -> None:
    nodes: Nodes = {"/dubbo/a": [(2, b"1")], "/dubbo/b": [(3, b"1"), (4, None)]}
    tampered: list[Change] = [
        *[(3, b"/dubbo/a", b"bad"), (3, b"/dubbo/b", b"bad"), (3, b"/dubbo/never", b"bad")],
        *[(4, b"/dubbo/a", b"1"), (4, b"/dubbo/b", None), (4, b"/dubbo/never", None)],
    ]
    changes = mirrored((2, b"/dubbo/a", b"1"), *tampered)
    assert judged(nodes, changes, foreign=[3]) == set()
    assert ("I1", "order") in judged(nodes, changes)


@pytest.mark.parametrize("key", [b"/dubbo2", b"/dubbo-x", b"/dubbo/config/x", b"/services/a", b"x"])
def test_a_key_outside_the_ranges_is_seen(key: bytes) -> None:
    nodes: Nodes = {"/services/a": [(2, b"1"), (3, None)], "/dubbo/config/x": [(4, b"1")]}
    assert judged(nodes, mirrored((2, key, b"1"))) == {("I3", "inside")}
    assert ("I3", "inside") in judged(nodes, mirrored((2, key, None)))


def test_a_foreign_key_that_is_touched_is_seen() -> None:
    put: Change = (2, b"/dubbo//x", b"1")
    kept = {b"/dubbo//x": b"1"}
    assert judged({}, mirrored(put), foreign=[2], kept=kept) == set()
    gone = mirrored(put, (3, b"/dubbo//x", None))
    assert ("I3", "foreign") in judged({}, gone, foreign=[2], kept=kept)


def test_sides_that_differ_in_the_end_are_seen() -> None:
    nodes = {"/dubbo/a": [(2, b"1"), (3, b"2")]}
    assert judged(nodes, mirrored((2, b"/dubbo/a", b"1"))) == {("I4", "equal")}
    assert judged(nodes, mirrored()) == {("I4", "equal")}


def test_what_zookeeper_did_after_the_mirror_was_stopped_may_be_missing() -> None:
    nodes: Nodes = {"/dubbo/a": [(1, b"1"), (2, b"2"), (5, None)]}
    before = mirrored((2, b"/dubbo/a", b"1"), (3, b"/dubbo/a", b"2"))
    assert judged(nodes, before, settled=4) == set()
    assert judged(nodes, [*before, (4, b"/dubbo/a", None)], settled=4) == set()
    assert judged(nodes, before[:-1], settled=4) == {("I4", "equal")}
    assert judged(nodes, before, settled=5) == {("I4", "equal")}


def test_a_write_to_a_shard_that_nobody_owns_is_seen() -> None:
    nodes = {"/dubbo/a": [(2, b"1")]}
    unowned: list[Change] = [(1, CHECKPOINT, checkpoint(9, 1)), (2, b"/dubbo/a", b"1")]
    assert ("I5", "owned") in judged(nodes, unowned)
    let_go = mirrored((2, OWNER, None), (3, b"/dubbo/a", b"1"))
    assert judged(nodes, let_go) == {("I5", "owned")}


def test_a_write_under_another_token_than_the_owners_is_seen() -> None:
    nodes = {"/dubbo/a": [(2, b"1")]}
    changes = mirrored((2, OWNER, owner()), (3, b"/dubbo/a", b"1"))
    assert judged(nodes, changes) == {("I5", "token")}
    bare = mirrored((2, CHECKPOINT, checkpoint(0x100)), (2, b"/dubbo/a", b"1"))
    assert judged(nodes, bare) == {("I5", "token")}
    renewed = mirrored(
        (2, OWNER, owner()), (3, CHECKPOINT, checkpoint(0xFF, 2)), (3, b"/dubbo/a", b"1")
    )
    assert judged(nodes, renewed) == set()


def test_an_owner_key_without_a_lease_is_seen() -> None:
    nodes: Nodes = {"/dubbo/a": [(2, b"1")]}
    assert judged(nodes, mirrored((2, b"/dubbo/a", b"1")), lease=0) == {("I5", "leased")}


def test_a_checkpoint_below_what_was_written_is_seen() -> None:
    nodes = {"/dubbo/a": [(0x20, b"1")]}
    changes = mirrored((2, b"/dubbo/a", b"1"), zxid=0x1F)
    assert judged(nodes, changes) == {("I1", "checkpoint")}
    assert judged(nodes, mirrored((2, b"/dubbo/a", b"1"), zxid=0x20)) == set()


@pytest.mark.parametrize("value", [checkpoint(0xFE, 1), None, b"nonsense"])
def test_a_checkpoint_that_falls_is_seen(value: bytes | None) -> None:
    assert judged({}, mirrored((2, CHECKPOINT, value))) == {("I1", "rising")}


def trip(*paths: str) -> bytes:
    return json.dumps({"v": 1, "trip": {"id": "t", "sample": paths}}).encode()


def test_a_delete_of_what_the_guard_holds_is_seen() -> None:
    nodes: Nodes = {"/dubbo/a": [(2, b"1"), (3, None)]}
    held = mirrored((2, b"/dubbo/a", b"1"), (3, GUARD, trip("/dubbo/a")), (4, b"/dubbo/a", None))
    assert judged(nodes, held) == {("I2", "guard")}
    assert judged(nodes, held, released={"other": 1000.0}) == {("I2", "guard")}
    assert judged(nodes, held, released={"t": 1000.035}) == set()
    over = mirrored(
        *[(2, b"/dubbo/a", b"1"), (3, GUARD, trip("/dubbo/a"))],
        *[(4, GUARD, None), (5, b"/dubbo/a", None)],
    )
    assert judged(nodes, over) == set()


def test_a_delete_seen_live_is_not_held() -> None:
    """The node came back and went again; or one above it went."""
    held: list[Change] = [(2, b"/dubbo/a", b"1"), (3, GUARD, trip("/dubbo/a"))]
    back: Nodes = {"/dubbo/a": [(2, b"1"), (3, None), (1001, b"2"), (1002, None)]}
    changes = mirrored(*held, (200, b"/dubbo/a", b"2"), (300, b"/dubbo/a", None), zxid=0xFFFF)
    assert judged(back, changes) == set()
    above: Nodes = {"/dubbo/a": [(2, b"1"), (3, None)], "/dubbo": [(1, b""), (1002, None)]}
    changes = mirrored((2, b"/dubbo", b""), *held, (300, b"/dubbo/a", None), (301, b"/dubbo", None))
    assert judged(above, changes) == set()


def test_a_trip_that_is_put_again_is_as_old_as_it_was() -> None:
    """A restored etcd had lost it; what was seen live since it was found is no breach."""
    again = json.loads(trip("/dubbo/a"))
    again["trip"]["since"] = 998.0
    held = mirrored(
        *[(2, b"/dubbo/a", b"1"), (3, GUARD, json.dumps(again).encode())], (40, b"/dubbo/a", None)
    )
    live: Nodes = {"/dubbo/a": [(2, b"1"), (998, None)]}
    assert judged(live, held) == set()
    before: Nodes = {"/dubbo/a": [(2, b"1"), (996, None)]}
    assert judged(before, held) == {("I2", "guard")}


def test_a_delete_while_the_walk_was_under_way_is_not_held() -> None:
    """The walk missed the node, and an event told why."""
    held = mirrored((2, b"/dubbo/a", b"1"), (3, GUARD, trip("/dubbo/a")), (40, b"/dubbo/a", None))
    gone: Nodes = {"/dubbo/a": [(2, b"1"), (999, None)]}
    assert judged(gone, held) == {("I2", "guard")}, "a second before the trip, and more"
    live: Nodes = {"/dubbo/a": [(2, b"1"), (1000, None)]}
    assert judged(live, held) == set()


def test_what_is_found_names_the_key_and_both_histories() -> None:
    history = {"/dubbo/a": [txnlog.Entry(0x2, 0.0, b"one"), txnlog.Entry(0x3, 0.0, b"two")]}
    events = [
        watcher.Event(7, b"/dubbo/a", b"two", 1.0),
        watcher.Event(8, b"/dubbo/a", b"one", 1.0),
    ]
    found = next(oracle.order(oracle.Case(PREFIXES, STATE, history, events)))
    for part in ("I1", "/dubbo/a", "revision 8", "7=two", "8=one", "0x2=one", "0x3=two"):
        assert part in str(found)


@pytest.mark.parametrize(
    ("late", "fires"),
    [
        ((13, b"/dubbo/a", b"2"), True),
        ((13, CHECKPOINT, checkpoint(0xFF, 1)), True),
        ((13, GUARD, b"{}"), True),
        ((13, f"{STATE}/owners/services-0".encode(), b'{"target": "/mirror/services"}'), False),
        ((13, f"{STATE}/checkpoints/services-0".encode(), checkpoint(2, 1)), False),
        ((12, b"/dubbo/a", b"2"), False),
        ((16, b"/dubbo/a", b"2"), False),
    ],
)
def test_nothing_of_a_paused_shard_is_written(late: Change, fires: bool) -> None:
    """Marks that were put twice, since the first went unanswered, leave the narrower time."""
    begin, end = (oracle.pause_mark(0, which) for which in ("begin", "end"))
    marks: list[Change] = [(11, begin, b""), (12, begin, b""), (15, end, b""), (17, end, b"")]
    changes = sorted([*mirrored((10, b"/dubbo/a", b"1")), *marks, late])
    nodes: Nodes = {"/dubbo/a": [(1, b"1"), (2, b"2")]}
    foreign = [revision for revision, *_ in marks if revision != late[0]]
    found = judged(nodes, changes, foreign=foreign, pauses=[(PREFIXES[0], "dubbo-0")])
    assert (("I5", "paused") in found) is fires


def test_a_pause_that_a_restore_of_etcd_took_away_is_not_judged() -> None:
    """Its mark is gone with it, and the supervisor puts both of its own keys anew."""
    begin, end = (oracle.pause_mark(0, which) for which in ("begin", "end"))
    era = watcher.ERA
    marks: list[Change] = [(12, begin, b""), (era, begin, None), (era + 9, end, b"")]
    changes = [*mirrored((10, b"/dubbo/a", b"1")), *marks]
    changes.insert(-1, (era + 5, CHECKPOINT, checkpoint(0xFF, 1)))
    foreign = [revision for revision, *_ in marks]
    nodes: Nodes = {"/dubbo/a": [(1, b"1")]}
    found = judged(nodes, changes, foreign=foreign, pauses=[(PREFIXES[0], "dubbo-0")])
    assert ("I5", "paused") not in found


@pytest.mark.parametrize("lost", [True, False])
def test_a_pause_that_was_taken_away_before_its_mark_is_not_judged(lost: bool) -> None:
    """It was said, etcd was put back, and only then the mark was put: the shard pauses anew."""
    begin, end = (oracle.pause_mark(0, which) for which in ("begin", "end"))
    pause, era = f"{STATE}/pauses/dubbo-0".encode(), watcher.ERA
    changes: list[Change] = [*mirrored((10, b"/dubbo/a", b"1")), (11, pause, b"{}")]
    changes += [(era, pause, None if lost else b"{}"), (era + 2, begin, b"")]
    changes += [(era + 5, CHECKPOINT, checkpoint(0xFF, 1)), (era + 9, end, b"")]
    found = judged(
        {"/dubbo/a": [(1, b"1")]},
        changes,
        foreign=[era + 2, era + 9],
        pauses=[(PREFIXES[0], "dubbo-0")],
        restored=[era],
    )
    assert (("I5", "paused") in found) is not lost


def test_a_write_under_another_bucket_s_token_is_seen() -> None:
    """ "a" is of bucket 1 of 2; bucket 0 is owned as well, and its checkpoint is right."""
    split = (oracle.Prefix("/dubbo", "/dubbo", buckets=2),)
    history = {"/dubbo/a": [txnlog.Entry(2, 2.0, b"1")]}
    other, its = OWNER.replace(b"-0", b"-1"), CHECKPOINT.replace(b"-0", b"-1")
    taken = [(1, OWNER, owner(bucket=0, buckets=2)), (2, other, owner(bucket=1, buckets=2))]
    for key, token, fired in ((its, 2, set()), (CHECKPOINT, 1, {"token", "checkpoint"})):
        changes = [*taken, (3, key, checkpoint(9, token)), (3, b"/dubbo/a", b"1")]
        events = [watcher.Event(at, name, value, 1000.0 + at, 1) for at, name, value in changes]
        found = oracle.judge(oracle.Case(split, STATE, history, events))
        assert {each.check for each in found} == fired


@pytest.mark.parametrize(
    ("parts", "fires"),
    [
        (((0, 2), (1, 2)), False),
        (((0, 2), (0, 1)), True),
        (((1, 2), (1, 3)), True),
        (((1, 2), (1, 2)), True),
    ],
)
def test_two_owners_of_one_key_are_seen(
    parts: tuple[tuple[int, int], tuple[int, int]], fires: bool
) -> None:
    other = OWNER.replace(b"-0", b"-1")
    (bucket, buckets), (second, of) = parts
    taken = [(1, OWNER, owner(bucket=bucket, buckets=buckets))]
    assert judged({}, [*taken, (2, other, owner(bucket=second, buckets=of))]) == (
        {("I5", "apart")} if fires else set()
    )
    let_go = [*taken, (2, OWNER, None), (3, other, owner(bucket=second, buckets=of))]
    assert judged({}, let_go) == set()


def test_what_one_split_held_is_held_by_the_next_until_its_own_trip_is_released() -> None:
    """The next split goes on under an owner of its own, and its trip is released or not."""
    nodes: Nodes = {"/dubbo/a": [(2, b"1"), (3, None)]}
    other, its = OWNER.replace(b"-0", b"-1"), CHECKPOINT.replace(b"-0", b"-1")
    guard = GUARD.replace(b"-0", b"-1")
    changes = mirrored(
        (2, b"/dubbo/a", b"1"),
        (3, GUARD, trip("/dubbo/a")),
        (4, OWNER, None),
        (5, other, owner(bucket=1, buckets=2)),
        (6, its, checkpoint(0xFF, 5)),
        (7, guard, trip("/dubbo/a").replace(b'"t"', b'"t2"')),
        (300, b"/dubbo/a", None),
    )
    assert judged(nodes, changes) == {("I2", "guard")}
    assert judged(nodes, changes, released={"t2": 1000.5}) == set()
