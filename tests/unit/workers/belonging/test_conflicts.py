"""Which nodes have a stranger's key in their place: met live, and by walks that see the past."""

from __future__ import annotations

import pytest

from zk2etcd.logs import logger
from zk2etcd_workers.belonging import conflicts

LOG = logger.get()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> conflicts.Conflicts:
    """Three are kept by name; b"/d" is known by its hash."""
    monkeypatch.setattr(conflicts, "_KEPT", 3)
    found = conflicts.Conflicts()
    found.add([b"/a", b"/b", b"/c", b"/d"], LOG)
    return found


def named(found: conflicts.Conflicts) -> list[bytes]:
    return [path for path in (b"/a", b"/b", b"/c", b"/d", b"/e") if found.has(path)]


def test_a_base_tells_what_there_is(known: conflicts.Conflicts) -> None:
    walk = conflicts.Found(known, LOG)
    walk.saw([b"/b", b"/d"])
    assert len(known) == 4, "until it has ended"
    known.add([b"/c"], LOG)  # Met while it went on.
    walk.ended()
    assert named(known) == [b"/b", b"/c", b"/d"]
    walk = conflicts.Found(known, LOG)
    walk.saw([b"/e"])
    walk.ended()
    assert (named(known), len(known)) == ([b"/e"], 1)


def test_a_full_sync_doubts_what_it_sees(known: conflicts.Conflicts) -> None:
    doubted: list[bytes] = []
    walk = conflicts.Found(known, LOG, doubted.extend)
    walk.saw([b"/a", b"/d", b"/e"])
    assert doubted == [b"/e"], "it may be ours by now"
    known.discard(b"/b")
    known.add([b"/b"], LOG)  # Told live, of later than what it sees.
    walk.ended()
    assert doubted == [b"/e", b"/c"]
    assert named(known) == [b"/a", b"/b", b"/c", b"/d"]
    assert not walk.is_unsure


def test_those_without_a_name_end_with_the_walk(known: conflicts.Conflicts) -> None:
    """Which of them are ours by now nobody can say."""
    walk = conflicts.Found(known, LOG, lambda _: None)
    walk.saw([b"/a", b"/b", b"/c"])
    walk.ended()
    assert walk.is_unsure
    assert named(known) == [b"/a", b"/b", b"/c"]
