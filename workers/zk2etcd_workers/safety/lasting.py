"""Deletes of a shard that follows, where the last key below a folder stays.

Each waits, at the end of the turn in which it was read, until all of that turn are judged together;
what is decided counts as gone at once, also for those of a full sync's repairs. What stays waits
for no time: a node that comes, or a folder that goes, has it looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from zk2etcd_workers.model import plan
from zk2etcd_workers.model.live import last
from zk2etcd_workers.safety import keeping
from zk2etcd_workers.shard import apply, context, facts as shard_facts


class Judged(NamedTuple):
    free: Sequence[plan.Write]
    kept: Sequence[plan.Write]


_NONE = Judged((), ())


class Lasting:
    """One stretch of following. Used by the shard's thread only.

    :param mark: makes a path dirty again, as one that was seen to go.
    :param below: has all that etcd has below a path looked at.
    """

    def __init__(
        self,
        ctx: context.Context,
        facts: shard_facts.Facts,
        mark: Callable[[bytes], None],
        below: Callable[[bytes], None],
    ) -> None:
        self.is_on = keeping.is_on(ctx)
        self._ctx, self._facts = ctx, facts
        self._mark, self._below = mark, below
        self._keeping = keeping.Keeping(ctx, live=True)
        self._kept = ctx.kept
        self._going = last.Going()
        self._asked: list[plan.Write] = []

    def asks(self, write: plan.Write) -> None:
        """May this delete go? Not before it was `judged`."""
        self._asked.append(write)

    def judged(self) -> Judged:
        """Those that asked.

        :raises errors.Zk2EtcdError: a side did not answer.
        """
        if not self._asked:
            return _NONE
        writes, self._asked = self._asked, []
        kept = self.keeps([write.path for write in writes])
        return Judged(
            [write for write in writes if write.path not in kept],
            [write for write in writes if write.path in kept],
        )

    def keeps(self, paths: Sequence[bytes]) -> Collection[bytes]:
        """Those of these deletes that may not go now. All others count as going from here on,
        until their Txn has `settled`.

        :raises errors.Zk2EtcdError: a side did not answer.
        """
        if not (self.is_on and paths):
            return ()
        found = {each.path: each for each in self._keeping.of(paths, self._going)}
        for path in paths:
            if path in found:
                self._kept.add(path)
            else:
                self._kept.discard(path)
                self._going.add(path)
        for each in found.values():
            if each.has_more:
                self._below(each.path)
        return found

    def stays(self, path: bytes) -> None:
        """Its delete is not to be asked for after all."""
        self._going.discard(path)

    def settled(self, settled: apply.Settled) -> None:
        """A Txn of these has ended."""
        if not self.is_on:
            return
        refused = (write for write, _ in settled.refused)
        for write in (*settled.done, *settled.theirs, *settled.moved, *refused):
            if write.value is None and not self._ctx.dry_run:
                self._going.discard(write.path)
        for write in settled.done if self._kept else ():
            if write.value is not None:
                self.came(write.path)

    def came(self, path: bytes) -> None:
        """There is a key of this node: what was kept for want of one may go."""
        if self._kept:
            self._kept.discard(path)
            while path != self._ctx.root:
                path = last.folder_of(path)
                self._look(path)

    def is_there(self, path: bytes) -> None:
        """This node was read."""
        if self.is_on:
            self._kept.discard(path)
            self._going.discard(path)

    def is_gone(self, path: bytes) -> None:
        """There is no such node: what was kept below it may go."""
        if self._kept:
            self._look(path)

    def _look(self, folder: bytes) -> None:
        if (path := self._kept.of(folder)) is not None:
            self._mark(path)
        elif self._kept.forgets(folder):
            self._below(folder)

    def compared(self, found: Collection[bytes] | None) -> None:
        """A full sync found these to be kept, None: it did not look. What is known otherwise is
        looked at again: somebody else deleted a key, say."""
        if self.is_on and found is not None:
            for path in set(found).symmetric_difference(self._kept.paths):
                self._mark(path)

    def tick(self) -> None:
        if self.is_on:
            keeping.tell(self._ctx, self._facts)
