"""Which changes are ours: each stranger's is found, whatever comes first; ours are not, mostly."""

from __future__ import annotations

from hypothesis import given, strategies as st

from zk2etcd_workers.drift import ours


def change(revision: int, *keys: bytes) -> ours.Change:
    return ours.Change(revision, keys or (b"k%d" % revision,))


def test_ours_may_be_told_before_they_are_answered() -> None:
    known = ours.Ours()
    number = known.sent()
    assert not known.heard(change(10))
    assert not known.ended(number, 10)
    assert not known.heard(change(10))  # another part of it


def test_ours_may_be_answered_before_they_are_told() -> None:
    known = ours.Ours()
    known.ended(known.sent(), 10)
    assert not known.heard(change(10))


def test_a_strangers_is_found_at_once_where_nothing_is_under_way() -> None:
    assert ours.Ours().heard(change(7)) == [change(7)]


def test_a_strangers_waits_for_what_was_sent_before_and_for_no_more() -> None:
    known = ours.Ours()
    first = known.sent()
    assert not known.heard(change(11))
    second = known.sent()
    assert known.ended(first, 12) == [change(11)]
    assert not known.heard(change(12))
    assert not known.heard(change(13))
    assert not known.ended(second, 13)


def test_what_wrote_nothing_makes_nothing_ours() -> None:
    """It is answered with the revision of whoever wrote last."""
    known = ours.Ours()
    number = known.sent()
    known.heard(change(9))
    assert known.ended(number) == [change(9)]


def test_later_ones_of_ours_say_nothing_of_earlier_ones_of_strangers() -> None:
    known = ours.Ours()
    known.ended(known.sent(), 20)
    assert known.heard(change(15)) == [change(15)]
    assert not known.heard(change(20))


def test_nothing_of_an_earlier_watch_counts() -> None:
    """etcd may have been put back: the same revisions come a second time."""
    known = ours.Ours()
    known.ended(known.sent(), 10)
    known.forget(9)
    assert known.heard(change(10)) == [change(10)]


def test_a_watch_owes_nothing_from_before_it_began() -> None:
    known = ours.Ours()
    number = known.sent()
    known.forget(20)
    known.ended(number, 15, told=True, now=1.0)
    assert known.owed_since() is None


def test_what_was_told_is_forgotten() -> None:
    known = ours.Ours()
    for revision in range(1, 1000):
        known.ended(known.sent(), revision)
        known.heard(change(revision))
    assert len(known._known) <= 65


def test_what_is_held_has_a_bound() -> None:
    known = ours.Ours(most_held=100)
    number = known.sent()
    for revision in range(1, 50):
        known.heard(ours.Change(revision, [b"k"] * 10))
    assert known.overflows == 4
    assert len(known.ended(number, 1000)) == 5


class Told:
    """A change whose keys were not read yet."""

    size = 1

    def __init__(self, revision: int, reads: list[int]) -> None:
        self.revision, self._reads = revision, reads

    def read(self) -> ours.Change:
        self._reads.append(self.revision)
        return change(self.revision)


def test_our_own_are_not_read() -> None:
    known, reads = ours.Ours(), list[int]()
    known.ended(known.sent(), 5)
    assert not known.heard(Told(5, reads))
    number = known.sent()
    assert not known.heard(Told(6, reads))
    assert not known.ended(number, 6)
    assert reads == []
    assert known.heard(Told(7, reads)) == [change(7)]
    assert reads == [7]


def test_only_few_wait_with_the_values_that_were_told_with_them() -> None:
    known, reads = ours.Ours(), list[int]()
    number = known.sent()
    for revision in range(1, 101):
        known.heard(Told(revision, reads))
    assert reads == list(range(ours.MOST_UNREAD + 1, 101))
    found = known.ended(number, 1000)
    assert found == [change(revision) for revision in range(1, 101)]


def test_what_is_remembered_has_a_bound() -> None:
    """A watch that is dead tells of nothing, and nobody may remember all."""
    known = ours.Ours(most=10)
    for revision in range(1, 100):
        known.ended(known.sent(), revision)
    assert len(known._known) == 10
    assert not known.heard(change(99))
    assert known.heard(change(5)) == [change(5)]


def test_a_watch_that_does_not_tell_is_known() -> None:
    known = ours.Ours()
    assert known.owed_since() is None
    known.ended(known.sent(), 10, told=False, now=1.0)
    assert known.owed_since() is None
    known.ended(known.sent(), 11, told=True, now=2.0)
    known.ended(known.sent(), 12, told=True, now=3.0)
    assert known.owed_since() == 2.0
    known.heard(change(11))
    assert known.owed_since() == 3.0
    known.heard(change(12))
    assert known.owed_since() is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["send", "answer", "tell", "strange"]), st.integers(0, 5)),
    max_size=60,
)


@given(STEPS)
def test_each_strangers_is_found_once_and_ours_never(steps: list[tuple[str, int]]) -> None:
    """etcd carries Txns out in any order, tells of them in that order, whenever, and answers them
    in any other."""
    known, revision = ours.Ours(), 0
    under_way: list[tuple[int, int]] = []
    untold: list[ours.Change] = []
    strangers: list[ours.Change] = []
    found: list[ours.Change] = []
    for what, which in steps:
        if what == "send":
            revision += 1
            under_way.append((known.sent(), revision))
            untold.append(change(revision))
        elif what == "strange":
            revision += 1
            strangers.append(change(revision))
            untold.append(change(revision))
        elif what == "answer" and under_way:
            found += known.ended(*under_way.pop(which % len(under_way)))
        elif what == "tell" and untold:
            found += known.heard(untold.pop(0))
    while untold:
        found += known.heard(untold.pop(0))
    while under_way:
        found += known.ended(*under_way.pop())
    assert found == strangers
