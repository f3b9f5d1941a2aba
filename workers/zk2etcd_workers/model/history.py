"""What one history of ZooKeeper cannot contain: marks of what was mirrored, and what refutes them.
Pure.

Within one history (ZooKeeper's DataTree, 3.4 to 3.9) the zxids of a path never fall: a node that is
made anew gets a higher czxid, one that is set a higher mzxid, and each child that is made raises
its parent's pzxid, for as long as the parent lives. So a mark stays true for ever, also while nodes
are deleted and made anew, over elections and restarts. An ensemble that was put back to an earlier
state forgets that, however high an election has lifted its zxids since.

Deletes are not looked for in pzxid: before 3.4.14 and 3.5.5 one that was replayed over a snapshot
did not raise it (ZOOKEEPER-3125). A create that is replayed does.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from zk2etcd_workers.model import plan, tree

Kind = Literal["changed", "created", "gone"]
KINDS: tuple[Kind, ...] = ("changed", "created", "gone")
TOGETHER = 4
_LONGEST = 1024
_OF_WALK = 8
_ZXID = operator.attrgetter("zxid")
_MZXID = operator.attrgetter("mzxid")


class Mark(NamedTuple):
    """A node as it was mirrored: its mzxid and czxid. Or, with czxid 0, that there was none in a
    state at or after this zxid."""

    path: bytes
    zxid: int
    czxid: int


def chosen(writes: Sequence[plan.Write]) -> Mapping[Kind, Sequence[Mark]]:
    """The marks of what is written together: the latest few of each kind, since what happened last
    is lost first. Nodes that were changed, made, and deleted count by themselves, so that many of
    the one do not push out the others. A long path is no mark."""
    found: dict[Kind, Sequence[Mark]] = {}
    for each, those in _by_kind(writes):
        few = those if len(those) <= TOGETHER else _latest(those)
        marks = [Mark(w.path, w.zxid, w.czxid) for w in few if _tells(w)]
        if marks:
            found[each] = marks
    return found


def _by_kind(writes: Sequence[plan.Write]) -> Iterator[tuple[Kind, Sequence[plan.Write]]]:
    """Mostly thousands of one kind: a look at each costs as much as all the rest of a Txn."""
    gone = [write for write in writes if write.value is None]
    puts = [write for write in writes if write.value is not None] if gone else writes
    changed = [write for write in puts if write.zxid != write.czxid]
    if changed:
        yield "changed", changed
    if len(changed) < len(puts):
        yield "created", [w for w in puts if w.zxid == w.czxid] if changed else puts
    if gone:
        yield "gone", gone


def _tells(write: plan.Write) -> bool:
    """Not ZooKeeper's own nodes, whose czxid is 0, nor a delete that nobody can date."""
    dated = write.zxid if write.value is None else write.czxid
    return dated > 0 and len(write.path) <= _LONGEST


def _latest(writes: Sequence[plan.Write]) -> Sequence[plan.Write]:
    """One of each fourth of them: the latest of all is there, and one lost with it, mostly."""
    return [max(writes[at::TOGETHER], key=_ZXID) for at in range(TOGETHER)]


class Latest:
    """The nodes of a walk that changed last. What is mirrored has them, whoever wrote it."""

    def __init__(self) -> None:
        self._nodes: list[tree.Node] = []
        self._least = 0

    def saw(self, nodes: tree.Nodes) -> None:
        """Some of them. Mostly all are older than what is known, so they are looked at together
        first."""
        if nodes.changed_at() <= self._least:
            return
        readable = [node for node in nodes if node is not None]
        told = [node for node in readable if node.czxid > 0 and len(node.path) <= _LONGEST]
        few = sorted(told, key=_MZXID)[-_OF_WALK:]
        known = [*self._nodes, *(node._replace(data=b"") for node in few)]
        self._nodes = sorted(known, key=_MZXID)[-_OF_WALK:]
        if len(self._nodes) == _OF_WALK:
            self._least = self._nodes[0].mzxid

    @property
    def marks(self) -> Sequence[Mark]:
        """Theirs, in the order of their paths."""
        return sorted(Mark(n.path, max(n.mzxid, n.czxid), n.czxid) for n in self._nodes)


def kind(mark: Mark) -> Kind:
    """Of which kind it is."""
    if not mark.czxid:
        return "gone"
    return "created" if mark.czxid == mark.zxid else "changed"


def asks_parent(mark: Mark, now: tree.Result) -> bool:
    """Whether only the parent can tell what became of it."""
    return now is tree.Miss.NO_NODE and mark.czxid > 0


def is_hidden(mark: Mark, now: tree.Result, parent: tree.Result | None = None) -> bool:
    """Whether what would tell may not be read now. `parent` as in `is_refuted`."""
    return is_silent(parent if asks_parent(mark, now) else now)


def is_silent(now: tree.Result | None) -> bool:
    """It may not be read, or nobody knows why it was not."""
    return now is tree.Miss.NO_AUTH or now is tree.Miss.OTHER


def is_refuted(mark: Mark, now: tree.Result, parent: tree.Result | None = None) -> bool:
    """Whether what is `now`, in a state at or after the mark's, belongs to another history.

    :param parent: the node above; needed where `asks_parent`. What cannot be read is no news.
    """
    if isinstance(now, tree.Node):
        if not mark.czxid:
            return now.czxid <= mark.zxid
        return max(now.mzxid, now.czxid) < mark.zxid or now.czxid < mark.czxid
    if asks_parent(mark, now) and isinstance(parent, tree.Node):
        return 0 < parent.pzxid < mark.czxid
    return False
