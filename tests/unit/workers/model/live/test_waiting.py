from __future__ import annotations

from zk2etcd_workers.model import tree
from zk2etcd_workers.model.live import waiting

GRACE = 10.0


def _node(path: bytes, owner: int = 7) -> tree.Node:
    return tree.Node(path, b"", 1, 1, 0, owner, 0)


def _of(*ephemerals: bytes) -> waiting.Waiting:
    made = waiting.Waiting()
    made.saw([_node(path) for path in ephemerals], GRACE)
    return made


def test_only_what_ends_with_its_session_waits() -> None:
    wait = _of(b"/e")
    wait.saw([_node(b"/p", owner=0), None], GRACE)
    assert wait.goes(b"/e", 0.0, GRACE)
    assert not wait.goes(b"/p", 0.0, GRACE)
    assert not wait.goes(b"/never-seen", 0.0, GRACE)


def test_one_that_was_made_anew_to_stay_does_not_wait() -> None:
    wait = _of(b"/e")
    wait.saw([_node(b"/e", owner=0)], GRACE)
    assert not wait.goes(b"/e", 0.0, GRACE)


def test_it_waits_once_from_when_it_was_first_seen_to_go() -> None:
    wait = _of(b"/e")
    assert wait.goes(b"/e", 0.0, GRACE)
    assert wait.goes(b"/e", 9.0, GRACE)  # told of again: its parent went, say
    assert wait.due(9.9) == []
    assert wait.next(9.0) == 1.0
    assert wait.due(10.0) == [b"/e"]
    assert wait.due(10.0) == []
    assert wait.next(10.0) is None
    assert not wait.goes(b"/e", 10.0, GRACE)


def test_one_that_is_back_has_nothing_to_wait_for() -> None:
    wait = _of(b"/e", b"/f")
    wait.goes(b"/e", 0.0, GRACE)
    wait.back(b"/e")
    assert not wait.waits(b"/e")
    assert wait.due(20.0) == []
    # Also one that was due, and came back before it was read again: it waits anew.
    wait.goes(b"/f", 0.0, GRACE)
    wait.due(20.0)
    wait.back(b"/f")
    assert wait.goes(b"/f", 21.0, GRACE)


def test_what_was_written_waits_again_once_it_was_there_again() -> None:
    wait = _of(b"/e")
    wait.goes(b"/e", 0.0, GRACE)
    wait.due(10.0)
    wait.goes(b"/e", 10.0, GRACE)
    assert not wait.goes(b"/e", 11.0, GRACE)
    wait.saw([_node(b"/e")], GRACE)
    assert wait.goes(b"/e", 12.0, GRACE)


def test_a_walk_leaves_alone_only_what_was_seen_to_go() -> None:
    wait = _of(b"/seen", b"/unseen", b"/waits")
    wait.goes(b"/waits", 0.0, GRACE)
    assert wait.missed(b"/waits", 1.0, GRACE, live=False)
    assert wait.missed(b"/seen", 1.0, GRACE, live=True)
    assert not wait.missed(b"/unseen", 1.0, GRACE, live=False)
    assert not wait.missed(b"/unseen", 1.0, 0.0, live=True)


def test_a_person_is_waited_for_by_all() -> None:
    wait = _of(b"/e")
    wait.goes(b"/e", 0.0, GRACE)
    assert wait.paths == [b"/e"]
    assert wait.hold() == [b"/e"]
    assert wait.paths == [b"/e"]
    assert wait.keeps(b"/e")
    assert wait.keeps(b"/any")
    assert not wait.waits(b"/e")


def test_nothing_is_remembered_without_grace_or_once_forgotten() -> None:
    wait = waiting.Waiting()
    wait.saw([_node(b"/e")], 0.0)
    assert not wait.goes(b"/e", 0.0, GRACE)
    wait = _of(b"/e")
    wait.goes(b"/e", 0.0, GRACE)
    wait.forget()
    assert not wait.keeps(b"/e")
    assert wait.goes(b"/e", 1.0, GRACE)  # what it is, is known still
