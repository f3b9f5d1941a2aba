"""What is asked for all shards at once, and which of them are woken by an answer."""

from __future__ import annotations

import dataclasses
import time
import types
from collections.abc import Sequence
from typing import Any, cast

import pytest

from zk2etcd import errors
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.model import pacing, tree
from zk2etcd_workers.ownership import acknowledged, fence, records
from zk2etcd_workers.rounds import rounds, seat
from zk2etcd_workers.zookeeper import reply as replies, session as sessions
from zk2etcd_workers.zookeeper.classic import watches

KEYS = records.Keys("zk2etcd/test")


class ZooKeeper:
    """Answers everything as it should, but for `roots`, and watches that are `gone`."""

    def __init__(self) -> None:
        self.epoch, self.connected, self.may_check_watches = 3, True, True
        self.request_size = pacing.RequestSize()
        self.roots: dict[bytes, Any] = {}
        self.gone: set[bytes] = set()
        self.listed: dict[bytes, watches.Lists] = {}
        self.asked: list[tuple[str, Any]] = []

    def sync(self, root: bytes, sink: replies.ReplySink, tag: Any) -> None:
        self._answer("sync", root, sink, tag, [], [])

    def look(self, paths: Sequence[bytes], sink: replies.ReplySink, tag: Any) -> None:
        found = [self.roots.get(path, node(path)) for path in paths]
        self._answer("look", paths, sink, tag, [(4, path) for path in paths], found)

    def check_watch(self, root: bytes, sink: replies.ReplySink, tag: Any) -> None:
        self._answer("check", root, sink, tag, [], [] if root in self.gone else [True])

    def lists(self, root: bytes, epoch: int) -> watches.Lists | None:
        return self.listed.get(root, watches.Lists(0, 0)) if epoch == self.epoch else None

    def _answer(
        self, what: str, about: Any, sink: replies.ReplySink, tag: Any, ops: Any, found: Any
    ) -> None:
        self.asked.append((what, about))
        sink(replies.Reply(ops, tag, self.epoch, 7, found, None))


class Etcd:
    """Has what `kvs` says; `silent`: answers nothing."""

    def __init__(self) -> None:
        self.rollbacks, self.silent = 0, False
        self.kvs: dict[bytes, wire.Present] = {}
        self.txns: list[wire.Txn] = []

    def txn_soon(self, txn: wire.Txn, done: etcd.Done) -> None:
        self.txns.append(txn)
        if self.silent:
            done(None, errors.EtcdUnavailable("no answer"))
            return
        found = [[kv for kv in self.kvs.values() if within(kv.key, op)] for op in txn.success]
        answer = types.SimpleNamespace(
            kvs=found.__getitem__, revision=99, signature=lambda: [repr(each) for each in found]
        )
        done(cast(wire.Answer, answer), None)


class Fresh:
    """In the place of a shard's freshness."""

    def __init__(self) -> None:
        self.is_blind = False
        self.synced: list[float] = []
        self.clean: list[int] = []
        self.etcd: list[float] = []
        self.round_etcd_answered = self.etcd.append

    def round_synced(self, sent: float, zxid: int) -> None:
        self.synced.append(sent)
        self.clean.append(zxid)


def within(key: bytes, op: Any) -> bool:
    return bool(op.key <= key < op.end if op.end else key == op.key)


def node(path: bytes, size: int = 1) -> tree.Node:
    return tree.Node(path, b"x" * size, 1, 1, 1, 0, 0, 1, 1)


class World:
    def __init__(self, count: int) -> None:
        self.zk, self.etcd = ZooKeeper(), Etcd()
        self.lease = types.SimpleNamespace(check=lambda: None)
        self.inboxes: list[list[Any]] = [[] for _ in range(count)]
        self.seats = [self._seat(number) for number in range(count)]
        self.rounds = rounds.Rounds(
            cast(sessions.Session, self.zk),
            cast(etcd.Client, self.etcd),
            KEYS,
            cast(leases.Lease, self.lease),
            10.0,
        )
        self.rounds._thread = cast(Any, object())  # this test's own thread turns it
        for each in self.seats:
            self.rounds.join(each)
        self.fresh = [cast(Fresh, each._freshness) for each in self.seats]

    def _seat(self, number: int) -> seat.Seat:
        name, root = f"s{number:03d}", b"/s%03d" % number
        owned = fence.Fence.__new__(fence.Fence)
        owned._key, owned._checkpoint = KEYS.owner(name), KEYS.checkpoint(name)
        owned.token, owned.mark = 50, acknowledged.Mark(b"01", 60)
        self.etcd.kvs[owned._key] = wire.Present(owned._key, b"", 50)
        self.etcd.kvs[owned._checkpoint] = wire.Present(owned._checkpoint, b"01", 60)
        ctx = types.SimpleNamespace(
            root=root,
            epoch=3,
            dry_run=False,
            watch_told=True,
            watched_at=float(number),
            fence=owned,
            etcd=self.etcd,
            session=self.zk,
        )
        untold = types.SimpleNamespace(awaits_sync=False, awaits_etcd=False, compares=False)
        inbox = self.inboxes[number].append
        return seat.Seat(cast(Any, ctx), cast(Any, Fresh()), cast(Any, untold), inbox)

    def turn(self) -> None:
        """One round, with all answers to it."""
        self.rounds._of_zookeeper.due = self.rounds._of_etcd.due = 0.0
        self.rounds._once(1.0)
        while not self.rounds._answers.empty():
            self.rounds._hear()

    def woken(self) -> list[int]:
        return [number for number, inbox in enumerate(self.inboxes) if inbox]


@pytest.mark.parametrize("count", [1, 40, 41, 300])
def test_quiet_shards_are_fresh_and_nobody_is_woken(count: int) -> None:
    world = World(count)
    world.turn()
    world.turn()
    assert world.woken() == []
    assert all(len(each.synced) == 2 and len(each.etcd) == 2 for each in world.fresh)
    assert all(each.revision == 99 for each in world.seats)
    assert len(world.etcd.txns) == 2
    assert [what for what, _ in world.zk.asked].count("sync") == 2
    assert len(world.zk.asked) < 8 + count / 8
    roots = [path for what, paths in world.zk.asked if what == "look" for path in paths]
    assert sorted(roots) == sorted(2 * [each.ctx.root for each in world.seats])


def test_what_a_sync_proves_clean_is_not_being_compared() -> None:
    world = World(2)
    world.turn()
    cast(Any, world.seats[1]._untold).compares = True
    world.turn()
    assert [each.clean for each in world.fresh] == [[7, 7], [7, 0]]
    assert all(len(each.synced) == 2 for each in world.fresh)


def test_nothing_is_fresh_while_a_list_that_changed_before_is_still_to_be_read() -> None:
    world = World(1)
    (fresh,) = world.fresh
    world.zk.listed = {b"/s000": watches.Lists(changes=5, told=4)}
    world.turn()
    world.turn()
    assert (fresh.synced, fresh.clean) == ([], [])
    # The fifth has been read, and a sixth is to be: so it goes on where lists change all the time.
    sent = time.time()
    world.zk.listed = {b"/s000": watches.Lists(changes=6, told=5)}
    world.turn()
    assert fresh.clean == [7]
    assert fresh.synced[0] < sent
    world.zk.listed = {b"/s000": watches.Lists(changes=6, told=6)}
    world.turn()
    assert fresh.clean == [7, 7]
    assert fresh.synced[1] > sent


def test_a_root_that_may_not_be_read_is_its_shard_s_news_and_not_fresh() -> None:
    world = World(5)
    world.zk.roots[b"/s002"] = tree.Miss.NO_AUTH
    world.turn()
    assert world.woken() == [2]
    assert world.inboxes[2] == [seat.Root(tree.Miss.NO_AUTH)]
    assert [len(each.synced) for each in world.fresh] == [1, 1, 0, 1, 1]
    world.fresh[2].is_blind = True
    world.turn()
    assert len(world.inboxes[2]) == 1
    del world.zk.roots[b"/s002"]
    world.turn()
    assert isinstance(world.inboxes[2][1].node, tree.Node)
    assert world.fresh[2].synced == []


def test_when_the_oldest_watch_is_gone_so_are_all_and_none_is_fresh() -> None:
    world = World(50)
    world.zk.gone = {b"/s000"}
    world.turn()
    assert world.woken() == list(range(50))
    assert all(isinstance(inbox[0], errors.PutBack) for inbox in world.inboxes)
    assert len({id(inbox[0]) for inbox in world.inboxes}) == 50
    assert not any(each.synced for each in world.fresh)


def test_each_watch_is_asked_for_in_its_turn() -> None:
    world = World(6)
    for _ in range(6):
        world.turn()
    assert {root for what, root in world.zk.asked if what == "check"} == {
        each.ctx.root for each in world.seats
    }


@pytest.mark.parametrize("count", [5, 60])
def test_a_shard_that_was_taken_is_told_and_the_others_are_not(count: int) -> None:
    world = World(count)
    taken = world.seats[3].ctx.fence
    world.etcd.kvs[taken._key] = wire.Present(taken._key, b"", 51)
    world.turn()
    assert world.woken() == [3]
    with pytest.raises(errors.Fenced):
        taken.check(world.inboxes[3][0].standing)
    assert world.fresh[3].etcd == []


@pytest.mark.parametrize("count", [5, 60])
def test_a_checkpoint_that_went_back_is_told(count: int) -> None:
    world = World(count)
    lost = world.seats[3].ctx.fence
    world.etcd.kvs[lost._checkpoint] = wire.Present(lost._checkpoint, b"01", 59)
    world.turn()
    assert world.woken() == [3]
    with pytest.raises(errors.RolledBack):
        lost.check(world.inboxes[3][0].standing)


def test_a_silent_etcd_a_worn_lease_and_an_etcd_put_back_are_everybody_s() -> None:
    world = World(3)
    world.etcd.silent = True
    world.turn()
    assert [inbox[0].standing.answer for inbox in world.inboxes] == [None] * 3
    for inbox in world.inboxes:
        inbox.clear()

    def worn() -> None:
        raise errors.LeaseDoubt("old")

    world.etcd.silent, world.lease.check = False, worn
    world.turn()
    assert world.inboxes == [[None]] * 3
    world.lease.check, world.etcd.rollbacks = (lambda: None), 1
    world.turn()
    assert world.inboxes == [[None, None]] * 3


def test_of_another_connection_nothing_is_asked_nor_believed() -> None:
    world = World(3)
    world.seats[1].epoch = 2
    world.turn()
    assert [len(each.synced) for each in world.fresh] == [1, 0, 1]


def test_large_roots_are_read_now_and_then_and_not_together() -> None:
    world = World(30)
    for each in world.seats:
        world.zk.roots[each.ctx.root] = node(each.ctx.root, 300_000)
    for _ in range(20):
        world.turn()
    reads = [paths for what, paths in world.zk.asked if what == "look"]
    assert sum(map(len, reads)) <= 30 * 3
    assert all(len(paths) <= 16 for paths in reads)
    assert max(map(len, reads[3:])) <= 2


def test_with_fewer_operations_in_a_txn_all_keys_are_read() -> None:
    world = World(5)
    answered = world.etcd.txn_soon

    def refuses(txn: wire.Txn, done: etcd.Done) -> None:
        if len(txn.success) > 3:
            done(None, errors.TooManyOperations("too many operations in txn request"))
        else:
            answered(txn, done)

    world.etcd.txn_soon = refuses  # type: ignore[method-assign]
    world.turn()
    world.turn()
    assert world.woken() == []
    assert all(len(each.etcd) == 1 for each in world.fresh)


def test_seats_know_what_follows_is_told_of() -> None:
    world = World(2)
    world.seats[1]._untold = cast(
        Any, types.SimpleNamespace(awaits_sync=True, awaits_etcd=True, compares=False)
    )
    world.turn()
    told = world.inboxes[1]
    assert seat.Synced(7) in told
    assert [dataclasses.is_dataclass(each) or type(each) for each in told].count(seat.Looked) == 1


@pytest.mark.parametrize("count", [5, 60])
def test_what_is_as_it_was_is_not_judged_again_and_what_is_not_is(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[object] = []
    among = fence.Fence.among

    def counted(self: fence.Fence, *given: Any) -> fence.Seen:
        judged.append(self)
        return among(self, *given)

    monkeypatch.setattr(fence.Fence, "among", counted)
    world = World(count)
    for _ in range(3):
        world.turn()
    assert len(judged) == count
    assert all(len(each.etcd) == 3 for each in world.fresh)
    owned = cast(Any, world.seats[2].ctx.fence)
    owned.token = 51  # It has another token, and etcd still says what it said.
    world.turn()
    assert (len(judged), world.woken()) == (2 * count, [2])
    world.turn()
    assert len(judged) == 3 * count, "what was not well is looked at again"
    owned.token = 50
    world.turn()
    del world.etcd.kvs[cast(Any, world.seats[1].ctx.fence)._checkpoint]
    world.turn()
    assert world.woken() == [1, 2]
    assert world.seats[0].revision == 99


def test_who_waits_for_the_answer_itself_gets_it_though_all_is_as_it_was() -> None:
    world = World(3)
    world.turn()
    cast(Any, world.seats[1]._untold).awaits_etcd = True
    world.turn()
    assert world.woken() == [1]
    (looked,) = world.inboxes[1]
    assert looked.standing.answer.revision == 99
    assert [len(each.etcd) for each in world.fresh] == [2, 2, 2]
