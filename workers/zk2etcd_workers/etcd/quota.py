"""How much a member may store, and how much it stores: what it tells of that over HTTP.

`/metrics` has both in every release since 3.4, at the port where gRPC is served; Maintenance/Status
has the quota since 3.6 only, and with logins it is root's. Where `--listen-metrics-urls` has it
elsewhere, or a proxy stands before it, nothing is known and nothing is said.
"""

from __future__ import annotations

import contextlib
import http.client
import time

from zk2etcd.config import connections
from zk2etcd_workers.etcd import http_version
from zk2etcd_workers.model import space

_MOST = 4 * 1024 * 1024
_PART = 64 * 1024
_SECONDS = 2.0
_QUOTA = b"etcd_server_quota_backend_bytes"
_STORED = b"etcd_mvcc_db_total_size_in_bytes"
_USED = b"etcd_mvcc_db_total_size_in_use_in_bytes"


def ask(endpoint: str, settings: connections.Etcd) -> space.Space | None:
    """None if it does not say, or not in time."""
    try:
        with contextlib.closing(http_version.connection(endpoint, settings, _SECONDS)) as asked:
            asked.request("GET", "/metrics")
            return parsed(_read(asked.getresponse()))
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _read(response: http.client.HTTPResponse) -> bytes:
    """What comes of it in time, and is not too long."""
    until, parts = time.monotonic() + _SECONDS, bytearray()
    while len(parts) < _MOST and time.monotonic() < until and (part := response.read1(_PART)):
        parts += part
    return bytes(parts)


def parsed(metrics: bytes) -> space.Space | None:
    """None if the figures are not among them, or there is no quota."""
    found: dict[bytes, int] = {}
    for line in metrics.splitlines():
        name, _, value = line.partition(b" ")
        if name in (_QUOTA, _STORED, _USED):
            with contextlib.suppress(ValueError, OverflowError):
                found[name] = int(float(value))
    quota, stored = found.get(_QUOTA, 0), found.get(_STORED)
    if quota <= 0 or stored is None:
        return None
    return space.Space(quota, stored, min(stored, found.get(_USED, stored)))
