"""Batches, groups and splits, against a store in memory with etcd's limits on a Txn."""

from __future__ import annotations

import dataclasses
import time
import types
from collections.abc import Callable, Sequence
from typing import Any, cast

import etcd3.etcdrpc as rpc
import pytest
from hypothesis import given, settings, strategies as st

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import client, limits as etcd_limits, wire
from zk2etcd_workers.model import mapping, paging, plan
from zk2etcd_workers.ownership import acknowledged, fence, records
from zk2etcd_workers.shard import apply

CHECKPOINT = b"zk2etcd/checkpoints/s"
OWNER = b"zk2etcd/owners/s"
TOKEN = 7
SHARD = mapping.Mapping("/s", "/s")


class Store:
    """An etcd that holds a dict: refuses as etcd does, and answers when told to."""

    def __init__(self, *, most_ops: int = 128, most_bytes: int = 10**9) -> None:
        self.most_ops, self.most_bytes = most_ops, most_bytes
        self.keys = {OWNER: b"me", CHECKPOINT: records.encode_zxid(0)}
        self.sent: list[wire.Txn] = []
        self.refused = 0
        self.under_way: list[Callable[[], None]] = []
        self.allowance: int | None = None
        self.learned = etcd_limits.Learned(connections.Etcd())
        self.learned.up.room = 4 * 1024 * 1024  # as it is found to be after a few answers

    def take(self, wanted: int) -> int:
        if self.allowance is None:
            return wanted
        granted = min(wanted, self.allowance)
        self.allowance -= granted
        return granted

    def txn_soon(self, txn: wire.Txn, done: client.Done) -> None:
        self.sent.append(txn)
        self.under_way.append(lambda: done(*self._carried_out(txn)))

    def _carried_out(self, txn: wire.Txn) -> tuple[wire.Answer | None, errors.EtcdError | None]:
        if not self._fits(txn, 0):
            self.refused += 1
            return None, errors.TooManyOperations("too many")
        if _size(txn) > self.most_bytes:
            self.refused += 1
            return None, errors.TooLarge("too large")
        response = rpc.TxnResponse()
        self._run(txn, response)
        return wire.Answer(response), None

    def applied(self, ops: Sequence[wire.Op]) -> wire.Answer:
        """In the second half of a Txn, behind another shard's operation."""
        answer, _ = self._carried_out(wire.Txn((), [wire.Range(OWNER), *ops]))
        assert answer is not None
        return answer.after(1)

    def _fits(self, txn: wire.Txn, outer: int) -> bool:
        """checkTxnRequest: the largest of the three lists, and inside an inner Txn the outer's
        count as well."""
        count = max(len(txn.compare), len(txn.success), len(txn.failure))
        if count > self.most_ops - outer:
            return False
        inner = [op for op in (*txn.success, *txn.failure) if isinstance(op, wire.Txn)]
        return all(self._fits(op, count) for op in inner)

    def _holds(self, compare: wire.Compare) -> bool:
        if compare.field == "value":
            value = self.keys.get(compare.key)
            return value is not None and value < cast(bytes, compare.operand)
        return (compare.key in self.keys) == (compare.operand != 0)

    def _run(self, txn: wire.Txn, response: Any) -> None:
        response.succeeded = all(self._holds(compare) for compare in txn.compare)
        for op in txn.success if response.succeeded else txn.failure:
            part = response.responses.add()
            if isinstance(op, wire.Put):
                self.keys[op.key] = op.value
                part.response_put.SetInParent()
            elif isinstance(op, wire.Delete):
                self.keys.pop(op.key, None)
                part.response_delete_range.SetInParent()
            elif isinstance(op, wire.Range):
                self._range(op, part.response_range)
            else:
                self._run(op, part.response_txn)

    def _range(self, op: wire.Range, reply: Any) -> None:
        reply.SetInParent()
        end = op.end or op.key + b"\0"
        found = sorted(key for key in self.keys if op.key <= key < end)
        limit = op.limit or len(found)
        for key in found[:limit]:
            kv = reply.kvs.add()
            kv.key = key
            if not op.keys_only:
                kv.value = self.keys[key]
        reply.more = len(found) > limit


def _size(txn: wire.Txn) -> int:
    size = 0
    for op in txn.success:
        if isinstance(op, wire.Put):
            size += len(op.key) + len(op.value) + 10
        elif isinstance(op, wire.Txn):
            size += _size(op)
    return size


def _nothing(_ops: Sequence[wire.Op]) -> wire.Answer:
    raise AssertionError("nothing is to go together")


class Owned:
    """A fence that holds."""

    lost = False
    token = TOKEN

    def __init__(self) -> None:
        self.marks: list[bytes] = []
        self.applies: Callable[[Sequence[wire.Op]], wire.Answer] = _nothing

    def pay(self) -> None:
        pass

    def together(self, ops: Sequence[wire.Op]) -> wire.Answer:
        return self.applies(ops)

    def compares(self) -> tuple[wire.Compare, ...]:
        if self.lost:
            raise errors.LeaseDoubt("too old")
        return (wire.Compare(OWNER, "mod", "=", self.token),)

    def asks(self) -> tuple[wire.Op, ...]:
        return (wire.Range(OWNER), wire.Range(CHECKPOINT))

    @property
    def standing(self) -> fence.Standing:
        return fence.Standing(self.token, acknowledged.NOTHING, None)

    def held(self, standing: fence.Standing, answer: wire.Answer) -> bool:
        assert standing.token == self.token
        return bool(answer.kvs(0))

    def refusal(self, answer: wire.Answer | None) -> errors.EtcdError:
        assert answer is None or not answer.succeeded
        return errors.Fenced("another owner")

    def acknowledged(self, checkpoint: bytes, _revision: int) -> None:
        self.marks.append(checkpoint)


@dataclasses.dataclass
class Run:
    """An applier on a store, and what came of its writes."""

    store: Store
    applier: apply.Applier
    acks: list[apply.Ack]
    owned: Owned
    done: list[plan.Write] = dataclasses.field(default_factory=list)
    moved: list[plan.Write] = dataclasses.field(default_factory=list)
    refused: list[plan.Write] = dataclasses.field(default_factory=list)
    below: list[bytes] = dataclasses.field(default_factory=list)
    further: list[paging.Pages] = dataclasses.field(default_factory=list)
    zxid: int = 0

    def write(self, writes: Sequence[plan.Write], *, ranged: bool = False) -> None:
        self.applier.add(writes)
        while self.applier.waiting or self.applier.in_flight:
            while self.applier.flush(ranged=ranged):
                assert self.applier.in_flight <= 8
            self.settle()

    def settle(self) -> None:
        while self.store.under_way:
            self.store.under_way.pop(0)()
            self.take_in(self.applier.settle(self.acks.pop(0)))

    def take_in(self, settled: apply.Settled) -> None:
        self.done += settled.done
        self.moved += settled.moved
        self.refused += [write for write, _ in settled.refused]
        self.below += settled.below
        self.further += settled.further
        self.zxid = max(self.zxid, settled.zxid)


def _run(store: Store | None = None, **settings: Any) -> Run:
    store = store or Store()
    acks: list[apply.Ack] = []
    owned = Owned()
    applier = apply.Applier(
        cast(client.Client, store),
        cast(fence.Fence, owned),
        CHECKPOINT,
        connections.Etcd(**settings),
        metrics.null(),
        acks.append,
        SHARD.below_path,
    )
    return Run(store, applier, acks, owned)


def _puts(count: int, size: int = 1) -> list[plan.Write]:
    return [
        plan.Write(path, b"x" * size, path, number + 1)
        for number, path in enumerate(f"/s/n{number:06d}".encode() for number in range(count))
    ]


def _deletes(count: int) -> list[plan.Write]:
    return [plan.Write(put.key, None, put.path, 0) for put in _puts(count)]


def _data_keys(store: Store) -> set[bytes]:
    return {key for key in store.keys if key.startswith(b"/")}


SIZES = [1, 2, 49, 50, 51, 99, 100, 101, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049, 5000]


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("ranged", [False, True])
@pytest.mark.parametrize("txn_ops", [1, 100, 2048, 4032])
def test_no_size_is_more_than_etcd_takes(count: int, ranged: bool, txn_ops: int) -> None:
    run = _run(txn_ops=txn_ops)
    run.write(_puts(count))
    assert run.store.refused == 0
    assert _data_keys(run.store) == {put.key for put in _puts(count)}
    run.write(_deletes(count), ranged=ranged)
    assert run.store.refused == 0
    assert not _data_keys(run.store)
    assert len(run.done) == 2 * count


def test_many_writes_are_few_txns() -> None:
    run = _run()
    run.write(_puts(10_000))
    assert len(run.store.sent) == 5


def test_a_thin_line_is_given_small_txns_and_few_of_them() -> None:
    run = _run(txn_in_flight=8)
    run.store.learned.up.room = 64 * 1024
    run.applier.add([plan.Write(b"/s/first", b"x", b"/s/first", 5)])
    assert run.applier.flush()
    run.settle()
    for number in range(100):
        key = b"/s/%d" % number
        run.applier.add([plan.Write(key, b"x" * 4_000, key, 5)])
    while run.applier.flush():
        pass
    assert len(run.store.under_way) == 4
    assert max(map(_size, run.store.sent)) < 18_000
    run.store.learned.up.take("another shard's", 10**7, time.monotonic())
    run.settle()
    assert not run.applier.flush(), "the line is full"


@given(
    st.integers(1, 400),
    st.integers(6, 128),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_server_that_allows_less_gets_less(
    count: int, most_ops: int, ranged: bool, delete: bool
) -> None:
    run = _run(Store(most_ops=most_ops))
    writes = _deletes(count) if delete else _puts(count)
    run.write(writes, ranged=ranged)
    assert sorted(run.done) == sorted(writes)
    assert not run.refused
    if not run.store.refused:  # so many deletes fit, and nothing was learnt by them
        run.write(_puts(count))
    refused = run.store.refused
    run.write(_puts(count))
    assert run.store.refused <= refused + 4, "what was learnt was forgotten"


def test_too_large_together_is_split_and_too_large_alone_is_named() -> None:
    run = _run(Store(most_bytes=5000))
    large = plan.Write(b"/s/large", b"x" * 6000, b"/s/large", 99)
    writes = [*_puts(300), large, *_puts(20, 1000)[10:]]
    unique = {write.key: write for write in writes}
    run.write(list(unique.values()))
    assert run.refused == [large]
    assert {write.key for write in run.done} == unique.keys() - {large.key}
    assert b"/s/large" not in run.store.keys


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=30))
@settings(deadline=None)
def test_a_txn_is_bounded_in_bytes_and_a_large_value_travels_alone(sizes: list[int]) -> None:
    run = _run()
    writes = [
        plan.Write(b"/s/%d" % number, b"x" * size, b"/s/%d" % number, 1)
        for number, size in enumerate(sizes)
    ]
    run.write(writes)
    assert run.done == writes
    for txn in run.store.sent:
        puts = [op for op in txn.success if isinstance(op, wire.Put)]
        size = sum(len(put.key) + len(put.value) for put in puts)
        assert len(puts) == 1 or size <= 512 * 1024


def test_the_checkpoint_covers_replies_and_values_and_never_falls() -> None:
    run = _run()
    run.applier.saw(50)
    run.write([plan.Write(b"/s/a", b"", b"/s/a", 40)])
    assert (run.zxid, run.store.keys[CHECKPOINT]) == (50, records.encode_zxid(50, TOKEN))
    run.write([plan.Write(b"/s/b", b"", b"/s/b", 60)])
    assert run.store.keys[CHECKPOINT] == records.encode_zxid(60, TOKEN)
    run.applier.saw(55)
    run.write([plan.Write(b"/s/c", b"", b"/s/c", 0)])
    assert (run.zxid, run.store.keys[CHECKPOINT]) == (60, records.encode_zxid(60, TOKEN))


def test_txns_that_land_in_another_order_leave_the_highest_checkpoint() -> None:
    run = _run(txn_ops=1)
    run.applier.add(_puts(5))
    while run.applier.flush():
        pass
    run.store.under_way.reverse()
    run.settle()
    assert len(run.done) == 5
    assert run.store.keys[CHECKPOINT] == records.encode_zxid(5, TOKEN)


def test_every_txn_carries_the_fence_and_the_checkpoint() -> None:
    run = _run()
    run.write(_puts(3000))
    run.write(_deletes(300), ranged=True)
    run.applier.guarded([plan.Write(b"/s/r", b"", b"/s/r", 1, 0, 0)])
    run.applier.seal()
    run.settle()
    for at, txn in enumerate(run.store.sent, start=1):
        its = (wire.Compare(b"/s/r", "mod", "=", 0),) if at == len(run.store.sent) - 1 else ()
        assert txn.compare == (wire.Compare(OWNER, "mod", "=", TOKEN), *its)
        assert txn.success[0].compare[0].key == CHECKPOINT


def test_a_lost_fence_is_fenced() -> None:
    run = _run()
    run.store.keys.pop(OWNER)
    with pytest.raises(errors.Fenced, match="another owner"):
        run.write(_puts(3))
    assert not _data_keys(run.store)


def test_a_checkpoint_that_is_gone_is_fenced() -> None:
    run = _run()
    run.store.keys.pop(CHECKPOINT)
    with pytest.raises(errors.Fenced, match="checkpoint is gone"):
        run.write(_puts(3))


def test_a_lease_in_doubt_sends_nothing() -> None:
    run = _run()
    run.owned.lost = True
    with pytest.raises(errors.LeaseDoubt):
        run.write(_puts(3))
    assert not run.store.sent


@pytest.mark.parametrize("error", [errors.AmbiguousWrite, errors.NoSpace, errors.EtcdError])
def test_other_failures_are_raised_and_nothing_is_sent_again(error: type[errors.EtcdError]) -> None:
    run = _run()
    run.applier.add(_puts(1))
    run.applier.flush()
    ack = apply.Ack(apply.Sent(_puts(1), 1, (), False), None, error("why"))
    with pytest.raises(error):
        run.applier.settle(ack)
    assert len(run.store.sent) == 1


def test_keys_below_a_deleted_one_are_found() -> None:
    run = _run()
    run.store.keys.update({b"/s/a": b"", b"/s/a/x": b"", b"/s/a/x/y": b"", b"/s/a-b": b""})
    run.write([plan.Write(b"/s/a", None, b"/s/a", 0)], ranged=True)
    assert run.below == [b"/s/a/x", b"/s/a/x/y"]
    assert b"/s/a-b" in run.store.keys
    assert run.further == []


def test_more_keys_below_a_deleted_one_than_a_page_shows() -> None:
    run = _run()
    run.store.keys.update({b"/s/a/%05d" % number: b"" for number in range(2500)})
    run.write([plan.Write(b"/s/a", None, b"/s/a", 0)], ranged=True)
    assert run.below == [b"/s/a/%05d" % number for number in range(apply.BELOW_LIMIT)]
    [rest] = run.further
    assert run.below[-1] < rest.start <= b"/s/a/%05d" % apply.BELOW_LIMIT
    assert rest.stop == b"/s/a0"


def test_keys_below_several_deleted_ones_in_groups() -> None:
    run = _run()
    writes = _deletes(300)
    run.store.keys.update({write.key + b"/left": b"" for write in writes})
    run.write(writes, ranged=True)
    assert sorted(run.below) == sorted(write.key + b"/left" for write in writes)


def test_a_rate_holds_writes_back() -> None:
    run = _run()
    run.store.allowance = 30
    run.applier.add(_puts(100))
    assert run.applier.flush()
    assert not run.applier.flush()
    assert run.applier.waiting == 70
    run.settle()
    assert len(run.done) == 30


def test_repairs_are_each_compared() -> None:
    run = _run()
    run.store.keys[b"/s/there"] = b"old"
    absent = plan.Write(b"/s/new", b"1", b"/s/new", 1, 0, 0)
    moved = plan.Write(b"/s/there", b"1", b"/s/there", 1, 0, 0)
    expected = plan.Write(b"/s/there", None, b"/s/there", 0, 0, 9)
    run.applier.guarded([absent, moved])
    run.settle()
    assert (run.done, run.moved) == ([absent], [moved])
    assert run.store.keys[b"/s/there"] == b"old"
    run.applier.guarded([expected])
    run.settle()
    assert b"/s/there" not in run.store.keys


def test_a_put_of_repairs_is_counted_against_the_quota() -> None:
    """etcd counts no nested put: a full one would take them all."""
    run = _run()
    run.applier.guarded([*_deletes(2), *(put._replace(expect=0) for put in _puts(5)[2:])])
    [txn] = run.store.sent
    assert [type(op) for op in txn.success].count(wire.Put) == 1


def test_repairs_whose_first_key_moved_come_again_behind_another() -> None:
    run = _run()
    run.store.keys[b"/s/n000000"] = b"by somebody else"
    writes = [put._replace(expect=0) for put in _puts(3)]
    run.applier.guarded(writes)
    run.settle()
    assert (run.done, run.moved) == ([], [*writes[1:], writes[0]])
    run.applier.guarded(run.moved)
    run.settle()
    assert (run.done, run.moved[3:]) == (writes[1:], [writes[0]])
    assert run.store.keys[b"/s/n000000"] == b"by somebody else"


def test_repairs_under_a_fence_that_is_lost_are_fenced() -> None:
    run = _run()
    run.store.keys.pop(OWNER)
    run.applier.guarded([put._replace(expect=0) for put in _puts(3)])
    with pytest.raises(errors.Fenced, match="another owner"):
        run.settle()


def test_many_repairs_on_a_server_that_allows_few_operations() -> None:
    run = _run(Store(most_ops=16))
    writes = [write._replace(expect=0) for write in _puts(250)]
    run.applier.guarded(writes)
    run.settle()
    assert sorted(run.done) == sorted(writes)


def test_parts_of_a_refused_txn_wait_for_room() -> None:
    run = _run(Store(most_bytes=3000), txn_in_flight=2)
    run.applier.add(_puts(100, size=200))
    while run.applier.flush():
        pass
    most = 0
    while run.store.under_way:
        most = max(most, len(run.store.under_way), run.applier.in_flight)
        run.store.under_way.pop(0)()
        run.take_in(run.applier.settle(run.acks.pop(0)))
    assert most == 2
    assert len(run.done) == 100
    assert run.applier.in_flight == 0


@pytest.mark.parametrize("limits", [{"most_ops": 16}, {"most_bytes": 3000}])
def test_what_the_server_takes_is_learned_once_for_all_shards(limits: dict[str, int]) -> None:
    store = Store(**limits)
    _run(store).write(_puts(500, size=100))
    assert store.refused
    store.refused = 0
    _run(store).write(_puts(500, size=100))
    assert store.refused == 0


def test_a_refusal_for_size_is_told_the_same_whoever_refuses() -> None:
    run = _run()
    [write] = _puts(1, size=5000)
    reasons = set()
    for endpoint in ("http://a:2379", "http://b:2379"):
        run.applier.add([write])
        run.applier.flush()
        run.store.under_way.clear()
        error = errors.TooLarge(f"etcd {endpoint}: request is too large")
        sent = apply.Sent([write], 1, (), False)
        [(_, reason)] = run.applier.settle(apply.Ack(sent, None, error)).refused
        reasons.add(reason)
    assert len(reasons) == 1
    assert "--max-request-bytes" in reasons.pop()


def test_reading_ahead_of_a_slow_etcd_has_an_end() -> None:
    run = _run(txn_ops=10)
    run.applier.add(_puts(19))
    assert run.applier.is_full()
    assert not run.applier.is_ahead()
    run.applier.add(_puts(1))
    assert run.applier.is_ahead()
    heavy = _run(txn_bytes=1024)
    heavy.applier.add(_puts(3, size=900))
    assert heavy.applier.is_ahead()


def test_what_is_owed_is_paid_before_anything_is_sent() -> None:
    run = _run()
    sent_when_paid: list[int] = []
    run.owned.pay = lambda: sent_when_paid.append(len(run.store.sent))  # type: ignore[method-assign]
    run.write(_puts(3))
    assert sent_when_paid == [0]
    assert len(run.store.sent) == 1


def test_few_writes_go_together_with_those_of_others_and_raise_the_checkpoint() -> None:
    run = _run()
    run.applier.add(_puts(3))
    run.applier.saw(9)
    assert run.applier.may_go_together
    run.owned.applies = run.store.applied
    written = run.applier.together()
    assert written is not None
    assert list(written[1].done) == _puts(3)
    assert run.applier.waiting == 0
    assert run.store.sent == []
    checkpoint = records.encode_zxid(9, TOKEN)
    assert run.store.keys[CHECKPOINT] == checkpoint
    assert run.owned.marks == [checkpoint]
    assert {each.key for each in _puts(3)} < set(run.store.keys)


def test_few_writes_that_are_refused_for_their_size_wait_still() -> None:
    run = _run()
    run.applier.add(_puts(1))

    def refuse(_ops: Sequence[wire.Op]) -> wire.Answer:
        raise errors.TooLarge("too large")

    run.owned.applies = refuse
    assert run.applier.together() is None
    assert run.applier.waiting == 1


def test_few_writes_of_a_shard_that_was_lost_are_fenced() -> None:
    run = _run()
    run.applier.add(_puts(1))
    run.owned.applies = lambda _: cast(wire.Answer, types.SimpleNamespace(succeeded=False))
    with pytest.raises(errors.Fenced, match="another owner"):
        run.applier.together()


def test_what_is_much_or_large_or_metered_goes_by_itself() -> None:
    many, large, metered = _run(), _run(), _run(max_writes_per_second=100)
    many.applier.add(_puts(100))
    large.applier.add(_puts(1, size=100_000))
    metered.applier.add(_puts(1))
    assert not any(run.applier.may_go_together for run in (many, large, metered))
