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
from typing import Any, Literal, NamedTuple

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import full_sync
from zk2etcd_workers.mirror.mending import etcd_side
from zk2etcd_workers.model import pacing, plan, tree
from zk2etcd_workers.shard import apply, confirm, context, dirty_paths, untold
from zk2etcd_workers.zookeeper import protocol, reply as replies

Batch = etcd_side.Batch
Found = etcd_side.Found
_AT_ONCE = 3
"""Batches under way where values are small: while one is written the next is read."""


class _Writing(NamedTuple):
    """A repair under way: since a stranger changed its key; no event had told of it; its key was
    somebody else's, as far as was known."""

    strange: bool
    untold: bool
    passed: bool


class Repairs:
    """The repairs of one full sync after another, batch by batch, on the shard's thread."""

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
        self._was_strange = False
        """Whether the last batch was of those."""
        self._ramp = pacing.Ramp(ctx.etcd.learned.reads, lambda: _large(ctx))
        self._received = 0
        self._batches = itertools.count()
        self._reading: dict[int, tuple[float, etcd_side.Asked]] = {}
        self._writing: dict[bytes, _Writing] = {}
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
        if self._ended is None or self._nominated:
            return False
        reading = any(not asked.strange for _, asked in self._reading.values())
        return not reading and all(each.strange for each in self._writing.values())

    def waited(self, now: float) -> float:
        """Seconds since the oldest batch began that is still being read."""
        return now - min((began for began, _ in self._reading.values()), default=now)

    def close(self) -> full_sync.Ended:
        """Hand over the end of the full sync, for the one report of it."""
        ended, self._ended = self._ended, None
        self._told.ends(self.missed)
        assert ended is not None
        return ended

    def begin(self) -> None:
        """Start the next batches. What is dirty is about to be read and written anyway; what is
        busy waits."""
        while (self._strange or self._nominated) and self._has_room():
            # In turn, so that neither waits for the last of the others.
            for strange in (not self._was_strange, self._was_strange):
                if batch := self._next(strange=strange):
                    self._was_strange = strange
                    self._look(etcd_side.Asked(next(self._batches), batch, strange))
                    break
            else:
                return

    def _has_room(self) -> bool:
        """Of small values more than one batch goes at once, of large ones the next has to wait."""
        under_way = len(self._writing) + sum(len(each.paths) for _, each in self._reading.values())
        if not under_way:
            return True
        batch = self._most()
        return self._ramp.is_full and under_way + batch <= _AT_ONCE * batch

    def _most(self) -> int:
        """Paths in one batch."""
        reads = self._ctx.etcd.learned.reads // (1 if self._ctx.marks is None else 2)
        return max(1, min(reads, self._ramp.batch))

    def _next(self, *, strange: bool) -> list[bytes]:
        batch, later = [], []
        waiting: Collection[bytes] = self._strange if strange else self._nominated
        most = min(self._most(), len(waiting))
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

    def _look(self, asked: etcd_side.Asked) -> None:
        self._reading[asked.number] = time.monotonic(), asked
        for path in asked.paths:
            self._busy[path] = self._dirty.sequence & ~1
        reads = [wire.Range(self._ctx.mapping.key(path)) for path in asked.paths]
        if self._ctx.marks is not None:
            reads += [wire.Range(self._ctx.ours.key(path)) for path in asked.paths]
        self._ctx.etcd.txn_soon(
            wire.Txn((), reads), lambda answer, error: self._deliver(Found(asked, answer, error))
        )

    def found(self, found: Found) -> None:
        """etcd's side is known; read ZooKeeper's.

        :raises errors.EtcdError: etcd did not answer.
        """
        too_many = isinstance(found.error, errors.TooManyOperations | errors.TooLarge)
        if too_many and self._ctx.etcd.learned.fewer_reads(len(found.asked.paths)):
            self._later(found.asked)
            return
        if found.error is not None or found.answer is None:
            raise found.error or errors.EtcdUnavailable("etcd did not answer a repair's read")
        answer, asked = found.answer, found.asked
        there = {path: kv for at, path in enumerate(asked.paths) for kv in answer.kvs(at)}
        self._ramp.saw(sum(len(kv.value) for kv in there.values()))
        self._read(etcd_side.batch(self._ctx, asked, there, answer))

    def _later(self, asked: etcd_side.Asked) -> None:
        """Give a batch up before anything of it was written; it comes again."""
        del self._reading[asked.number]
        self._give_back(asked.paths, strange=asked.strange)

    def _give_back(self, paths: Sequence[bytes], *, strange: bool) -> None:
        """They come once more."""
        for path in paths:
            self._busy.pop(path, None)
        self._ctx.etcd.give(len(paths))
        if strange:
            self.strange(paths)
        else:
            self._nominated += paths

    def _read(self, batch: Batch) -> None:
        # Walks of other shards may hold all permits for a moment; repairs are in no hurry.
        asked = batch.asked
        wanted = pacing.fitting(asked.paths, self._ctx.session.request_size.most)
        while not (granted := self._ctx.session.take(wanted, live=True)):
            self._ctx.turn.pause(0.002)
        now, later = asked.paths[:granted], asked.paths[granted:]
        self._give_back(later, strange=asked.strange)
        ops = [(protocol.GET_DATA, path) for path in now]
        self._ctx.session.read(ops, self._deliver, batch)

    def read(self, reply: replies.Reply) -> None:
        """Both sides are known; write what differs. An event comes before any reply that shows
        its change: a path that is dirty by now differs because it has just changed."""
        batch: Batch = reply.tag
        strange = batch.asked.strange
        del self._reading[batch.asked.number]
        self._ramp.saw(sum(len(node.data) for node in reply.results if type(node) is tree.Node))
        writes = []
        for (_, path), node in zip(reply.ops, reply.results, strict=True):
            there = batch.there.get(path)
            write, passed = None, False
            if path in batch.theirs:
                self._collides(path, node)
            else:
                write = self._compare(path, node, there, strange=strange)
                passed = self._passes(path, differs=write is not None)
            if write is None or path in self._dirty:
                self._busy.pop(path, None)
            else:
                untold = not strange and self._told.is_untold(path, node, there)
                self._writing[path] = _Writing(strange, untold, passed)
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
        self, path: bytes, node: tree.Node | tree.Miss, there: wire.Present | None, *, strange: bool
    ) -> plan.Write | None:
        key = self._ctx.mapping.key(path)
        revision = there.revision if there else 0
        if confirm.is_absent(self._ctx, node):
            never = strange or self._ctx.config.sync.deletes == "never"
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

    def _passes(self, path: bytes, *, differs: bool) -> bool:
        """Nobody else has its key; True if somebody had, as far as was known, and it is written."""
        if not self._ctx.conflicts.has(path):
            return False
        if not differs:
            self._ctx.conflicts.discard(path)
        return differs

    def applied(self, settled: apply.Settled) -> None:
        """A Txn of repairs has ended; what moved meanwhile is looked at once more."""
        for write in settled.done:
            self._repaired(write, self._writing.pop(write.path))
        for write in (*settled.theirs, *(write for write, _ in settled.refused)):
            self._writing.pop(write.path, None)
        for write in settled.moved:
            found = self._writing.pop(write.path)
            self._busy.pop(write.path, None)
            if found.strange:
                # Whoever writes faster than we look would have us look for ever.
                self.on_drift(write.path, False)
            else:
                self._nominated.append(write.path)

    def _repaired(self, write: plan.Write, found: _Writing) -> None:
        kind: Literal["put", "delete"] = "delete" if write.value is None else "put"
        if not found.strange:
            self.put += kind == "put"
            self.deleted += kind == "delete"
        if found.passed and kind == "put":
            # Nothing was wrong: somebody has let go of it.
            self.log.info("a key is ours now", path=tree.shown(write.path))
        elif found.strange:
            self._put_right(write.path)
        else:
            self._ctx.instruments.fixed(kind)
            self.missed += found.untold
            self._ctx.instruments.missed(int(found.untold))
            self.log.warning("repaired", path=tree.shown(write.path), op=kind, missed=found.untold)

    def _put_right(self, path: bytes) -> None:
        self._ctx.instruments.drift_repaired()
        self._ctx.log.warning("a stranger's change was put right", path=tree.shown(path))
        self.on_drift(path, True)


def _large(ctx: context.Context) -> int:
    """Bytes from which on an answer, of either side, is a large one."""
    return min(ctx.session.line.large(), ctx.etcd.learned.down.large())
