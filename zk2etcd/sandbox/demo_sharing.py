"""A second supervisor beside the first: it takes its part, and dies, while both sides change."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

from zk2etcd import errors
from zk2etcd.sandbox import demo_stage, supervisor as supervisors

LEASE_SECONDS = 5
SHARE: dict[str, Any] = {
    # Minutes elsewhere: that long a shard stays where it is before it is moved for balance.
    "cluster": {"mode": "share", "move_after": "1s"},
    "state": {"lease_ttl": f"{LEASE_SECONDS}s"},
}
"""What all supervisors of the demo have in common beside servers and prefixes."""
CHANGED = tuple(f"{root}/shared" for root in ("/dubbo", "/services", "/settings"))
_LOOK_SECONDS = 0.05
_PATIENCE, _IN_TIME = 60.0, 10.0


class _Changes:
    """Sets one node of each prefix again and again; what it set last is to be in etcd."""

    def __init__(self, stage: demo_stage.Stage) -> None:
        self._stage = stage
        self.made = 0
        for path in CHANGED:
            stage.writer.create(path)

    def until(self, condition: Callable[[], bool], what: str) -> float:
        """Go on until then; seconds."""

        def after_more() -> bool:
            self.made += 1
            for path in CHANGED:
                self._stage.writer.set(path, b"%d" % self.made)
            return condition()

        return demo_stage.until(after_more, _PATIENCE, what, _LOOK_SECONDS)

    def all_arrived(self) -> bool:
        return all(self._stage.value(path) == b"%d" % self.made for path in CHANGED)


def second_supervisor(stage: demo_stage.Stage) -> str:
    """It joins, and is then gone without a word, as if its machine were."""
    second, changes = stage.join(), _Changes(stage)
    second.launch()
    try:
        joined = changes.until(lambda: bool(_owned(second)), "a part of its own")
        part = _owned(second)
        for pid in (second.pid, *second.worker_pids().values()):
            os.kill(pid, signal.SIGKILL)
    finally:
        second.stop()
    first = stage.supervisor
    back = changes.until(lambda: len(_owned(first)) == len(CHANGED), "all of it with the first")
    demo_stage.until(changes.all_arrived, _IN_TIME, "the changes made meanwhile")
    stage.expect_equal()
    if back > LEASE_SECONDS + _IN_TIME:
        raise demo_stage.Broken(f"its part was back only {back:.1f} s after it was killed")
    return (
        f"{', '.join(part)} was its part {joined:.1f} s after its start; killed, the first had"
        f" it again {back:.1f} s later; none of {changes.made * len(CHANGED)} changes was lost"
    )


def _owned(supervisor: supervisors.Supervisor) -> list[str]:
    """The prefixes that it has, and that follow."""
    with contextlib.suppress(errors.Unreachable):
        found = supervisor.shards().items()
        return [path for path, s in found if s["owned"] and s["phase"] == "following"]
    return []
