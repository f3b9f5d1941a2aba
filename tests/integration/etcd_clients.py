"""The engine's own client of etcd, for the tests that look at it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import client as engine


def of(settings: Mapping[str, object]) -> engine.Client:
    """One of this `etcd` section; close it at the end."""
    return engine.Client(connections.Etcd.model_validate(settings), metrics.null())


def at(endpoints: Sequence[str], **settings: object) -> engine.Client:
    """One of these endpoints, in order, that waits 2 s for an answer if nothing else is said."""
    return of({"endpoints": list(endpoints), "request_timeout": 2.0, **settings})


def reads(client: engine.Client, key: bytes = b"/a") -> bool:
    """Whether a read is answered."""
    try:
        client.range(key)
    except errors.EtcdUnavailable:
        return False
    return True
