"""What comes back for a request to ZooKeeper, and the place that waits for it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zk2etcd import errors
from zk2etcd_workers.zookeeper import connection, protocol


@dataclasses.dataclass(frozen=True)
class Reply:
    """The answer to one request. `results` is aligned with `ops`; `zxid` is the reply header's;
    `size` are its bytes, 0 where they were not counted."""

    ops: Sequence[protocol.Op]
    tag: Any
    epoch: int
    zxid: int
    results: Sequence[Any]
    error: errors.ZooKeeperError | None
    size: int = 0


ReplySink = Callable[[Reply], None]


class Owner(Protocol):
    """Whose requests these are."""

    epoch: int

    def answered(self, pending: Pending, value: Any, error: BaseException | None) -> None: ...


class Pending:
    """Shaped like kazoo's async result; hands the answer over without a thread in between."""

    __slots__ = (
        *("_owner", "client", "done", "epoch", "op", "permits"),
        *("request", "sink", "started", "tag"),
    )

    def __init__(
        self, owner: Owner, request: Any, op: str, sink: ReplySink, tag: Any, permits: int
    ) -> None:
        self.client: connection.Client | None = None
        self._owner = owner
        self.request = request
        self.op = op
        self.sink = sink
        self.tag = tag
        self.permits = permits
        self.epoch = owner.epoch
        self.started = time.monotonic()
        self.done = False

    def set(self, value: Any) -> None:
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        self._settle((), error)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        # kazoo sets the exception twice when it is closing (its `_call`).
        if not self.done:
            self.done = True
            if self.client is not None:
                self.client.answered(self)
            self._owner.answered(self, value, error)
