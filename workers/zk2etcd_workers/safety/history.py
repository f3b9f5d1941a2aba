"""Does what answers still know what was mirrored of it? An ensemble that was put back to an earlier
state, from copies of its data folders, say, has all its births, and an election lifts its zxids
above every floor; but not what was done since the copy (`model/history`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd_workers.model import history, tree
from zk2etcd_workers.shard import confirm, context
from zk2etcd_workers.walk import glance

_Found = dict[bytes, tree.Node | tree.Miss]


class Judged(NamedTuple):
    """`refuted`: why this is not the history that was mirrored; None if it is, or nothing tells.
    `hidden` are the marks that nothing could be held against: what tells, `telling`, may not be
    read."""

    refuted: str | None
    hidden: Sequence[history.Mark]
    telling: set[bytes]


def judged(
    ctx: context.Context, marks: Sequence[history.Mark], seen: glance.Seen = glance.NOTHING
) -> Judged:
    """What answers, held against the marks: it is at or above the floor, and so above them all.

    :param seen: what was read just now.

    :raises errors.SessionDoubt: the session changed, or did not answer.
    """
    found = _read(ctx, {mark.path for mark in marks}, seen)
    ask = {_parent(mark.path) for mark in marks if history.asks_parent(mark, found[mark.path])}
    found.update(_read(ctx, ask - found.keys(), seen))
    beside = [(mark, found[mark.path], found.get(_parent(mark.path))) for mark in marks]
    hidden = [of[0] for of in beside if history.is_hidden(*of)]
    telling = {path for path, node in found.items() if history.is_silent(node)}
    wrong = [of[0] for of in beside if history.is_refuted(*of)]
    if not wrong:
        return Judged(None, hidden, telling)
    latest = max(wrong, key=lambda mark: mark.zxid)
    return Judged(_told(latest, found, len({mark.path for mark in wrong})), hidden, telling)


def _read(ctx: context.Context, paths: set[bytes], seen: glance.Seen) -> _Found:
    found = confirm.look(ctx, sorted(paths), seen, watch=False)
    return {each.path: each.node for each in found}


def _told(mark: history.Mark, found: _Found, count: int) -> str:
    path, now = tree.shown(mark.path), found[mark.path]
    was = f"was mirrored at zxid {mark.zxid:#x}"
    if isinstance(now, tree.Node) and not mark.czxid:
        was = f"was gone at zxid {mark.zxid:#x}"
        is_now = f"is there as of zxid {now.czxid:#x}"
    elif isinstance(now, tree.Node):
        is_now = f"is as of zxid {now.mzxid:#x}"
    else:
        parent = found[_parent(mark.path)]
        above = f"{parent.pzxid:#x}" if isinstance(parent, tree.Node) else "then"
        is_now = f"is not there, though nothing beside it was made or deleted after zxid {above}"
    more = f", and {count - 1} more like it" if count > 1 else ""
    return (
        f"identity: {path} {was}, now it {is_now}{more}: ZooKeeper was put back to an earlier state"
    )


def _parent(path: bytes) -> bytes:
    return path[: path.rfind(b"/")] or tree.ROOT
