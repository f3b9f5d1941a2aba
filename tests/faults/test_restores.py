"""The oracle on histories that a restore broke off: what was lost may be held, and never quietly
regresses; what etcd lost is no one's write."""

from __future__ import annotations

import json

import pytest

from tests.faults import oracle, test_oracle, txnlog, watcher

KEY = b"/dubbo/a"
LOST: list[txnlog.Entry] = [
    txnlog.Entry(2, 2.0, b"1"),
    txnlog.Entry(3, 3.0, b"2"),
    txnlog.Entry(2, 1002.0, b"1", era=1, restored=True),
]
"""ZooKeeper was put back to the first state at second 1,002."""


def judged(
    states: list[txnlog.Entry],
    *changes: tuple[int, bytes, bytes | None],
    released: float | None = None,
    restored: list[watcher.Event] | None = None,
) -> set[str]:
    """The checks that fire; an event's revision is a hundredth of a second after 1,000."""
    events = [
        watcher.Event(revision, key, value, 1000.0 + revision / 100, 1)
        for revision, key, value in test_oracle.mirrored(*changes)
    ]
    case = oracle.Case(
        test_oracle.PREFIXES,
        test_oracle.STATE,
        {"/dubbo/a": states},
        sorted([*events, *(restored or [])], key=lambda event: event.revision),
        released={} if released is None else {"t": released},
        era=max(state.era for state in states),
    )
    return {each.check for each in oracle.judge(case)}


def trip(kind: str, *, lowers: bool = False) -> tuple[int, bytes, bytes]:
    document = {"v": 1, "trip": {"id": "t", "sample": [], "kind": kind}, "lowers": lowers}
    return 210, test_oracle.GUARD, json.dumps(document).encode()


def test_an_older_value_after_a_restore_needs_a_release() -> None:
    changes = [(2, KEY, b"1"), (3, KEY, b"2"), trip("identity"), (300, KEY, b"1")]
    assert judged(LOST, *changes) == {"regressed"}
    assert judged(LOST, *changes, released=1002.5) == set()
    assert judged(LOST, *changes, released=1003.5) == {"regressed"}, "released only afterwards"


def test_a_release_of_deletes_is_none_of_an_ensemble() -> None:
    changes = [(2, KEY, b"1"), (3, KEY, b"2"), trip("deletes"), (300, KEY, b"1")]
    assert judged(LOST, *changes, released=1002.5) == {"regressed"}


def test_what_was_never_mirrored_can_not_regress() -> None:
    assert judged(LOST, (2, KEY, b"1")) == set()


def test_a_lost_delete_that_is_undone_needs_a_release_too() -> None:
    states = [LOST[0], txnlog.Entry(3, 3.0, None), LOST[2]]
    changes = [(2, KEY, b"1"), (3, KEY, None), (300, KEY, b"1")]
    assert judged(states, *changes) == {"regressed"}


def test_what_somebody_wrote_again_since_is_no_regress() -> None:
    states = [LOST[0], txnlog.Entry(3, 3.0, None), LOST[2]]
    states += [txnlog.Entry(4, 1002.2, None, era=1), txnlog.Entry(5, 1002.8, b"1", era=1)]
    changes = [(2, KEY, b"1"), (3, KEY, None), (300, KEY, b"1")]
    assert judged(states, *changes) == set()
    states[-1] = states[-1]._replace(time=1005.0)
    assert judged(states, *changes) == {"regressed"}, "only later"


def test_a_lost_create_may_go() -> None:
    states = [txnlog.Entry(3, 3.0, b"2"), txnlog.Entry(0, 1002.0, None, era=1, restored=True)]
    assert judged(states, (2, KEY, b"2"), (300, KEY, None)) == set()
    assert judged(states, (2, KEY, b"2"), (100, KEY, None)) == {"absence"}, "before it was lost"


def test_what_is_new_after_a_restore_is_no_regress() -> None:
    states = [*LOST, txnlog.Entry(3, 1003.0, b"3", era=1)]
    assert judged(states, (2, KEY, b"1"), (3, KEY, b"2"), (400, KEY, b"3")) == set()


def test_the_end_is_that_of_the_last_history() -> None:
    """The new history's zxids are lower than those that were lost."""
    states = [*LOST[:2], txnlog.Entry(0, 1002.0, None, era=1, restored=True)]
    assert judged(states, (2, KEY, b"1"), (3, KEY, b"2")) == {"equal"}
    assert judged(states, (2, KEY, b"1"), (3, KEY, b"2"), (300, KEY, None)) == set()


@pytest.mark.parametrize(("lowers", "fires"), [(True, False), (False, True)])
def test_a_checkpoint_falls_only_where_a_release_lowers_it(lowers: bool, fires: bool) -> None:
    fall = (300, test_oracle.CHECKPOINT, test_oracle.checkpoint(0))
    changes = [(2, KEY, b"1"), (3, KEY, b"2"), trip("identity", lowers=lowers), fall]
    found = judged(LOST[:2], *changes, released=1002.5)
    assert found == ({"rising"} if fires else set())


def put_back(*changes: tuple[int, bytes, bytes | None]) -> list[watcher.Event]:
    """What a restore of etcd gave these keys, with their own revisions."""
    return [
        watcher.Event(watcher.ERA + revision, key, value, 1005.0, 1, restored=True)
        for revision, key, value in changes
    ]


def test_what_etcd_lost_is_written_again() -> None:
    again = watcher.ERA + 3
    states = LOST[:2]
    changes = [(2, KEY, b"1"), (3, KEY, b"2"), (again, KEY, b"2")]
    assert judged(states, *changes, restored=put_back((2, KEY, b"1"))) == set()
    assert judged(states, *changes[:2], restored=put_back((2, KEY, b"1"))) == {"equal"}


def test_a_checkpoint_that_etcd_lost_is_no_fall() -> None:
    old = test_oracle.checkpoint(0xF0, 1)
    lost = put_back((1, test_oracle.CHECKPOINT, old))
    up = (watcher.ERA + 9, test_oracle.CHECKPOINT, test_oracle.checkpoint(0xF1, 1))
    changes = [(2, KEY, b"1"), (3, KEY, b"2")]
    assert judged(LOST[:2], *changes, up, restored=lost) == set()
    down = (watcher.ERA + 9, test_oracle.CHECKPOINT, test_oracle.checkpoint(0xEF, 1))
    assert judged(LOST[:2], *changes, down, restored=lost) == {"rising"}


def test_a_token_that_came_back_is_that_of_its_time() -> None:
    """The owner key of revision 1 is restored; who writes under the later one is not the owner."""
    later = (2, test_oracle.OWNER, test_oracle.owner())
    lost = put_back((1, test_oracle.OWNER, test_oracle.owner()))
    raised = (3, test_oracle.CHECKPOINT, test_oracle.checkpoint(0xFF, 2))
    changes = [later, raised, (3, KEY, b"1"), (watcher.ERA + 5, KEY, b"2")]
    assert judged(LOST[:2], *changes, restored=lost) == {"token"}


def test_the_history_of_a_restored_ensemble() -> None:
    def put(zxid: int, path: str, value: str) -> txnlog.Record:
        body = b"".join(
            [len(path).to_bytes(4, "big"), path.encode(), len(value).to_bytes(4, "big")]
        )
        return txnlog.Record(zxid, 7, float(zxid), txnlog.SET_DATA, body + value.encode())

    before = [put(1, "/a", "1"), put(2, "/b", "1"), put(3, "/a", "2"), put(4, "/c", "1")]
    after = [*before[:2], put(3, "/d", "1"), put(4, "/b", "2")]
    history = txnlog.replay(after, [txnlog.Restore(before, 2, 9.0)])
    assert [(e.zxid, e.value, e.era, e.restored) for e in history["/a"]] == [
        (1, b"1", 0, False),
        (3, b"2", 0, False),
        (1, b"1", 1, True),
    ]
    assert [(e.value, e.era) for e in history["/b"]] == [(b"1", 0), (b"2", 1)]
    assert [(e.value, e.restored) for e in history["/c"]] == [(b"1", False), (None, True)]
    assert [(e.zxid, e.era) for e in history["/d"]] == [(3, 1)]
