"""Shards that start together see their roots together, and a walk makes use of it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st

from tests import walking
from tests.unit.workers import walks
from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd_workers.model import mapping, tree
from zk2etcd_workers.walk import glance
from zk2etcd_workers.zookeeper import protocol as wire, reply as replies, session as sessions

Asked = tuple[str, bytes]


class Session(walks.Session):
    """Answers at once, in order; knows watches and `sync`."""

    protocol: str | None = "bulk"
    may_check_watches = True

    def __init__(self, nodes: walks.Paths) -> None:
        super().__init__(nodes)
        self.asked: list[Asked] = []
        self.refuses: dict[bytes, errors.ZooKeeperError] = {}
        self.tells_watches: int | None = None
        self.lost_at = ""

    def watch(self, root: bytes, sink: replies.ReplySink) -> None:
        self._told("watch", root, sink, error=self.refuses.get(root))

    def sync(self, root: bytes, sink: replies.ReplySink) -> None:
        self._told("sync", root, sink)

    def check_watch(self, root: bytes, sink: replies.ReplySink) -> None:
        self._told("check", root, sink, [True])

    def read(self, ops: Sequence[wire.Op], *given: Any, **options: Any) -> None:
        self.asked += [("read", path) for _, path in ops]
        super().read(ops, *given, **options)
        while self.under_way:
            self.answer_one()

    def _told(
        self,
        what: str,
        root: bytes,
        sink: replies.ReplySink,
        results: Sequence[bool] = (),
        error: errors.ZooKeeperError | None = None,
    ) -> None:
        self.asked.append((what, root))
        self.zxid += 1
        sink(replies.Reply((), None, self.epoch, self.zxid, results, error))
        self.epoch += what == self.lost_at


def looking(session: Session, **options: Any) -> glance.Glances:
    given = connections.ZooKeeper(**options)
    return glance.Glances(cast(sessions.Session, session), given)


def seen(
    session: Session, shards: Sequence[mapping.Mapping], **options: Any
) -> list[glance.Seen | Exception]:
    """What shards get that ask at the same moment."""
    glances = looking(session, **options)
    answers: dict[int, glance.Seen | Exception] = {}

    def ask(at: int, shard: mapping.Mapping) -> None:
        try:
            answers[at] = glances.ask(glance.Wish(shard, 1))
        except errors.ZooKeeperError as error:
            answers[at] = error

    glances._together._first = 0.3
    threads = [threading.Thread(target=ask, args=each) for each in enumerate(shards)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return [answers[at] for at in range(len(shards))]


def forest(trees: int, children: int) -> tuple[walks.Paths, list[mapping.Mapping]]:
    roots = [f"/p{number}" for number in range(trees)]
    names = ["", *(f"/n{number}" for number in range(children))]
    nodes: walks.Paths = {(root + name).encode(): b"v" for root in roots for name in names}
    return nodes, [mapping.Mapping(root, root) for root in roots]


def test_all_is_asked_at_once_and_read_behind_the_watches_and_the_sync() -> None:
    nodes, shards = forest(5, 1)
    session = Session(nodes)
    (one, *others) = seen(session, shards)
    assert isinstance(one, glance.Seen)
    assert all(other == one for other in others)
    kinds = [kind for kind, _ in itertools.groupby(session.asked, lambda each: each[0])]
    assert kinds == ["watch", "sync", "check", "read"]
    roots, lists, *values = map(len, session.requests)
    assert (roots, lists, sum(values)) == (5, 5, 5)
    assert (one.since, one.zxid) == (106, session.zxid)
    assert session.tells_watches == 1
    assert session.budget.used == 0


@pytest.mark.parametrize("children", [0, 1, 7, 24, 25])
def test_a_walk_asks_for_nothing_that_was_seen(children: int) -> None:
    nodes, shards = forest(3, children)
    for path in list(nodes):
        nodes[path + b"/below"] = b"deep"
    session = Session(nodes)
    looks = seen(session, shards)
    for shard, look in zip(shards, looks, strict=True):
        assert isinstance(look, glance.Seen)
        session.requests.clear()
        emitted = walking.emitted(walks.walk(session, shard, seen=look), shard)
        whole = walking.emitted(walks.walk(walks.Session(nodes), shard), shard)
        assert emitted == whole
        asked = set(itertools.chain.from_iterable(session.requests))
        assert (wire.GET_DATA, shard.source) not in asked
        assert session.budget.used == 0


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_whatever_was_seen_a_walk_finds_the_same(families: list[int]) -> None:
    nodes: walks.Paths = {}
    for number, children in enumerate(families):
        for name in ("", *(f"/n{each}" for each in range(children))):
            nodes[f"/p{number}{name}".encode()] = b"v"
    shards = [mapping.Mapping(f"/p{number}", "/t") for number in range(len(families))]
    session = Session(nodes)
    look = glance._Look(cast(sessions.Session, session), looking(session)._ramp, 10.0)
    look.watch([shard.source for shard in shards])
    look.below(shards)
    for shard in shards:
        walk = walks.walk(session, shard, seen=glance.Seen(look.found, look.zxid))
        assert walking.emitted(walk, shard) == walking.emitted(
            walks.walk(walks.Session(nodes), shard), shard
        )
    assert session.budget.used == 0


def test_what_is_missing_or_may_not_be_read_is_not_seen() -> None:
    """Absence is a fact of a read of its own."""
    session = Session({b"/denied": tree.Miss.NO_AUTH})
    shards = [mapping.Mapping(root, root) for root in ("/denied", "/gone")]
    for look in seen(session, shards):
        assert isinstance(look, glance.Seen)
        assert not look.found


def test_what_is_excluded_is_not_read() -> None:
    nodes, _ = forest(1, 3)
    session = Session(nodes)
    seen(session, [mapping.Mapping("/p0", "/p0", exclude=("/p0/n1",))])
    assert ("read", b"/p0/n0") in session.asked
    assert ("read", b"/p0/n1") not in session.asked


def test_a_watch_that_is_refused_is_its_own_shard_s_alone() -> None:
    nodes, shards = forest(3, 1)
    session = Session(nodes)
    session.refuses[b"/p1"] = errors.ZooKeeperDenied("no")
    found = seen(session, shards)
    assert [type(each) for each in found] == [glance.Seen, errors.ZooKeeperDenied, glance.Seen]


@pytest.mark.parametrize("lost_at", ["watch", "sync", "check"])
def test_a_connection_that_was_lost_meanwhile_is_doubt_for_all(lost_at: str) -> None:
    nodes, shards = forest(3, 1)
    session = Session(nodes)
    session.lost_at = lost_at
    assert {type(each) for each in seen(session, shards)} == {errors.SessionDoubt}


def test_who_means_another_connection_is_told_so() -> None:
    nodes, shards = forest(1, 1)
    session = Session(nodes)
    session.epoch = 2
    (found,) = seen(session, shards)
    assert isinstance(found, errors.SessionDoubt)
    assert not session.asked


def test_a_server_that_said_yes_once_is_not_asked_again_on_that_connection() -> None:
    nodes, shards = forest(1, 1)
    session = Session(nodes)
    for expected in (1, 1):
        seen(session, shards)
        assert session.asked.count(("check", b"/p0")) == expected


def _classic(session: Session) -> None:
    session.protocol = "classic"


@pytest.mark.parametrize(
    ("change", "options", "serves"),
    [
        (lambda _: None, {}, True),
        (_classic, {}, False),
        (lambda _: None, {"max_reads_per_second": 10}, False),
    ],
)
def test_where_reads_set_watches_or_are_counted_each_asks_by_itself(
    change: Callable[[Session], None], options: dict[str, Any], serves: bool
) -> None:
    session = Session({})
    change(session)
    assert looking(session, **options).serves is serves


def test_what_there_are_no_permits_for_is_left_to_the_walk() -> None:
    nodes, shards = forest(4, 24)
    session = Session(nodes)
    session.budget.used = session.budget.walk - 20
    (look, *_) = seen(session, shards)
    assert isinstance(look, glance.Seen)
    assert {path for kind, path in look.found if kind == wire.GET_DATA} == {
        shard.source for shard in shards
    }
    assert session.budget.used == session.budget.walk - 20
