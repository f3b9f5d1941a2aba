"""What the workers count: every counter's and histogram's definition, and the files they share.

prometheus_client sums processes through memory-mapped files, one set a process. Left alone it
names them by pid, so a crash loop piles files up until a scrape takes seconds (issue #367 there).
Here they are named by the worker's slot: a restarted worker goes on in its predecessor's files,
and counters stay monotonic over kill -9. Gauges are not kept this way, because such a file cannot
forget a label when a shard moves: `exposition` makes them from the supervisor's view.

prometheus_client is imported inside functions only: it must find PROMETHEUS_MULTIPROC_DIR, and
`diff` and its like do without it.
"""

from __future__ import annotations

import functools
import json
import math
import os
import pathlib
import shutil
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from zk2etcd.logs import logger

if TYPE_CHECKING:
    from zk2etcd import scratch

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CORRUPT = (ValueError, TypeError, RuntimeError, struct.error)

ETCD_OPS = ("put", "delete", "get", "list", "txn")
ZK_OPS = ("get", "list", "exists", "watch", "multiread")
KINDS: tuple[Literal["put", "delete"], ...] = ("put", "delete")
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LAG = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_FULL_SYNC = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class Instruments:
    """What the data plane reports, from any thread. This class itself counts nothing.

    `status` is "success" or a short stable error name, never a message: it is a label, and each
    new one is a new time series.
    """

    def etcd_op(self, op: str, status: str, seconds: float) -> None:
        """One request to etcd: `op` is put, delete, get, list or txn."""

    def etcd_count(self, op: str, status: str, n: int) -> None:
        """`n` puts or deletes that travelled inside a Txn: counted, their time is the Txn's."""

    def zk_op(self, op: str, status: str, seconds: float) -> None:
        """One request to ZooKeeper: `op` is get, list, exists, watch or multiread."""

    def fixed(self, kind: Literal["put", "delete"], n: int = 1) -> None:
        """A full sync or a resync (not the first base) had to repair `n` keys in etcd."""

    def missed(self, n: int = 1) -> None:
        """A full sync found `n` changes of which ZooKeeper had sent no event."""

    def drift_repaired(self) -> None:
        """A key that a stranger had changed was put right, since a watch told of it."""

    def zk_connected(self) -> None:
        """A connection to ZooKeeper stands."""

    def zk_connecting(self) -> None:
        """A connection to ZooKeeper is being tried."""

    def lag(self, seconds: float) -> None:
        """From a node's mtime to its commit in etcd, seen while following; clamped at 0."""

    def full_sync(self, seconds: float) -> None:
        """A base or a full sync was completed in `seconds`."""

    def guard_trip(self) -> None:
        """The delete guard tripped."""

    def tend(self) -> None:
        """Called now and then by whoever has a loop: what could not be kept is tried again."""


def null() -> Instruments:
    """Instruments that count nothing, for commands that have no supervisor."""
    return Instruments()


def prepare_supervisor() -> scratch.Folder:
    """Make this supervisor's own folder for the files. Call it before anything imports
    prometheus_client.

    :raises OSError: there is no place for one.
    """
    from zk2etcd import scratch  # noqa: PLC0415

    folder = scratch.Folder()
    os.environ[DIRECTORY] = folder.where()
    return folder


def load() -> None:
    """Import what `for_worker` needs, in a process that will be a worker's. Which files values are
    kept in is decided there, for metrics that are made after it."""
    import prometheus_client  # noqa: F401, PLC0415

    from zk2etcd import counter_files  # noqa: F401, PLC0415


def for_worker(directory: str, slot: str) -> Instruments:
    """The instruments of the one process that runs in `slot`, going on where the last one ended.

    Call it once a process, in the child. Two processes must never share a slot. Without a folder
    ("") nothing is counted; whatever else is wrong with it, counting goes on (`counter_files`).
    """
    if not directory:
        return null()
    os.environ[DIRECTORY] = directory
    from prometheus_client import values  # noqa: PLC0415

    from zk2etcd import counter_files  # noqa: PLC0415

    for kind in ("counter", "histogram"):
        path = pathlib.Path(directory, f"{kind}_{slot}.db")
        try:
            _mend(path)
        except OSError as error:
            what = "metrics file cannot be mended"
            logger.get().warning(what, path=str(path), error=str(error))
    values.MmapedDict = counter_files.CounterFile  # type: ignore[attr-defined]
    bound = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    values.ValueClass = bound
    return _Recording()


def entries(path: pathlib.Path) -> Iterator[tuple[str, float]]:
    """The (key, value) pairs of one file, in order; raises one of CORRUPT where they stop to be.

    A key is JSON: [metric, sample, labels, help]. A file that was just made holds none yet.
    """
    from prometheus_client import mmap_dict  # noqa: PLC0415

    if path.stat().st_size == 0:
        return
    read = mmap_dict.MmapedDict.read_all_values_from_file
    for key, value, _stamp, _at in read(str(path)):  # type: ignore[no-untyped-call]
        _metric, _sample, _labels, _help = json.loads(key)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{key} has the value {value}")
        yield key, value


def _mend(path: pathlib.Path) -> None:
    """Rewrite a damaged file with what can be read of it, so that a worker can start on it."""
    good: dict[str, float] = {}
    try:
        for key, value in entries(path):
            good[key] = value
    except FileNotFoundError:
        return
    except CORRUPT as error:  # what came before it is in `good` by now
        shutil.copyfile(path, path.with_suffix(".corrupt"))
        _rewrite(path, good)
        what = "metrics file was damaged: kept what could be read"
        logger.get().warning(what, path=str(path), kept=len(good), error=str(error))


def _rewrite(path: pathlib.Path, good: dict[str, float]) -> None:
    from zk2etcd import counter_files  # noqa: PLC0415

    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    file: Any = counter_files.CounterFile(str(fresh))
    for key, value in good.items():
        file.write_value(key, value, 0.0)
    if file.problem:
        raise OSError(file.problem)
    file.close()
    fresh.replace(path)  # in one step: a scrape sees the old file or the new one


class _Operations:
    """A counter and a histogram with the labels (op, status), their children looked up once."""

    def __init__(self, name: str, server: str, ops: tuple[str, ...]) -> None:
        import prometheus_client as prometheus  # noqa: PLC0415

        labels = ("op", "status")
        total, seconds = f"zk2etcd_{name}_op_total", f"zk2etcd_{name}_op_duration_seconds"
        took = f"Time from sending a request to {server} to its answer."
        counted = prometheus.Counter(total, f"Operations on {server}.", labels, registry=None)
        timed = prometheus.Histogram(seconds, took, labels, buckets=_SECONDS, registry=None)
        # Two threads may both look one up: they get the same child.
        self._total = functools.cache(counted.labels)
        self._seconds = functools.cache(timed.labels)
        for op in ops:  # a rate needs the zero before the first one
            self.count(op, "success", 0)
            self._seconds(op, "success")

    def count(self, op: str, status: str, n: int) -> None:
        self._total(op, status).inc(n)

    def observe(self, op: str, status: str, seconds: float) -> None:
        self.count(op, status, 1)
        self._seconds(op, status).observe(seconds)


class _Recording(Instruments):
    """Instruments that count in the slot's files."""

    def __init__(self) -> None:
        import prometheus_client as prometheus  # noqa: PLC0415

        from zk2etcd import counter_files  # noqa: PLC0415

        counter = functools.partial(prometheus.Counter, registry=None)
        histogram = functools.partial(prometheus.Histogram, registry=None)
        self._etcd = _Operations("etcd", "etcd", ETCD_OPS)
        self._zk = _Operations("zk", "ZooKeeper", ZK_OPS)
        what = "Keys that a full sync or a resync had to repair in etcd."
        fixed = counter("zk2etcd_fixed_total", what, ("type",))
        self._fixed = {kind: fixed.labels(kind) for kind in KINDS}
        what = "Changes found by full syncs of which ZooKeeper had sent no event."
        self._missed = counter("zk2etcd_missed_events_total", what)
        what = "Keys put right that others had changed in etcd, as a watch told."
        self._drift_repaired = counter("zk2etcd_drift_repaired_total", what)
        what = "Connections to ZooKeeper established."
        self._connected = counter("zk2etcd_zk_conn_total", what)
        self._connecting = counter("zk2etcd_zk_connect_total", "Connections to ZooKeeper tried.")
        what = "From a node's mtime in ZooKeeper to its commit in etcd, while following."
        self._lag = histogram("zk2etcd_replication_lag_seconds", what, buckets=_LAG)
        what = "Time one shard's base or full sync took."
        self._full_sync = histogram("zk2etcd_full_sync_duration_seconds", what, buckets=_FULL_SYNC)
        what = "Times the delete guard tripped."
        self._trips = counter("zk2etcd_delete_guard_trips_total", what)
        self._tend = counter_files.tend

    def etcd_op(self, op: str, status: str, seconds: float) -> None:
        self._etcd.observe(op, status, seconds)

    def etcd_count(self, op: str, status: str, n: int) -> None:
        self._etcd.count(op, status, n)

    def zk_op(self, op: str, status: str, seconds: float) -> None:
        self._zk.observe(op, status, seconds)

    def fixed(self, kind: Literal["put", "delete"], n: int = 1) -> None:
        self._fixed[kind].inc(n)

    def missed(self, n: int = 1) -> None:
        self._missed.inc(n)

    def drift_repaired(self) -> None:
        self._drift_repaired.inc()

    def zk_connected(self) -> None:
        self._connected.inc()

    def zk_connecting(self) -> None:
        self._connecting.inc()

    def lag(self, seconds: float) -> None:
        self._lag.observe(max(0.0, seconds))

    def full_sync(self, seconds: float) -> None:
        self._full_sync.observe(seconds)

    def guard_trip(self) -> None:
        self._trips.inc()

    def tend(self) -> None:
        self._tend()
