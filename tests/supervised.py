"""`python -m tests.supervised TARGET [key=value...]`: the real supervisor over stand-in workers.

What `zk2etcd run` is, with another spawn target and with its view on stdout instead of over HTTP.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time

from zk2etcd import scratch
from zk2etcd.config import loader
from zk2etcd.logs import logger
from zk2etcd.process import spawned
from zk2etcd.supervisor import reloading, supervisor
from zk2etcd.view import published


def view(shown: published.View) -> dict[str, object]:
    """What the tests look at, as JSON."""
    return {
        "state": shown.state,
        "workers": {w.slot: [w.pid, w.state, w.restarts] for w in shown.workers},
        "shards": {s.source: [s.worker, s.report.phase] for s in shown.shards},
        "error": shown.config.error,
    }


class Told(supervisor.Supervisor):
    """Writes its view to stdout whenever it changed."""

    last = ""

    def turn(self, *arguments: object) -> bool:
        goes_on = super().turn(*arguments)  # type: ignore[arg-type]
        line = json.dumps(view(self.desk.snapshot()))
        if line != self.last:
            os.write(1, line.encode() + b"\n")
            self.last = line
        return goes_on


def main(target: str, path: str, *flags: str) -> int:
    def load() -> loader.Loaded:
        return loader.load([path])

    loaded = load()
    logger.setup("supervisor", loaded.config.log)
    setup = supervisor.Setup(
        configuration=reloading.Configuration(loaded, load, [path], time.time()),
        instance="test",
        version="0",
        folder=scratch.Nowhere(),
        spawn=functools.partial(spawned.Child, target=target),
        once="once" in flags,
    )
    return Told(setup, time.monotonic()).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
