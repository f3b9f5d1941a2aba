"""The pipeline of one shard: dirty paths are read again in ZooKeeper and written to etcd.

A path is *busy* from the sending of its read until its Txn is acknowledged, and a dirty mark on a
busy path waits: so no read overtakes another and no key has two writes in flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from zk2etcd import errors
from zk2etcd_workers.model import pacing, plan, tree
from zk2etcd_workers.shard import apply, context, dirty_paths, unchanged
from zk2etcd_workers.zookeeper import protocol

_READS_IN_FLIGHT = 4
_BATCH = 64
_SEND_AT = 512
_EAGER_TXNS = 2
LOST_AFTER = 5.0
"""Seconds beyond its own deadline after which an answer is not waited for any more."""


class Pipeline:
    """What is read and written at once, and how much. Used by the shard's thread only; `busy` are
    the paths with their marks."""

    def __init__(
        self,
        ctx: context.Context,
        dirty: dirty_paths.Dirty,
        applier: apply.Applier,
        deliver: Callable[[Any], None],
    ) -> None:
        self._ctx = ctx
        self._dirty = dirty
        self._applier = applier
        self._deliver = deliver
        self._reads = 0
        self._batch = 0
        self._read_at = 0.0
        self._ramp = pacing.Ramp(_BATCH, ctx.session.line.large)
        self._unchanged = unchanged.Unchanged()
        self._known: dict[int, int] = {}
        self.busy: dict[bytes, int] = {}

    @property
    def waits(self) -> bool:
        """Something is to be sent that could not be sent yet, and no answer may be on its way."""
        return bool(self._applier.waiting) or (bool(self._dirty) and self._reads == 0)

    def read(self) -> None:
        """Send as many reads of dirty paths as may go now; their tags are numbers."""
        if not self._dirty and not self._reads:
            self._ramp.rest()
        while self._dirty and self._reads < _READS_IN_FLIGHT and not self._applier.is_ahead():
            granted = self._ctx.session.take(min(self._ramp.batch, len(self._dirty)), live=True)
            if not granted:
                return
            paths = self._fresh(granted)
            fitting = pacing.fitting(paths, self._ctx.session.request_size.most)
            for path in paths[fitting:]:
                self._dirty.put_back(path, self.busy.pop(path))
            del paths[fitting:]
            self._ctx.session.give(granted - len(paths))
            if not paths:
                return
            if not self._reads:
                self._read_at = time.monotonic()
            self._reads += 1
            ops = [(protocol.GET_DATA, path) for path in paths]
            self._batch += 1
            self._known[self._batch] = self._applier.zxid
            self._ctx.session.read(ops, self._deliver, self._batch)

    def _fresh(self, count: int) -> list[bytes]:
        """Dirty paths that are not busy; they are busy from now on. The others wait."""
        busy = self.busy
        paths = []
        for path, mark in self._dirty.take(count).items():
            if path in busy:
                self._dirty.put_back(path, mark)
            else:
                busy[path] = mark
                paths.append(path)
        return paths

    def answered(self, batch: int) -> int:
        """A read was answered, or failed: the zxid that the server had reached when it was sent, at
        least."""
        self._reads -= 1
        self._read_at = time.monotonic()
        return self._known.pop(batch)

    def saw(self, results: Sequence[tree.Result]) -> None:
        """What a read found: how large values are decides how many the next ones ask for."""
        self._ramp.saw(sum(len(each.data) for each in results if type(each) is tree.Node))

    def write(self) -> None:
        """Send at once while little is under way, so that one change is fast; let writes gather
        when more is, so that many changes are few Txns."""
        applier = self._applier
        while applier.waiting and (
            applier.in_flight < _EAGER_TXNS or applier.waiting >= _SEND_AT or applier.is_full()
        ):
            if not applier.flush(ranged=True):
                return

    def wrote(self, write: plan.Write) -> None:
        """It was acknowledged."""
        self._unchanged.wrote(write.path, write.value)
        self.release(write.path)

    def stands(self, path: bytes, value: bytes) -> bool:
        """A put of it would change nothing."""
        return self._unchanged.stands(path, value)

    def doubts(self, path: bytes) -> None:
        """Somebody else wrote its key: what stands there is not known."""
        self._unchanged.wrote(path, None)

    def release(self, path: bytes) -> None:
        """Its write was acknowledged, or there is nothing to write."""
        self.busy.pop(path, None)

    def again(self, path: bytes) -> None:
        """It was read, and is read again before anything is done about it."""
        self._dirty.put_back(path, self.busy.pop(path))

    def put_back(self) -> None:
        """What was seen deleted and is not acknowledged is still a fact for the next base."""
        for path, mark in self.busy.items():
            self._dirty.put_back(path, mark)

    def lost(self, now: float, repairs: float) -> None:
        """Every call has a deadline of its own; this one is for an answer that never comes, and
        would leave its paths busy for good.

        :param repairs: seconds for which a read of etcd for repairs has been under way.
        :raises errors.AmbiguousWrite: a Txn, `SessionDoubt`: a read was not answered.
        """
        settings = self._ctx.config
        patience = settings.etcd.request_timeout + LOST_AFTER
        if self._applier.oldest(now) > patience or repairs > patience:
            raise errors.AmbiguousWrite("etcd's client lost an answer")
        patience = settings.zookeeper.request_timeout + LOST_AFTER
        if self._reads and now - self._read_at > patience:
            raise errors.SessionDoubt("ZooKeeper's client lost an answer")
