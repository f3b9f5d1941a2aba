"""The event log: one line for each change that was mirrored, and which batch it came with.

A batch is what one read of dirty paths fetched. Its id is that of the start of the shard with a
number behind it, so that the way of a change, from the read to the Txn, can be followed in the log
without a thing to look up or to remember. The value of a node is never logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from zk2etcd import logs
from zk2etcd_workers import apply, context, plan, tree

Phase = Literal["base", "follow", "repair"]


def batch(trace_id: str, number: int) -> str:
    """The id of a batch; 0 is none, as in a base or a repair."""
    return f"{trace_id}-{number}" if number else trace_id


def tell(
    ctx: context.Context,
    ack: apply.Ack,
    done: Sequence[plan.Write],
    phase: Phase,
    trace_id: str,
    now: float,
) -> None:
    """Log the writes of one Txn, if that is wanted; `now` in wall-clock seconds. Nothing of a dry
    run, which has no answer of etcd."""
    if not done or ack.answer is None:
        return
    if logs.wants_changes():
        logs.changes(_fields(ctx.shard.id, ack.answer.revision, done, phase, trace_id, now))
    if logs.hears_debug():
        ids = sorted({write.batch for write in done})
        ctx.log.debug(
            "Txn done",
            trace_id=batch(trace_id, ids[0]),
            until=batch(trace_id, ids[-1]),
            keys=len(done),
            revision=ack.answer.revision,
        )


def _fields(
    shard: str, revision: int, done: Sequence[plan.Write], phase: Phase, trace_id: str, now: float
) -> Iterator[dict[str, Any]]:
    number, name = 0, trace_id
    for write in done:
        if write.batch != number:
            number, name = write.batch, batch(trace_id, write.batch)
        path = tree.shown(write.path)
        live = phase == "follow" and write.mtime
        yield {
            "shard": shard,
            "op": "delete" if write.value is None else "put",
            "path": path,
            "key": path if write.key == write.path else tree.shown(write.key),
            "zxid": f"{write.zxid:#x}" if write.zxid else None,
            "revision": revision,
            "lag": round(max(0.0, now - write.mtime / 1000), 3) if live else None,
            "bytes": len(write.value or b""),
            "phase": phase,
            "trace_id": name,
        }
