"""Repairs: what a full sync nominates is read again on both sides, etcd first, and written only if
it still differs and its key is still at the revision that was compared.

What is repaired here was missed by the live pipeline, or somebody wrote into etcd: it is counted
and logged with its path, and which of the two it was (`shard/untold`). What a watch told of as
strangers' goes the same way, but for deletes: those are a full sync's and its guard's.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterable, MutableMapping, Sequence
from typing import Any, Literal

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import full_sync
from zk2etcd_workers.mirror.mending import etcd_side
from zk2etcd_workers.model import pacing, plan, tree
from zk2etcd_workers.shard import apply, confirm, context, dirty_paths, untold
from zk2etcd_workers.zookeeper import protocol, reply as replies

Batch = etcd_side.Batch
Found = etcd_side.Found


class Repairs:
    """The repairs of one full sync after another, one batch at a time, on the shard's thread."""

    def __init__(
        self,
        ctx: context.Context,
        applier: apply.Applier,
        busy: MutableMapping[bytes, int],
        dirty: dirty_paths.Dirty,
        told: untold.Untold,
        deliver: Callable[[Any], None],
        keeps: Callable[[Sequence[bytes]], Collection[bytes]] = lambda _: (),
    ) -> None:
        """:param keeps: those of these paths, of nodes that are gone, whose keys are to stay."""
        self._ctx, self._keeps = ctx, keeps
        self._applier = applier
        self._busy = busy
        self._dirty = dirty
        self._told = told
        self._deliver = deliver
        self._nominated: list[bytes] = []
        self._strange: dict[bytes, None] = {}
        self._is_strange = False
        """Whether the batch under way, or the last one, is of those."""
        self._ramp = pacing.Ramp(ctx.etcd.learned.reads, lambda: _large(ctx))
        self._received = 0
        self._reading = False
        self._began = 0.0
        self._writing: dict[bytes, bool] = {}
        """Whether no event had told of it."""
        self._passed: set[bytes] = set()
        """Of the batch, those whose keys were somebody else's, as far as was known."""
        self._ended: full_sync.Ended | None = None
        self.trace_id = ctx.trace_id
        self.log = ctx.log
        self.put = self.deleted = self.missed = 0
        self.on_drift: Callable[[bytes, bool], None] = lambda *_: None
        """Told of each key that a stranger changed: it was put right, or changed once more."""

    def nominate(self, paths: Sequence[bytes]) -> None:
        self._nominated += paths
        self._received += len(paths)

    def strange(self, paths: Iterable[bytes]) -> None:
        """Strangers changed the keys of these."""
        self._strange.update(dict.fromkeys(paths))

    @property
    def taken(self) -> int:
        """How many of those nominated in this full sync do not wait any more."""
        return self._received - len(self._nominated)

    def finish(self, ended: full_sync.Ended) -> None:
        """The full sync has nominated all it had."""
        self._ended = ended

    def reset(self, ctx: context.Context) -> None:
        """A full sync starts: count from nought, and log in its name."""
        self.trace_id, self.log = ctx.trace_id, ctx.log
        self.put = self.deleted = self.missed = self._received = 0

    def written(self) -> int:
        """Keys put and deleted in this full sync."""
        return self.put + self.deleted

    @property
    def waits(self) -> bool:
        """Some are to be looked at, and nothing is under way whose end would say when: no more may
        be written now (`max_writes_per_second`), or all of them are busy."""
        return bool(self._strange or self._nominated) and not (self._reading or self._writing)

    @property
    def finished(self) -> bool:
        busy = (self._reading or self._writing) and not self._is_strange
        return self._ended is not None and not (self._nominated or busy)

    def waited(self, now: float) -> float:
        """Seconds since the batch began that is still being read."""
        return now - self._began if self._reading else 0.0

    def close(self) -> full_sync.Ended:
        """Hand over the end of the full sync, for the one report of it."""
        ended, self._ended = self._ended, None
        self._told.ends(self.missed)
        assert ended is not None
        return ended

    def begin(self) -> None:
        """Start the next batch if none is under way. What is dirty is about to be read and written
        anyway; what is busy waits."""
        if self._reading or self._writing or not (self._strange or self._nominated):
            return
        # In turn, so that neither waits for the last of the others.
        for strange in (not self._is_strange, self._is_strange):
            if batch := self._next(strange=strange):
                self._is_strange = strange
                self._look(batch)
                return

    def _next(self, *, strange: bool) -> list[bytes]:
        batch, later = [], []
        reads = self._ctx.etcd.learned.reads // (1 if self._ctx.marks is None else 2)
        waiting: Collection[bytes] = self._strange if strange else self._nominated
        most = min(max(1, min(reads, self._ramp.batch)), len(waiting))
        if not (most := self._ctx.etcd.take(most)):
            return []
        first = list(itertools.islice(waiting, most))
        for path in dict.fromkeys(first):  # A walk may have doubts about what it nominates.
            if path in self._busy:
                later.append(path)
            elif path not in self._dirty:
                batch.append(path)
        if strange:
            for path in first:
                del self._strange[path]
            self.strange(later)
        else:
            self._nominated = self._nominated[most:] + later
        self._ctx.etcd.give(most - len(batch))
        return batch

    def _look(self, batch: list[bytes]) -> None:
        self._reading = True
        self._began = time.monotonic()
        for path in batch:
            self._busy[path] = self._dirty.sequence & ~1
        reads = [wire.Range(self._ctx.mapping.key(path)) for path in batch]
        if self._ctx.marks is not None:
            reads += [wire.Range(self._ctx.ours.key(path)) for path in batch]
        self._ctx.etcd.txn_soon(
            wire.Txn((), reads), lambda answer, error: self._deliver(Found(batch, answer, error))
        )

    def found(self, found: Found) -> None:
        """etcd's side is known; read ZooKeeper's.

        :raises errors.EtcdError: etcd did not answer.
        """
        too_many = isinstance(found.error, errors.TooManyOperations | errors.TooLarge)
        if too_many and self._ctx.etcd.learned.fewer_reads(len(found.paths)):
            self._later(found.paths)
            return
        if found.error is not None or found.answer is None:
            raise found.error or errors.EtcdUnavailable("etcd did not answer a repair's read")
        there = {}
        for at, path in enumerate(found.paths):
            for kv in found.answer.kvs(at):
                there[path] = kv
        self._ramp.saw(sum(len(kv.value) for kv in there.values()))
        self._read(etcd_side.batch(self._ctx, found.paths, there, found.answer))

    def _later(self, paths: Sequence[bytes]) -> None:
        """Give a batch up before anything of it was written; it comes again."""
        self._reading = False
        for path in paths:
            self._busy.pop(path, None)
        self._ctx.etcd.give(len(paths))
        self._again(paths)

    def _again(self, paths: Sequence[bytes]) -> None:
        """Those of the batch under way come once more."""
        if self._is_strange:
            self.strange(paths)
        else:
            self._nominated += paths

    def _read(self, batch: Batch) -> None:
        # Walks of other shards may hold all permits for a moment; repairs are in no hurry.
        wanted = pacing.fitting(batch.paths, self._ctx.session.request_size.most)
        while not (granted := self._ctx.session.take(wanted, live=True)):
            self._ctx.turn.pause(0.002)
        now, later = batch.paths[:granted], batch.paths[granted:]
        for path in later:
            self._busy.pop(path, None)
        self._ctx.etcd.give(len(later))
        self._again(later)
        ops = [(protocol.GET_DATA, path) for path in now]
        self._ctx.session.read(ops, self._deliver, batch._replace(paths=now))

    def read(self, reply: replies.Reply) -> None:
        """Both sides are known; write what differs. An event comes before any reply that shows
        its change: a path that is dirty by now differs because it has just changed."""
        self._reading = False
        self._ramp.saw(sum(len(node.data) for node in reply.results if type(node) is tree.Node))
        writes = []
        self._passed.clear()
        for (_, path), node in zip(reply.ops, reply.results, strict=True):
            there = reply.tag.there.get(path)
            if path in reply.tag.theirs:
                self._collides(path, node)
                write = None
            else:
                write = self._compare(path, node, there)
                self._is_ours(path, differs=write is not None)
            if write is None or path in self._dirty:
                self._busy.pop(path, None)
            else:
                untold = not self._is_strange and self._told.is_untold(path, node, there)
                self._writing[path] = untold
                writes.append(write)
        writes = self._spared(writes)
        self._ctx.etcd.give(len(reply.ops) - len(writes))
        if writes:
            self._applier.guarded(writes)

    def _spared(self, writes: list[plan.Write]) -> list[plan.Write]:
        """Without the deletes of keys that are to stay."""
        if kept := self._keeps([write.path for write in writes if write.value is None]):
            for path in kept:
                del self._writing[path], self._busy[path]
        return [write for write in writes if write.path not in kept]

    def _compare(
        self, path: bytes, node: tree.Node | tree.Miss, there: wire.Present | None
    ) -> plan.Write | None:
        key = self._ctx.mapping.key(path)
        revision = there.revision if there else 0
        if confirm.is_absent(self._ctx, node):
            never = self._is_strange or self._ctx.config.sync.deletes == "never"
            if there is None or never or self._ctx.waiting.keeps(path):
                return None
            return plan.Write(key, None, path, 0, 0, revision)
        if not isinstance(node, tree.Node) or (there is not None and there.value == node.data):
            return None
        return plan.put(key, node, mtime=node.mtime, expect=revision)

    def _collides(self, path: bytes, node: tree.Node | tree.Miss) -> None:
        """Its key is not ours; that is a conflict if ZooKeeper has the node."""
        if isinstance(node, tree.Node):
            if self._ctx.drift is not None and not self._ctx.conflicts.has(path):
                # Whoever lets go is looked at once this is known. Before that: now.
                self.strange((path,))
            self._ctx.conflicts.add((path,), self.log)
        elif confirm.is_absent(self._ctx, node):
            self._ctx.conflicts.discard(path)

    def _is_ours(self, path: bytes, *, differs: bool) -> None:
        """Nobody else has its key, or not any more."""
        if self._ctx.conflicts.has(path):
            if differs:
                self._passed.add(path)
            else:
                self._ctx.conflicts.discard(path)

    def applied(self, settled: apply.Settled) -> None:
        """A Txn of repairs has ended; what moved meanwhile is looked at once more."""
        for write in settled.done:
            missed = self._writing.pop(write.path, False)
            kind: Literal["put", "delete"] = "delete" if write.value is None else "put"
            if not self._is_strange:
                self.put += kind == "put"
                self.deleted += kind == "delete"
            if write.path in self._passed and kind == "put":
                # Nothing was wrong: somebody has let go of it.
                self.log.info("a key is ours now", path=tree.shown(write.path))
                continue
            if self._is_strange:
                self._put_right(write.path)
                continue
            self._ctx.instruments.fixed(kind)
            self.missed += missed
            self._ctx.instruments.missed(int(missed))
            self.log.warning("repaired", path=tree.shown(write.path), op=kind, missed=missed)
        for write, _ in settled.refused:
            self._writing.pop(write.path, None)
        for write in settled.moved:
            self._writing.pop(write.path, None)
            self._busy.pop(write.path, None)
            if self._is_strange:
                # Whoever writes faster than we look would have us look for ever.
                self.on_drift(write.path, False)
            else:
                self._nominated.append(write.path)

    def _put_right(self, path: bytes) -> None:
        self._ctx.instruments.drift_repaired()
        self._ctx.log.warning("a stranger's change was put right", path=tree.shown(path))
        self.on_drift(path, True)


def _large(ctx: context.Context) -> int:
    """Bytes from which on an answer, of either side, is a large one."""
    return min(ctx.session.line.large(), ctx.etcd.learned.down.large())
