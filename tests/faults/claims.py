"""What zk2etcd itself said, held against what the test knows it did.

The two sides may be equal for the wrong reason: full syncs every second would hide a live pipeline
that misses changes, and a shard that nobody mirrors any more may happen to be equal.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from tests.faults import oracle, world
from zk2etcd import errors

_SETTLED_SECONDS = 10.0


def missed(on: world.World) -> Iterator[oracle.Violation]:
    """Full syncs repaired nothing but what the test tampered with, or had taken rights from."""
    for supervisor in on.supervisors:
        for event in _each(supervisor, "repaired"):
            path = str(event["path"])
            if path not in on.tampered and not any(
                path == each or path.startswith(each + "/") for each in on.unreadable
            ):
                text = f"a full sync had to repair it ({event['op']}, {event['timestamp']})"
                yield oracle.Violation("I4", "missed", path, text)


def _each(supervisor: world.Supervisor, said: str) -> Iterator[dict[str, Any]]:
    """Each time it was said of a path; of very many within a moment a log only tells how many."""
    found = supervisor.events(said) if supervisor.log.exists() else []
    return (event for event in found if "path" in event)


def untampered(on: world.World) -> Iterator[oracle.Violation]:
    """Nothing was put right as a stranger's doing that no stranger had done."""
    for supervisor in on.supervisors:
        said = "a stranger's change was put right"
        for event in _each(supervisor, said):
            path = str(event["path"])
            if path not in on.tampered:
                text = f"no stranger had written it ({event['timestamp']})"
                yield oracle.Violation("I4", "stranger", path, text)


def bugs(on: world.World) -> Iterator[oracle.Violation]:
    """Nothing of ours failed in a way that nobody had thought of."""
    for supervisor in on.supervisors:
        for event in supervisor.events() if supervisor.log.exists() else ():
            if "exception" in event:
                last = str(event["exception"]).strip().splitlines()[-1]
                text = f"{event['event']} ({event['timestamp']}): {last}"
                yield oracle.Violation("I7", "bug", str(event.get("process")), text)


def unsettled(on: world.World, timeout: float = _SETTLED_SECONDS) -> Iterator[oracle.Violation]:
    """Soon every shard is owned, follows, and is without an error."""
    deadline = time.monotonic() + timeout
    while (waiting := not_following(on)) and time.monotonic() < deadline:
        on.resume_all()
        on.release_guards()
        time.sleep(0.1)
    for (source, bucket), said in waiting.items():
        text = f"bucket {bucket} not following {timeout:g} s after the last fault: {said}"
        yield oracle.Violation("I7", "unsettled", source, text)


def not_following(on: world.World) -> dict[tuple[str, int], str]:
    """Buckets of prefixes that no live supervisor owns and follows, with what each says of them."""
    said: dict[tuple[str, int], list[str]] = {
        (prefix.source, bucket): [] for prefix in on.prefixes for bucket in range(prefix.buckets)
    }
    for supervisor in on.supervisors:
        with contextlib.suppress(errors.Unreachable, ValueError, KeyError):
            for shard in supervisor.status()["shards"]:
                part = (shard["from"], shard["bucket"])
                if shard["owned"] and shard["phase"] == "following" and not shard["error"]:
                    said.pop(part, None)
                elif part in said:
                    said[part].append(f"{shard['phase']} {shard['holder']} {shard['error']}")
    return {part: "; ".join(each) or "no supervisor has it" for part, each in said.items()}
