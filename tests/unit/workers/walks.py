"""The walk over a tree made of a dict: the session here answers from it, at once and in any order,
so that order, completeness and bounds can be shown on many trees."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, cast

from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.model import line, mapping, pacing, tree
from zk2etcd_workers.walk import snapshot
from zk2etcd_workers.zookeeper import protocol, reply as replies, session as sessions

Paths = dict[bytes, bytes | tree.Miss]


class Session:
    """Answers bulk reads from `nodes`, several at a time in a random order, as late as it may."""

    def __init__(self, nodes: Paths, seed: int = 0, *, owners: dict[bytes, int] | None = None):
        self.nodes, self.owners = nodes, owners or {}
        self.below: dict[bytes, list[bytes]] = {}
        for path in nodes:
            if path != b"/":
                parent, _, name = path.rpartition(b"/")
                self.below.setdefault(parent or b"/", []).append(name)
        self.random = random.Random(seed)
        self.epoch = 1
        self.budget = pacing.Budget()
        self.request_size = pacing.RequestSize()
        self.caution = pacing.Caution()
        self.may_trust = True
        self.protocol: str | None = "bulk"
        self.is_late = False
        """It answers nobody who does not wait for it."""
        self.line = line.Line(16 * 1024 * 1024, 10.0)
        self.under_way: list[tuple[Sequence[protocol.Op], Any, Any, int]] = []
        self.requests: list[Sequence[protocol.Op]] = []
        self.most_unknown = 0
        self.error: errors.ZooKeeperError | None = None
        self.breaks_at: protocol.Op | None = None
        self.zxid = 100

    def take(self, wanted: int, *, live: bool, known: bool = False, small: bool = False) -> int:
        granted = wanted if known else self.budget.take(wanted, live=live, small=small)
        if granted == 0 and not self.is_late:
            self.answer_one()
        return granted

    def give(self, unused: int) -> None:
        self.budget.give(unused)

    def read(
        self,
        ops: Sequence[protocol.Op],
        sink: replies.ReplySink,
        tag: Any = None,
        *,
        permits: int,
        walks: bool = False,
    ) -> None:
        assert ops
        assert walks
        self.most_unknown = max(self.most_unknown, self.budget.used)
        self.requests.append(ops)
        self.under_way.append((ops, sink, tag, permits))
        while not self.is_late and (
            len(self.under_way) > 2 or (self.under_way and self.random.random() < 0.6)
        ):
            self.answer_one()

    def answer_one(self) -> None:
        if not self.under_way:
            return
        ops, sink, tag, permits = self.under_way.pop(self.random.randrange(len(self.under_way)))
        self.budget.give(permits)
        self.zxid += 1
        results = [self._result(kind, path) for kind, path in ops]
        if self.breaks_at in ops:
            self.error = errors.SessionDoubt("the session broke off")
        sink(replies.Reply(ops, tag, self.epoch, self.zxid, results, self.error))

    def _result(self, kind: int, path: bytes) -> tree.Result:
        value = self.nodes.get(path, tree.Miss.NO_NODE)
        if isinstance(value, tree.Miss):
            return value
        names = self.below.get(path, [])
        if kind == protocol.GET_CHILDREN:
            return self.random.sample(names, len(names))
        return tree.Node(path, value, 5, 7, 1, self.owners.get(path, 0), len(names))


class Pulse(turn.Turn):
    """A pulse that lets the session answer: nobody else would."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def beat(self) -> None:
        super().beat()
        self._session.answer_one()


def walk(session: Session, shard: mapping.Mapping, **options: Any) -> snapshot.Walk:
    return snapshot.Walk(cast(sessions.Session, session), shard, Pulse(session), **options)
