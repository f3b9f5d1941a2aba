"""Writes to bounded, fenced Txns: what is sent, how much of it at once, what its answer means.

Every Txn compares the shard's token and raises its checkpoint. Nothing is ever sent twice unless
etcd refused it for certain.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Sequence

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.model import paging, plan
from zk2etcd_workers.ownership import fence, records
from zk2etcd_workers.shard import grouping

BELOW_LIMIT = 1000
_AHEAD = 2
_PARTS = 4
"""So many Txns share the line to etcd, at least."""
Sent = grouping.Sent
Settled = grouping.Settled


@dataclasses.dataclass(frozen=True)
class Ack:
    """A Txn's end, as it comes from grpc's thread; `Applier.settle` says what it means."""

    sent: Sent
    answer: wire.Answer | None
    error: errors.EtcdError | None


class Applier:
    """Collects writes and sends them for one shard. Used by the shard's thread only; `deliver` is
    called from grpc's threads and must only enqueue."""

    most = grouping.MOST_OPS

    def __init__(
        self,
        client: etcd.Client,
        owned: fence.Fence,
        checkpoint: bytes,
        settings: connections.Etcd,
        instruments: metrics.Instruments,
        deliver: Callable[[Ack], None],
        below: Callable[[bytes], tuple[bytes, bytes]],
        marks: Callable[[int, Sequence[plan.Write]], Sequence[wire.Put]] = lambda *_: (),
    ) -> None:
        self._client = client
        self._fence = owned
        self._checkpoint = checkpoint
        self._settings = settings
        self._instruments = instruments
        self._deliver = deliver
        self._below, self._marks = below, marks
        self._learned, self._line = client.learned, client.learned.up
        self._adapt()
        self._waiting = grouping.Waiting(self._sizes)
        # Parts of Txns that were refused for their size: (writes, ranged, guarded).
        self._again = collections.deque[tuple[Sequence[plan.Write], bool, bool]]()
        self._numbers = itertools.count()
        self._sent_at: dict[int, float] = {}
        self.in_flight = self._bytes_in_flight = 0
        self.zxid = 0

    def add(self, writes: Sequence[plan.Write]) -> int:
        """:returns: bytes of their keys and values."""
        return self._waiting.add(writes)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def _adapt(self) -> None:
        """Take over what was learned; asked for each write, so they are plain numbers."""
        most, size = min(self._settings.txn_ops, self.most), self._settings.txn_bytes
        self._limit = min(most, self._learned.operations or most)
        self._most_bytes = min(size, self._learned.bytes or size, self._line.room // _PARTS)

    def is_full(self) -> bool:
        """Enough for one Txn is waiting."""
        return self.waiting >= self._limit or self._waiting.size >= self._most_bytes

    def is_ahead(self) -> bool:
        """So much is waiting that reading more would only pile up: etcd is slow, or stands."""
        much = self._waiting.size >= _AHEAD * self._most_bytes
        return much or self.waiting >= _AHEAD * self._limit

    def has_room(self) -> bool:
        """By number, and by bytes: of values larger than a Txn should be, fewer go at once; and
        none while the line is full of those of other shards."""
        most, size = self._settings.txn_in_flight, self._settings.txn_bytes
        few = self.in_flight < most and self._bytes_in_flight < most * size
        return few and self._line.fits(min(self._waiting.size, self._most_bytes), time.monotonic())

    def oldest(self, now: float) -> float:
        """Seconds that the oldest Txn has been under way."""
        return now - min(self._sent_at.values(), default=now)

    def saw(self, zxid: int) -> None:
        """A zxid that a reply used here carried: the checkpoint covers it."""
        self.zxid = max(self.zxid, zxid)

    def flush(self, *, ranged: bool = False) -> bool:
        """Send one Txn of what waits, if there is room; True if one was sent.

        :param ranged: let each delete also report keys below its own.
        :raises errors.Fenced: not owned; `errors.LeaseDoubt`: the lease is too old.
        """
        if not self.waiting or not self.has_room():
            return False
        # A ranged delete is two operations.
        limit = min(self._limit, self.most // 2) if ranged else self._limit
        count = self._client.take(self._waiting.fitting(limit, self._most_bytes))
        if count == 0:
            return False
        self._send(*self._waiting.take(count), ranged=ranged)
        return True

    def guarded(self, writes: Sequence[plan.Write]) -> None:
        """Send repairs: each only if its key is still at the revision that it `expect`s."""
        while writes:
            sizes = self._sizes(writes[: grouping.FLAT])
            count = grouping.fitting(sizes, grouping.FLAT, self._most_bytes)
            self._send(writes[:count], sum(sizes[:count]), guarded=True)
            writes = writes[count:]

    def seal(self) -> None:
        """Raise the checkpoint alone: a walk that changed nothing is worth remembering too."""
        self._send((), 0)

    def _send(
        self,
        writes: Sequence[plan.Write],
        size: int,
        *,
        ranged: bool = False,
        guarded: bool = False,
    ) -> None:
        self._fence.pay()
        compares = self._fence.compares()
        zxid = self._reaches(writes)
        asks = grouping.topmost(writes) if ranged else ()
        checkpoint = records.encode_zxid(zxid, self._fence.token)
        number = next(self._numbers)
        below = (self._below(write.path) for write in asks)
        reads = [wire.Range(start, end, BELOW_LIMIT, keys_only=True) for start, end in below]
        writes, ops, own, standing, shape = self._build(writes, reads, guarded=guarded)
        sent = Sent(writes, zxid, asks, guarded, number, checkpoint, size, standing, shape)
        success = [self._checkpoint_put(checkpoint, writes), *ops]
        self.in_flight += 1
        self._bytes_in_flight += sent.size
        self._sent_at[number] = now = time.monotonic()
        self._line.take((self, number), size, now)

        def answered(answer: wire.Answer | None, error: errors.EtcdError | None) -> None:
            self._line.ended((self, number), None if error else size, time.monotonic())
            self._deliver(Ack(sent, answer, error))

        txn = wire.Txn((*compares, *own), success, self._fence.asks())
        self._client.txn_soon(txn, answered)

    def _sizes(self, writes: Sequence[plan.Write]) -> list[int]:
        return grouping.sizes(writes)

    def _build(
        self, writes: Sequence[plan.Write], reads: Sequence[wire.Range], *, guarded: bool
    ) -> grouping.Built:
        """:param reads: what is to be read in the same Txn, after all else."""
        if not guarded:
            ops = grouping.ops(writes)
            return grouping.Built(writes, self._grouped([*ops, *reads] if reads else ops))
        writes = grouping.led(writes)
        ops, standing = grouping.guarded(writes), None
        own: Sequence[wire.Compare] = ()
        if writes[0].value is not None:
            ops[:1], standing = grouping.ops(writes[:1]), self._fence.standing
            own = (grouping.unmoved(writes[0]),)
        return grouping.Built(writes, self._grouped([*ops, *reads]), own, standing)

    def _grouped(self, ops: Sequence[wire.Op]) -> Sequence[wire.Op]:
        return ops if self._learned.operations else grouping.grouped(ops)

    def _reaches(self, writes: Sequence[plan.Write]) -> int:
        self.zxid = max(self.zxid, max([write.zxid for write in writes], default=0))
        return self.zxid

    @property
    def may_go_together(self) -> bool:
        """So little is waiting, and nothing under way, that `together` is worth it."""
        metered, few = self._settings.max_writes_per_second, grouping.is_small
        return metered is None and not self.in_flight and few(self.waiting, self._waiting.size)

    def together(self) -> tuple[Ack, Settled] | None:
        """Write all that waits in one Txn with other shards' writes. None: too large, waits still.

        :raises errors.EtcdError: as `settle` does.
        """
        writes = self._waiting.writes
        zxid = self._reaches(writes)
        checkpoint = records.encode_zxid(zxid, self._fence.token)
        sent = Sent(writes, zxid, (), guarded=False, checkpoint=checkpoint)
        ops = grouping.ops(writes)
        try:
            answer = self._fence.together([self._checkpoint_put(checkpoint, writes), *ops])
        except (errors.TooLarge, errors.TooManyOperations):
            return None
        except errors.EtcdError as error:
            self._count(writes, type(error).__name__)
            raise
        self._waiting = grouping.Waiting()
        return Ack(sent, answer, None), self._succeeded(sent, answer)

    def _checkpoint_put(self, value: bytes, writes: Sequence[plan.Write]) -> wire.Txn:
        """It never falls; put again where it stays, so that its revision is the last write's."""
        key = self._checkpoint
        falls_not = wire.Compare(key, "value", "<", value + b"\0")
        puts = [wire.Put(key, value), *self._marks(self._fence.token, writes)]
        return wire.Txn([falls_not], puts, [wire.Range(key)])

    # --- answers -----------------------------------------------------------------------------

    def settle(self, ack: Ack) -> Settled:
        """What a Txn's end means. Definite refusals of its size are split and sent again.

        :raises errors.Fenced: the token is not ours any more.
        :raises errors.EtcdError: any other refusal, or an answer that was lost.
        """
        self.in_flight -= 1
        self._bytes_in_flight -= ack.sent.size
        self._sent_at.pop(ack.sent.number, None)
        self._adapt()
        settled = self._meaning(ack.sent, ack)
        # One at least goes, so nothing is left here once nothing is under way.
        while self._again and (self.has_room() or not self.in_flight):
            writes, ranged, guarded = self._again.popleft()
            self._send(writes, sum(self._sizes(writes)), ranged=ranged, guarded=guarded)
        return settled

    def _meaning(self, sent: Sent, ack: Ack) -> Settled:
        count, error = len(sent.writes), ack.error
        if isinstance(error, errors.TooManyOperations) and self._learned.fewer_operations(
            count, grouping.FLAT
        ):
            self._adapt()
            return self._split(sent, self._limit)
        if isinstance(error, errors.TooLarge):
            if count > 1:
                self._learned.fewer_bytes(sum(self._sizes(sent.writes)))
                self._adapt()
                return self._split(sent, count // 2)
            if count:
                return self._refused(sent)
        if error is not None:
            self._count(sent.writes, type(error).__name__)
            raise error
        return self._succeeded(sent, ack.answer)

    def _refused(self, sent: Sent) -> Settled:
        """One write alone is too large."""
        self._count(sent.writes, errors.TooLarge.__name__)
        return Settled(refused=[(sent.writes[0], grouping.refusal(sent.writes[0]))], zxid=sent.zxid)

    def _succeeded(self, sent: Sent, answer: wire.Answer | None) -> Settled:
        if answer is None or not answer.succeeded:
            if sent.standing is not None and self._fence.held(sent.standing, answer):
                # Its first write's key moved. Another one leads the rest when they come again.
                return Settled(moved=[*sent.writes[1:], sent.writes[0]])
            raise self._fence.refusal(answer)
        checkpoint = answer.inner(0)
        if checkpoint.succeeded:
            self._fence.acknowledged(sent.checkpoint, answer.revision)
        elif not (stored := checkpoint.kvs(0)) or stored[0].value < sent.checkpoint:
            raise errors.Fenced("the shard's checkpoint is gone from etcd")
        return self._written(sent, answer)

    def _written(self, sent: Sent, answer: wire.Answer) -> Settled:
        """What an applied Txn did, beside the checkpoint."""
        if sent.guarded:
            return self._each(sent, answer)
        self._count(sent.writes, "success")
        below, further = self._found_below(sent, answer.ranges(skip=1)) if sent.ranged else ((), ())
        return Settled(done=sent.writes, below=below, further=further, zxid=sent.zxid)

    def _found_below(
        self, sent: Sent, found: Iterable[wire.Names]
    ) -> tuple[Sequence[bytes], Sequence[paging.Pages]]:
        """The keys below deleted ones, and where there may be more of them."""
        below, further = list[bytes](), list[paging.Pages]()
        for write, page in zip(sent.ranged, found, strict=True):
            below += page.keys
            if page.more:
                further.append(pages := paging.Pages(*self._below(write.path)))
                pages.saw(page.keys, page.total, more=True)
        return below, further

    def _each(self, sent: Sent, answer: wire.Answer) -> Settled:
        led = int(sent.standing is not None)
        rest = range(led, len(sent.writes))
        applied = [True] * led + [answer.inner(at + 1).succeeded for at in rest]
        done = [write for write, ok in zip(sent.writes, applied, strict=True) if ok]
        moved = [write for write, ok in zip(sent.writes, applied, strict=True) if not ok]
        self._count(done, "success")
        return Settled(done=done, moved=moved, zxid=sent.zxid)

    def _split(self, sent: Sent, size: int) -> Settled:
        for start in range(0, len(sent.writes), size):
            part = sent.writes[start : start + size]
            self._again.append((part, bool(sent.ranged), sent.guarded))
        return Settled()

    def _count(self, writes: Sequence[plan.Write], status: str) -> None:
        deletes = sum(1 for write in writes if write.value is None)
        if deletes:
            self._instruments.etcd_count("delete", status, deletes)
        if deletes < len(writes):
            self._instruments.etcd_count("put", status, len(writes) - deletes)
