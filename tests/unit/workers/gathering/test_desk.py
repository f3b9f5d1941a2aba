"""The desk of the worker that keeps the census, with a keeper that fails by a bug."""

from __future__ import annotations

import time
from multiprocessing import connection
from typing import Any, cast

from tests import polling
from zk2etcd import census, messages
from zk2etcd_workers.gathering import desk
from zk2etcd_workers.ownership import records


class Broken:
    """A client that fails at the keeper's first turn, and the lease beside it."""

    ttl = 10.0
    reads = 0

    @property
    def rollbacks(self) -> int:
        self.reads += 1
        if self.reads > 1:
            raise KeyError("a bug")
        return 0


def test_a_keeper_that_failed_by_a_bug_counts_as_one_that_hangs() -> None:
    """The supervisor ends the worker then, and starts another."""
    broken = cast(Any, Broken())
    held = desk.Desk(messages.Identity("i", "w0", 1, ""))
    assert held.age == 0.0
    held.begin(broken, records.Keys("zk2etcd/t"), broken, lambda: True)
    polling.until(lambda: held.age > 0.0, what="it has failed")
    held.end()
    assert held.age == 0.0


def test_who_waits_for_it_wakes_up_once_for_what_was_gathered_last() -> None:
    one = desk.Desk(messages.Identity("i", "w0", 1, ""))
    assert connection.wait([one.fileno()], 0) == []
    for revision in (5, 6):
        one._gathered(0, census.Census(revision, {}, {}), time.monotonic())
    assert connection.wait([one.fileno()], 0) == [one.fileno()]
    told = one.take(3)
    assert told is not None
    assert (told.found.revision, told.generation) == (6, 3)
    assert connection.wait([one.fileno()], 0) == []
    assert one.take(3) is None
    one.close()
    one._gathered(0, census.Census(7, {}, {}), time.monotonic())  # of a keeper that ends
