"""A full sync: compare a walk of ZooKeeper with etcd, values too, and nominate what differs.

It never writes. It runs in a thread of its own, beside the pipeline, so that live changes are not
held up; what it finds may be no more than a change that is under way, which the pipeline knows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.belonging import conflicts, forms, marks
from zk2etcd_workers.model import plan, tree
from zk2etcd_workers.safety import guard_record, keeping
from zk2etcd_workers.shard import confirm, context, facts as shard_facts
from zk2etcd_workers.walk import beside, course, marked, snapshot

_NOMINATE_AT = 100
_CONFIRM_AT = 2048
_SETTLE = 1.0
_MOST_WAITING = 10_000
_LOOK_AGAIN = 0.02
_ORPHANS = 50


class Nominated(NamedTuple):
    paths: Sequence[bytes]


class Ended(NamedTuple):
    """`took` in seconds; `error` None if it saw everything. `kept`: the paths of keys that stay as
    the last of their folders; None if nobody looked, or more is held."""

    keys: int
    took: float
    error: errors.Zk2EtcdError | None
    kept: Sequence[bytes] | None = None


class FullSync:
    def __init__(
        self, ctx: context.Context, facts: shard_facts.Facts, deliver: Callable[[Any], None]
    ) -> None:
        # A pulse of its own: this thread's life says nothing of the pipeline's.
        self._turn = turn.Turn()
        self._ctx = dataclasses.replace(ctx, turn=self._turn)
        self._facts = facts
        self._deliver = deliver
        self._thread = threading.Thread(target=self._run, name="full sync", daemon=True)
        self._walk: snapshot.Walk | None = None
        self._nominated: list[bytes] = []
        self._sent = 0
        self.taken = 0
        self._extras: list[bytes] = []
        self._absent: list[bytes] = []
        self._confirmed = 0
        self._absent_total = 0
        self._goes = 0
        """How many of those that only etcd has do not stay, or are there after all."""
        self._kept: Sequence[bytes] | None = None
        self._guard = guard_record.Guarding(ctx, facts)
        self._token = ctx.fence.token

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; it only reads, so nobody needs to wait."""
        self._turn.stop()

    def course(self, written: Callable[[], int]) -> course.Course:
        """How far it is. `written`: how many repairs were made."""

        def seen() -> course.Seen:
            walk = self._walk
            return course.Seen() if walk is None else course.Seen(walk.read, walk.nodes, written())

        return course.Course("full_sync", seen, self._facts.expected(), time.monotonic())

    def _run(self) -> None:
        started = time.monotonic()
        keys, failure = 0, None
        try:
            keys = self._compare()
        except turn.Stopped:
            return
        except errors.Zk2EtcdError as error:
            failure = error
        except Exception as error:
            self._ctx.log.exception("full sync failed")
            failure = errors.ZooKeeperError(f"a full sync failed: {type(error).__name__}")
        self._deliver(Ended(keys, time.monotonic() - started, failure, self._kept))

    def _compare(self) -> int:
        ctx = self._ctx
        guard = self._guard
        guard.resume()
        walk = self._walk = ctx.walk(self._facts.largest)
        counts = plan.Counts()
        shown = time.monotonic()
        met = conflicts.Found(ctx.conflicts, ctx.log, self._nominate_all)
        with contextlib.closing(ctx.reader(ctx.trace_id, yields=True, met=met)) as reader:
            sides = walk, walk.beside(reader, self._facts.sized)
            for change in beside.differences(*sides, ctx.mapping.buckets, counts):
                if isinstance(change, plan.Extra):
                    counts.present -= not self._hold(change.key)
                else:
                    guard.creates(change)
                    self._nominate_all([write.path for write in change])
                if time.monotonic() - shown > 0.2:
                    shown = time.monotonic()
                    self._turn.beat()
        if ctx.marks is not None and isinstance(reader, marked.Reader):
            self._collect(ctx.marks, reader.orphans)
            if met.is_unsure:
                ctx.marks.knows_less()
        self._facts.unsyncable.walked(walk.opaque_sample, walk.opaque, ctx.log)
        root = walk.root is not None or walk.opaque > 0
        self._deletes(guard, counts.present, root=root)
        self._flush()
        self._facts.found(walk, counts.wanted, max(0, counts.extra - self._goes))
        return max(0, counts.wanted - len(ctx.conflicts))

    def _collect(self, of: marks.Marks, orphans: Mapping[bytes, marks.Title]) -> None:
        """Delete marks that say nothing of what is there."""
        found, most = list(orphans.items()), _ORPHANS
        if self._ctx.dry_run:
            return
        while found:
            gone = [forms.orphan(of, key, title) for key, title in found[:most]]
            try:
                self._ctx.fence.write(gone, self._token)
            except errors.TooManyOperations:
                if most == 1:
                    raise
                most //= 2
                continue
            del found[:most]
        if orphans:
            self._ctx.log.info("marks without their keys were deleted", count=len(orphans))

    def _nominate_all(self, paths: Sequence[bytes]) -> None:
        for path in paths:
            self._nominate(path)

    def _nominate(self, path: bytes) -> None:
        self._nominated.append(path)
        if len(self._nominated) >= _NOMINATE_AT:
            self._flush()

    def _flush(self) -> None:
        """An etcd that lost everything differs in every path: what waits for its repair has a
        bound. `taken`, set by the pipeline, is how many do not wait any more."""
        paths, self._nominated = self._nominated, []
        while self._sent - self.taken > _MOST_WAITING:
            self._turn.pause(_LOOK_AGAIN)
        if paths:
            self._sent += len(paths)
            self._deliver(Nominated(paths))

    def _hold(self, key: bytes) -> bool:
        """Hold a key that only etcd has; False if it is foreign or excluded."""
        path = self._ctx.mapping.path(key)
        if path is None or self._ctx.mapping.is_excluded(path):
            return False
        if self._ctx.config.sync.deletes == "apply":
            self._extras.append(path)
            if len(self._extras) >= _CONFIRM_AT:
                self._confirm()
        return True

    def _confirm(self) -> None:
        """Keep of the held paths those that are absent; in bounded memory, since beyond
        `max_deletes` the guard trips anyway and only their number matters."""
        paths, self._extras = self._extras, []
        self._confirmed += len(paths)
        absent = self._still_absent(paths)
        room = self._guard.room + 1 - len(self._absent)
        self._absent_total += len(absent)
        self._absent += absent[: max(0, room)]

    def _deletes(self, guard: guard_record.Guarding, present_keys: int, *, root: bool) -> None:
        """Nominate the deletes that stand a second look, if the guard allows them.

        A delete that is under way live looks like a missing node for a moment: so each is looked
        at again, after a pause.
        """
        self._confirm()
        if self._absent and self._absent_total == len(self._absent):
            self._turn.pause(_SETTLE)
            self._absent = self._still_absent(self._absent)
            self._absent_total = len(self._absent)
        kept = self._spare()
        for path in self._absent:
            guard.went.saw(path)
        if guard.allows(self._absent, self._absent_total, present_keys, root=root):
            self._goes = self._confirmed - len(kept)
            for path in self._absent:
                self._nominate(path)
            guard.end()
            self._kept = kept

    def _spare(self) -> Sequence[bytes]:
        """What is to stay is none of them: nobody holds it."""
        is_on = keeping.is_on(self._ctx) and not self._guard.holds_all
        if not is_on or self._absent_total > len(self._absent):
            return ()
        kept = {each.path for each in keeping.Keeping(self._ctx).of(self._absent)}
        self._absent = [path for path in self._absent if path not in kept]
        self._absent_total = len(self._absent)
        return tuple(kept)

    def _still_absent(self, paths: Sequence[bytes]) -> list[bytes]:
        """Those that etcd still has and ZooKeeper still has not. One that can be read after all,
        below a node whose children may not be listed, say, is nominated to be compared."""
        there = self._in_etcd(paths)
        absent = []
        for verdict in confirm.read_again(self._ctx, [path for path in paths if path in there]):
            if confirm.is_absent(self._ctx, verdict.node):
                if not self._ctx.waiting.waits(verdict.path):
                    absent.append(verdict.path)
            elif isinstance(verdict.node, tree.Node):
                self._nominate(verdict.path)
        return absent

    def _in_etcd(self, paths: Sequence[bytes]) -> set[bytes]:
        keys = [self._ctx.ours.key(path) for path in paths]
        found = self._ctx.etcd.lookup(keys, keys_only=True)
        return {path for path, held in zip(paths, found, strict=True) if held is not None}
