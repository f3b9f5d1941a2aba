"""All that etcd has of a shard, as it is named to ZooKeeper: read and put into the form of requests
while a lost connection is not back yet, as far as memory allows, and the rest while it is named.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from zk2etcd_workers.shard import context
from zk2etcd_workers.walk import etcd_keys
from zk2etcd_workers.zookeeper.classic import arming, hashes

_AHEAD = 16 * 1024 * 1024
"""Bytes of paths that may be ready before there is a connection: some 80,000 nodes."""


class Names:
    """One reading of etcd. Used by the shard's thread only. `keys`: how many there were until now;
    `has_root`: one of them is the root's; `gathered`: all of them."""

    def __init__(self, ctx: context.Context) -> None:
        """:param ctx: of a shard that is ours: nobody writes any more what is not known by now."""
        self.most = ctx.session.request_size.most
        """Bytes that a request may have."""
        self.keys = 0
        self.has_root = False
        self.gathered = hashes.Gathered()
        self._ctx = ctx
        self._pages = etcd_keys.stream(ctx.etcd, ctx.ours, ctx.turn.pause, keys_only=True)
        self._ready: deque[arming.Named] = deque()
        self._ahead = 0

    def read_ahead(self) -> bool:
        """Read some more; False if there is no more, or enough."""
        return self._ahead < _AHEAD and self._read()

    def __iter__(self) -> Iterator[arming.Named]:
        """What goes into one request each. Only once."""
        while self._ready or self._read():
            while self._ready:
                yield self._ready.popleft()

    def _read(self) -> bool:
        """Whether there was another page."""
        self._ctx.turn.beat()
        if (page := next(self._pages, None)) is None:
            return False
        paths = self._ctx.ours.paths(page.keys)
        self.keys += len(paths)
        self.has_root = self.has_root or paths[:1] == [self._ctx.root]
        self.gathered.add(paths)
        parts = list(map(arming.named, arming.cut(paths, self.most)))
        self._ready.extend(parts)
        self._ahead += sum(len(part.block) for part in parts)
        return True
