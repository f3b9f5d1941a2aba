"""The event log: one line for each change that was mirrored, and which batch it came with.

A batch is what one read of dirty paths fetched. Its id is that of the start of the shard with a
number behind it, so that the way of a change, from the read to the Txn, can be followed in the log
without a thing to look up or to remember. The value of a node is never logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from zk2etcd.logs import logger
from zk2etcd_workers.model import plan, tree
from zk2etcd_workers.shard import apply, context

_CHUNK = 128
"""Lines made at once: so many that they stay in the processor's cache cost half."""

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
    if logger.wants_changes():
        common = {"shard": ctx.shard.id, "phase": phase, "revision": ack.answer.revision}
        when = now * 1000 if phase == "follow" else None
        for start in range(0, len(done), _CHUNK):
            logger.changes(common, _rows(done[start : start + _CHUNK], trace_id, when))
    if logger.hears_debug():
        ids = sorted({write.batch for write in done})
        ctx.log.debug(
            "Txn done",
            trace_id=batch(trace_id, ids[0]),
            until=batch(trace_id, ids[-1]),
            keys=len(done),
            revision=ack.answer.revision,
        )


def _rows(done: Sequence[plan.Write], trace_id: str, now: float | None) -> list[dict[str, Any]]:
    """What differs from change to change: the loop is the price of the event log. `now` in
    milliseconds; None where a lag means nothing."""
    number, name, rows = 0, trace_id, []
    for key, value, path, zxid, mtime, _, read, *_ in done:
        if read != number:
            number, name = read, batch(trace_id, read)
        shown = path.decode("utf-8", "backslashreplace")
        late = max(0, round(now - mtime)) / 1000 if now is not None and mtime else None
        row = {
            "op": "delete" if value is None else "put",
            "path": shown,
            "key": shown if key == path else tree.shown(key),
            "zxid": hex(zxid) if zxid and value is not None else None,
            "lag": late,
            "bytes": len(value or b""),
            "trace_id": name,
        }
        rows.append(row)
    return rows
