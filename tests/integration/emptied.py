"""Who sees whether a folder in etcd has lost its last key."""

from __future__ import annotations

import itertools
import time

from tests import polling
from tests.integration import observing


class Witness:
    """Sees each key below the root come and go, from now on."""

    def __init__(self, etcd: observing.Etcd, root: str) -> None:
        self._etcd = etcd
        self._before = set(etcd.values(root))
        self._watch = etcd.watch(etcd.revision() + 1)

    def emptied(self, *folders: str) -> list[tuple[str, int]]:
        """Which of these, and at which revision, had no key any more, until now."""
        self._etcd.put(b"emptied-witness", b"%d" % time.monotonic_ns())
        revision = self._etcd.revision()
        polling.until(lambda: any(e.revision >= revision for e in self._watch.events), what="all")
        starts = {f"{folder}/".encode(): folder for folder in folders}
        counts = {start: sum(key.startswith(start) for key in self._before) for start in starts}
        present, found = set(self._before), []
        by_revision = itertools.groupby(list(self._watch.events), lambda each: each.revision)
        for at, events in by_revision:
            touched = set()
            for event in events:
                if (event.key in present) == (event.value is not None):
                    continue
                (present.discard if event.value is None else present.add)(event.key)
                for start in starts:
                    if event.key.startswith(start):
                        counts[start] += 1 if event.value is not None else -1
                        touched.add(start)
            found += [(starts[start], at) for start in touched if not counts[start]]
        return found
