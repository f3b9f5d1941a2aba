"""The base: make etcd equal to a walk of ZooKeeper, as the shard's only writer.

Puts stream while the walk goes on. Keys that only etcd has are held until it has ended, then each
is read again in ZooKeeper, and the guard decides about those that are really absent.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.mirror import appliers, counting, foresight
from zk2etcd_workers.model import history, plan, tree
from zk2etcd_workers.ownership import few as few_keys, kept
from zk2etcd_workers.safety import guard_record, keeping
from zk2etcd_workers.shard import apply, confirm, context, event_log, facts as shard_facts
from zk2etcd_workers.walk import beside, course, glance, snapshot

_CONFIRM_AT = 2048
_BEAT_EVERY = 16
_LARGE = 1_000
_LOST_AFTER = 5.0


class Done(NamedTuple):
    """How a base ended. `zxid` is what the checkpoint says now at least. `released`: a person let
    the deletes happen. `counted`: how many keys etcd's range holds, if that is certain."""

    put: int
    delete: int
    keys: int
    zxid: int
    released: bool
    counted: int | None


class Base:
    """One run of it. `again` is told of paths that turned out to exist after all."""

    def __init__(
        self,
        ctx: context.Context,
        facts: shard_facts.Facts,
        floor: int,
        again: Callable[[bytes], None],
        was_deleted: Callable[[bytes], bool],
        known: kept.Kept | None = None,
        is_large: Callable[[], None] = lambda: None,
        seen: glance.Seen = glance.NOTHING,
    ) -> None:
        """:param known: what etcd keeps of the shard; `seen`: what was just read of it; `is_large`:
        told, once, that it takes more than a moment."""
        self._ctx, self._facts = ctx, facts
        self._again, self._was_deleted = again, was_deleted
        self._acks: queue.SimpleQueue[apply.Ack] = queue.SimpleQueue()
        self._guard, self._known = guard_record.Guarding(ctx, facts, known), known
        self._applier = appliers.applier(ctx, self._acks.put)
        self._applier.saw(floor)
        self._latest = history.Latest()
        self._is_large, self._seen_now = is_large, seen
        self._extras, self._seen, self._unseen = list[bytes](), list[bytes](), list[bytes]()
        self._unseen_total = self._put = self._delete = self._written = 0
        self._began = False  # Something has been sent.

    def run(self, *, first: bool) -> Done:
        """:param first: the shard's checkpoint was still 0 when it was taken.

        :raises errors.Zk2EtcdError: the shard must start over.
        """
        try:
            return self._run(first=first)
        finally:
            self._facts.course = None

    def _run(self, *, first: bool) -> Done:
        ctx = self._ctx
        total = counting.known(ctx, self._known)
        self._guard.begin(total, first=first)
        few = counting.few(ctx, total)
        walk = ctx.walk(self._facts.large, self._seen_now)
        self._facts.course = self._course(walk, total)
        ahead = foresight.Foresight(ctx, self._facts) if first else None
        counts = plan.Counts()
        wanted = self._guard.recount(walk) if self._guard.was_cut_off else walk
        with contextlib.ExitStack() as opened:
            differing = self._differing(opened, self._noted(wanted), counts, few, total)
            self._compared(differing, walk, counts, total, ahead)
        self._settled(walk, counts)
        self._facts.found(walk, counts.wanted, counts.extra)
        is_sure = few is not None and not (ctx.dry_run or self._delete or self._facts.unsyncable)
        counted = counting.after(total, self._put) if is_sure else None
        zxid, released = self._applier.zxid, self._guard.released
        return Done(self._put, self._delete, counts.wanted, zxid, released, counted)

    def _differing(
        self,
        opened: contextlib.ExitStack,
        nodes: Iterator[plan.Run],
        counts: plan.Counts,
        few: few_keys.Few | None,
        total: int,
    ) -> plan.Differences:
        """What differs: of a few small nodes at once, else page by page of etcd.

        :param opened: what reads the pages, until they have been.
        """
        if few is not None:
            nodes, differing = beside.few(nodes, few.beside, counts)
            if differing is not None:
                return differing
        reader = opened.enter_context(contextlib.closing(self._ctx.reader(learns=True)))
        if not total:
            reader.look()
        return beside.differences(nodes, reader, self._ctx.mapping.buckets, counts)

    def _settled(self, walk: snapshot.Walk, counts: plan.Counts) -> None:
        """The walk has ended: what is left to be written and to be deleted, and what is kept of it.
        Of a shard of a few nodes, all of that is one small Txn."""
        self._applier.saw(walk.zxid)
        is_small = self._is_small()
        if not is_small:
            self._drain()
        self._facts.unsyncable.walked(walk.opaque_sample, walk.opaque, self._ctx.log)
        self._deletes(counts.present, root=walk.root is not None or walk.opaque > 0)
        self._mark()
        if not (is_small and self._together()):
            self._drain()
            if self._facts.zxid < self._applier.zxid:
                self._applier.seal()
                self._drain()
        self._ctx.fence.pay()

    def _compared(
        self,
        differing: plan.Differences,
        walk: snapshot.Walk,
        counts: plan.Counts,
        total: int,
        ahead: foresight.Foresight | None,
    ) -> None:
        """Write what differs; hold what only etcd has."""
        for changes, change in enumerate(differing, 1):
            if isinstance(change, plan.Extra):
                counts.present -= not self._is_ours(change.key)
            else:
                self._put += len(change)
                if total:
                    self._guard.creates(change)
                size = self._write(change, walk.zxid)
                if ahead is not None:
                    ahead.saw(change, size)
            if not changes % _BEAT_EVERY:
                self._ctx.turn.beat()
                if ahead is not None:
                    ahead.look()

    def _noted(self, walk: Iterable[plan.Run]) -> Iterator[plan.Run]:
        """The walk; what changed last in it is noted, and that there are many."""
        nodes = 0
        for run in walk:
            self._latest.saw(run.nodes)
            self._ctx.waiting.saw(run.nodes, self._ctx.grace)
            self._ctx.ring.heard((node.path, node) for node in run.nodes if node is not None)
            if nodes <= _LARGE < (nodes := nodes + len(run.nodes)):
                self._is_large()
            yield run

    def _mark(self) -> None:
        """So that a base that had nothing to write, of what a release without marks wrote, say,
        knows its ensemble's state too."""
        ctx, prefix = self._ctx, self._ctx.keys.marks(self._ctx.shard.id)
        puts = ctx.ring.walked(prefix, ctx.fence.token, self._latest.marks)
        if puts and not ctx.dry_run:
            ctx.fence.owe(puts)

    def _course(self, walk: snapshot.Walk, present_keys: int) -> course.Course:
        """The first walk of all does not know how many nodes there are; ZooKeeper may tell."""
        expected = self._facts.expected()
        return course.Course(
            "base",
            lambda: course.Seen(walk.read, walk.nodes, self._written),
            expected or present_keys,
            time.monotonic(),
            None if expected else self._ctx.ask_size,
        )

    # --- puts --------------------------------------------------------------------------------

    def _write(self, writes: Sequence[plan.Write], zxid: int) -> int:
        self._applier.saw(zxid)
        size = self._applier.add(writes)
        while self._applier.is_full():
            self._send_one()
            self._collect()
        return size

    def _is_small(self) -> bool:
        """All that this base writes fits into one small Txn, and none of it has gone yet."""
        held = self._extras or self._seen or self._unseen_total
        return not (self._began or held or self._ctx.dry_run) and self._applier.may_go_together

    def _together(self) -> bool:
        """Write it in one Txn with the small ones of other shards; False: it does not go so."""
        if not self._applier.waiting and self._facts.zxid >= self._applier.zxid:
            return True
        if (written := self._applier.together()) is None:
            return False
        self._wrote(*written)
        return True

    def _send_one(self) -> None:
        self._began = True
        while not self._applier.flush():
            if self._applier.in_flight:
                self._wait_for_one()
            else:
                self._ctx.turn.pause(0.005)

    def _drain(self) -> None:
        while self._applier.waiting:
            self._send_one()
        while self._applier.in_flight:
            self._wait_for_one()

    def _wait_for_one(self) -> None:
        # Every Txn has a deadline of its own; this one is for an answer that never comes.
        deadline = time.monotonic() + self._ctx.config.etcd.request_timeout + _LOST_AFTER
        while time.monotonic() < deadline:
            self._ctx.turn.beat()
            with contextlib.suppress(queue.Empty):
                self._settle(self._acks.get(timeout=turn.SLICE))
                return
        raise errors.AmbiguousWrite("etcd's client lost a write")

    def _collect(self) -> None:
        while not self._acks.empty():
            self._settle(self._acks.get())

    def _settle(self, ack: apply.Ack) -> None:
        self._wrote(ack, self._applier.settle(ack))

    def _wrote(self, ack: apply.Ack, settled: apply.Settled) -> None:
        ctx = self._ctx
        for write, reason in settled.refused:
            self._facts.unsyncable.add(write.path, reason, ctx.log)
        gone = sum(write.value is None for write in settled.theirs)
        self._delete, self._put = self._delete - gone, self._put - len(settled.theirs) + gone
        event_log.tell(ctx, ack, settled.done, "base", ctx.trace_id, 0.0)
        self._facts.wrote(count := len(settled.done), settled.zxid)
        self._written += count

    # --- deletes -----------------------------------------------------------------------------

    def _is_ours(self, key: bytes) -> bool:
        """Hold a key that only etcd has, unless it is foreign or excluded."""
        path = self._ctx.mapping.path(key)
        if path is None:
            self._ctx.log.debug("foreign key kept", key=tree.shown(key))
            return False
        if self._ctx.mapping.is_excluded(path):
            return False
        if self._ctx.config.sync.deletes == "apply":
            self._extras.append(path)
            if len(self._extras) >= _CONFIRM_AT:
                self._confirm()
        return True

    def _confirm(self) -> None:
        """Keep of the held paths those that ZooKeeper says are absent. Deletes that were seen live,
        before an overflow, are facts and no guard case. The others stay in bounded memory: beyond
        the guard's room it trips anyway."""
        paths, self._extras = self._extras, []
        ctx, waiting = self._ctx, self._ctx.waiting
        there: list[tuple[tree.Node, int]] = []
        for verdict in confirm.read_again(ctx, paths):
            if confirm.is_absent(ctx, verdict.node):
                live = self._guard.exempts and self._was_deleted(verdict.path)
                if waiting.missed(verdict.path, time.monotonic(), ctx.grace, live=live):
                    continue
                if live:
                    self._seen.append(verdict.path)
                    continue
                self._unseen_total += 1
                self._guard.went.saw(verdict.path)
                if len(self._unseen) <= self._guard.room:
                    self._unseen.append(verdict.path)
            elif isinstance(verdict.node, tree.Node):
                there.append((verdict.node, verdict.zxid))
        self._put_if_other(there)

    def _put_if_other(self, nodes: Sequence[tuple[tree.Node, int]]) -> None:
        """Nodes that the walk could not see, below one whose children it may not list, say: they
        are written like any other, if etcd has another value."""
        keys = [self._ctx.mapping.key(node.path) for node, _ in nodes]
        for key, (node, zxid), held in zip(keys, nodes, self._ctx.etcd.lookup(keys), strict=True):
            if held is None or held.value != node.data:
                self._put += 1
                self._write([plan.put(key, node)], zxid)

    def _deletes(self, present_keys: int, *, root: bool) -> None:
        if self._extras:
            self._confirm()
            self._drain()
        keeps = keeping.OfBase(self._ctx, self._facts, self._guard, self._seen, self._unseen)
        self._unseen_total = keeps.spare(self._unseen_total)
        self._apply_deletes(self._seen)
        keeps.end()
        if self._guard.allows(self._unseen, self._unseen_total, present_keys, root=root):
            self._apply_deletes(self._unseen)
            self._guard.end(soon=True)

    def _apply_deletes(self, paths: list[bytes]) -> None:
        """Each is read once more just before it goes."""
        if not paths:
            return
        known = self._applier.zxid
        for verdict in confirm.read_again(self._ctx, paths):
            if not confirm.is_absent(self._ctx, verdict.node):
                self._again(verdict.path)
                continue
            self._delete += 1
            key = self._ctx.mapping.key(verdict.path)
            zxid = known if verdict.node is tree.Miss.NO_NODE else 0
            self._write([plan.Write(key, None, verdict.path, zxid)], verdict.zxid)
        self._drain()
