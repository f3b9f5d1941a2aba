"""How many nodes a walk will find, as ZooKeeper counts them: what makes a first base's share of
the whole true, where etcd is still empty.

The server looks at each path of its whole tree for it (measured: 40 to 60 ms where there are
600,000), so it is asked for walks that take a while only, once a shard.
"""

from __future__ import annotations

from collections.abc import Callable

from zk2etcd_workers.model import mapping
from zk2etcd_workers.zookeeper import reply as replies, session as sessions

_MOST_EXCLUDED = 8


def ask(session: sessions.Session, shard: mapping.Mapping, told: Callable[[int], None]) -> None:
    """Ask how many nodes the shard's subtree has; a bucket is taken for its fair share. `told` is
    called from the connection's thread, with ever better numbers; never, if the server does not
    say."""
    sizing = _Sizing(shard.source, lambda nodes: told(-(-nodes // shard.buckets)))
    for path in (shard.source, *shard.excluded[:_MOST_EXCLUDED]):
        session.count(path, sizing.answered)


class _Sizing:
    """The answers come in the order of the questions, the root's first."""

    def __init__(self, root: bytes, told: Callable[[int], None]) -> None:
        self._root = root
        self._told = told
        self._nodes = 0

    def answered(self, reply: replies.Reply) -> None:
        if reply.error is not None:
            return
        (below,) = reply.results
        if reply.tag == self._root:
            self._nodes = below + 1
        elif self._nodes:
            self._nodes -= below + 1
        if self._nodes > 0:
            self._told(self._nodes)
