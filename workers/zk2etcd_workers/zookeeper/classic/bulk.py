"""A bulk read for servers that have none: trains of plain reads, answered as one.

What a base reads so is watched, and a connection that is lost takes all of it with it: the base
that follows sets the watches anew. Answers and events come in the order of the wire, in one thread.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zk2etcd import metrics
from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import protocol
from zk2etcd_workers.zookeeper.classic import arming, train, watches as watching


class Line(Protocol):
    """Where requests queue up for one connection; a train has at most `train` reads."""

    train: int

    def send(self, request: Any, pending: Any) -> None: ...
    def answered(self, pending: Any) -> None: ...


class Standing:
    """What stands, and is to stand, over one connection, that of the session's `epoch`."""

    def __init__(
        self, epoch: int, send: Callable[[arming.SetWatches], Any], most: Callable[[], int]
    ) -> None:
        """For `send` and `most` see `arming.Arming`."""
        self.epoch = epoch
        self.watches = watching.Watches()
        self.arming = arming.Arming(send, most)

    def lists(self, root: bytes, epoch: int | None) -> watching.Lists:
        """See `watches.Watches.lists`; nobody knows of another epoch."""
        return self.watches.lists(root) if self.epoch == epoch else watching.NOTHING_TOLD


class Bulk:
    """One bulk read under way. Shaped like a request: `ops`; `zxid`, the highest of its replies,
    and `lowest`."""

    def __init__(
        self,
        ops: Sequence[protocol.Op],
        line: Line,
        standing: Standing | None,
        event: watching.Event,
        instruments: metrics.Instruments,
        *,
        roots: frozenset[bytes] = frozenset(),
        walks: bool = False,
        again: bool = False,
    ) -> None:
        """:param standing: None: only read.
        :param event: told of what a listing shows to be new.
        :param roots: whose absence is watched.
        :param walks: the caller lists by itself what has children, and goes on reading: leaves are
            armed when there are many of them. Else at once.
        :param again: its listings are those that events asked for.
        """
        self.ops = ops
        self.walks = walks
        self.zxid = 0
        self.lowest = 0
        self._line = line
        self._standing = standing
        self._event = event
        self._instruments = instruments
        self._roots = roots
        self._again = again
        self._results: list[Any] = [None] * len(ops)
        self._left = 0
        self._pending: Any = None

    def send(self, pending: Any) -> None:
        """Send all of it; `pending` gets the results, aligned with `ops`, or one error."""
        self._pending = pending
        place, parts = 0, []
        for ops in train.cut(self.ops, self._line.train):
            parts.append(_Part(self, self._train(ops), place))
            place += len(ops)
        self._left = len(parts)
        if not parts:
            pending.set([])
        elif self.walks and self._standing is not None:
            self._standing.arming.begins()
        for part in parts:
            self._line.send(part.train, part)

    def _train(self, ops: Sequence[protocol.Op]) -> train.Train:
        return train.Train(ops, watch=self._standing is not None)

    def answered(self, part: _Part, error: BaseException | None) -> None:
        self._line.answered(part)
        status = "success" if error is None else type(error).__name__
        self._instruments.zk_op("train", status, time.monotonic() - part.started)
        if error is not None:
            # The connection is gone, and all other parts with it.
            self._pending.set_exception(error)
            return
        found = part.train
        self.zxid = max(self.zxid, found.zxid)
        self.lowest = min(self.lowest or found.lowest, found.lowest)
        if part.place is not None:
            self._results[part.place : part.place + found.weight] = found.results
        self._left -= 1
        if self._standing is not None:
            again = self._again or part.place is None
            following = self._follow(self._standing, found, again=again)
            for ops in train.cut(following, self._line.train):
                self._left += 1
                second = _Part(self, self._train(ops), None)
                self._line.send(second.train, second)
        if not self._left:
            if self.walks and self._standing is not None:
                self._standing.arming.ends()
            self._pending.set(self._results)

    def _follow(
        self, standing: Standing, found: train.Train, *, again: bool
    ) -> Sequence[protocol.Op]:
        """What these answers say of the watches, and the reads that have to follow them."""
        watches = standing.watches
        following: list[protocol.Op] = []
        leaves: list[bytes] = []
        for are_nodes, answers in itertools.groupby(
            zip(found.ops, found.results, strict=True), _is_node
        ):
            if are_nodes:
                nodes = [node for _, node in answers]
                leaves += self._there(watches, nodes)
                following += self._to_list(watches, nodes)
                continue
            for (kind, path), value in answers:
                if isinstance(value, tree.Miss):
                    following += self._missed(watches, kind, path, value)
                elif value is True:  # a root, made between the two reads
                    self._event(watching.CREATED, path)
                else:
                    watches.listed(path, value, self._event, again=again)
        standing.arming.add(leaves, found.lowest)
        if not self.walks:
            standing.arming.flush()
        return following

    def _there(self, watches: watching.Watches, nodes: Sequence[tree.Node]) -> Sequence[bytes]:
        """These can be read: the leaves of them whose children are to be watched."""
        watches.allow([node.path for node in nodes])
        return watches.arm([node.path for node in nodes if not (node.children or node.owner)])

    def _to_list(
        self, watches: watching.Watches, nodes: Sequence[tree.Node]
    ) -> Sequence[protocol.Op]:
        """Those that have children, and are watched for them by nobody."""
        if self.walks:
            return ()
        return [
            (train.GET_CHILDREN, node.path)
            for node in nodes
            if node.children and not watches.is_armed(node.path)
        ]

    def _missed(
        self, watches: watching.Watches, kind: int, path: bytes, miss: tree.Miss
    ) -> Sequence[protocol.Op]:
        if kind == train.GET_CHILDREN:
            watches.unlisted(path)
        elif kind == train.GET_DATA and miss is tree.Miss.NO_NODE:
            watches.gone(path)
            if path in self._roots:
                return [(train.EXISTS, path)]
        elif kind == train.GET_DATA:
            watches.deny(path)
        return ()


def _is_node(answer: tuple[protocol.Op, Any]) -> bool:
    return type(answer[1]) is tree.Node


class _Part:
    """One train of a bulk read, shaped like kazoo's async result. `place`: where its answers belong
    among those of all; None: it follows from others, and is no part of the answer."""

    __slots__ = ("_done", "bulk", "place", "started", "train")

    def __init__(self, bulk: Bulk, reads: train.Train, place: int | None) -> None:
        self.bulk = bulk
        self.train = reads
        self.place = place
        self.started = time.monotonic()
        self._done = False

    def set(self, _results: Any) -> None:
        self._settle(None)

    def set_exception(self, error: BaseException) -> None:
        self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        # kazoo sets the exception twice when it is closing (its `_call`).
        if not self._done:
            self._done = True
            self.bulk.answered(self, error)
