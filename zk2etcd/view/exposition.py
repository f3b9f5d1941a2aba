"""The text of /metrics: the workers' files summed up, and gauges made from the supervisor's view.

A file that a kill -9 left damaged must not blind the operator: it is passed over with one log
line, and its last good reading stands in for it, so that no sum falls (Prometheus would take a
fall for a restart and count everything twice).
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
import threading
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence

import prometheus_client
from prometheus_client import metrics_core, multiprocess, registry, utils

from zk2etcd import messages, metrics, version
from zk2etcd.config import files
from zk2etcd.logs import logger
from zk2etcd.view import advance, cluster_gauges, published

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PHASES: tuple[str, ...] = typing.get_args(messages.Phase)
_RESULTS = ("ok", "error")


class Aggregator:
    """Makes the exposition text of one supervisor; `text` may be called from any thread."""

    def __init__(self, directory: Callable[[], str], view: Callable[[], published.View]) -> None:
        self._lock = threading.Lock()
        self._view = view
        self._registry = registry.CollectorRegistry()
        self._registry.register(_Files(directory))
        self._registry.register(_Gauges(view))
        prometheus_client.ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All metrics in the text format of CONTENT_TYPE."""
        with self._lock:
            shards = "".join(_of_shards(self._view().shards)).encode()
            return shards + prometheus_client.generate_latest(self._registry)


class _Files(registry.Collector):
    """The workers' counters and histograms, summed over slots."""

    def __init__(self, directory: Callable[[], str]) -> None:
        self._where = directory
        self._good: dict[str, bytes] = {}
        self._damaged: set[str] = set()

    def collect(self) -> Iterable[metrics_core.Metric]:
        """What can be read: nothing that befalls a file, or the folder, breaks a scrape."""
        if not (where := self._where()):
            return []
        directory = pathlib.Path(where)
        self._put_back(directory)
        present = []
        with contextlib.suppress(OSError):
            found = [self._readable(path) for path in sorted(directory.glob("*.db"))]
            present = [str(path) for path in found if path is not None]
        merge = multiprocess.MultiProcessCollector.merge
        try:
            return list(merge(present))  # type: ignore[no-untyped-call]
        except (OSError, *metrics.CORRUPT):  # taken away or damaged since: the next scrape has it
            return []

    def _put_back(self, directory: pathlib.Path) -> None:
        """A file that was removed, with what was last read of it, so that no sum falls. A worker
        that lives will put its own there, and one that starts goes on from it."""
        if not files.is_private_folder(str(directory)):
            return
        for name, content in self._good.items():
            path, fresh = directory / name, directory / f"{name}.back"
            if path.exists():
                continue
            with contextlib.suppress(OSError):
                fresh.write_bytes(content)
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(fresh)
                fresh.unlink()

    def _readable(self, path: pathlib.Path) -> pathlib.Path | None:
        """The file itself, or its last good reading, or None when there is nothing to read."""
        try:
            found = sum(1 for _ in metrics.entries(path))
            content = path.read_bytes() if found else b""
        except FileNotFoundError:
            return None
        except (OSError, *metrics.CORRUPT) as error:
            return self._stand_in(path, error)
        self._damaged.discard(path.name)
        if found:
            self._good[path.name] = content
        return path if found else None

    def _stand_in(self, path: pathlib.Path, error: Exception) -> pathlib.Path | None:
        if path.name not in self._damaged:
            self._damaged.add(path.name)
            what = "metrics file is damaged: using its last good reading"
            logger.get().error(what, path=str(path), error=str(error))
        if path.name not in self._good:
            return None
        copy = path.parent / "last-good" / path.name
        try:
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(self._good[path.name])
        except OSError:
            return None
        return copy


class _Gauges(registry.Collector):
    """What the supervisor's view says now, and what it alone counts."""

    def __init__(self, view: Callable[[], published.View]) -> None:
        self._view = view

    def collect(self) -> Iterator[metrics_core.Metric]:
        view = self._view()
        workers = [(worker.slot, worker) for worker in view.workers]
        yield from (_filled(row, "slot", workers) for row in _OF_WORKERS)
        yield from _supervisor(view)
        yield from cluster_gauges.of(view)


def progress(report: messages.ShardReport) -> float:
    """The full sync's progress from 0 to 1: 1 when one was completed and none runs or is due. A
    base or full sync that runs is not over, however low its total was guessed."""
    done, total = report.progress
    if report.phase == "full_sync" or report.work is not None or report.full_sync_running:
        return advance.share(done, total) or 0.0
    return 1.0 if report.last_full_sync else 0.0


class _Row(typing.NamedTuple):
    """One metric with a single label: its name, its help, and its value for one item."""

    name: str
    documentation: str
    value: Callable[[typing.Any], float | None]
    family: type[metrics_core.GaugeMetricFamily | metrics_core.CounterMetricFamily] = (
        metrics_core.GaugeMetricFamily
    )


_SHARD_GAUGES = (
    _Row("shard_owned", "1 while this supervisor owns the shard.", lambda report: report.owned),
    _Row("shard_keys", "Keys of the shard in etcd.", lambda report: report.keys),
    _Row("shard_pending", "Paths seen to change, not yet written.", lambda report: report.pending),
    _Row(
        "shard_unsyncable",
        "Paths that cannot be mirrored; /status names them.",
        lambda report: report.unsyncable_total or len(report.unsyncable),
    ),
    _Row(
        "shard_conflicts",
        "Nodes with somebody else's key in their place, where sync.ownership is marks.",
        lambda report: report.conflicts,
    ),
    _Row(
        "shard_kept_last",
        "Keys without a node that stay as the last of a folder (delete_guard.live.keep_last).",
        lambda report: report.kept.deletes if report.kept else 0,
    ),
    _Row(
        "contested",
        "Keys that somebody else keeps writing, where sync.drift is watch; /status names some.",
        lambda report: report.drift.contested if report.drift else 0,
    ),
    _Row(
        "drift_watched",
        "1 while all that others write to mirrored keys is known, where sync.drift is watch.",
        lambda report: report.drift.why is None if report.drift else None,
    ),
    _Row(
        "shard_full_sync_progress_ratio",
        "How far the full sync is, from 0 to 1; 1 when it is done.",
        progress,
    ),
    _Row(
        "shard_full_sync_rate",
        "Nodes a second that the base or full sync compares; 0 when none runs.",
        lambda report: report.work.rate if report.work else 0.0,
    ),
    _Row(
        "shard_full_sync_remaining_seconds",
        "How long the base or full sync still takes at this rate; absent when nobody can know.",
        lambda report: report.work.remaining_seconds if report.work else None,
    ),
    _Row(
        "shard_full_sync_last_success_timestamp_seconds",
        "When the last full sync was completed.",
        lambda report: report.last_full_sync.at if report.last_full_sync else None,
    ),
    _Row(
        "shard_synced_timestamp_seconds",
        "The last moment at which everything that had changed by then was written.",
        lambda report: report.synced_at,
    ),
)
_OF_WORKERS = (
    _Row("worker_up", "1 while the slot's worker runs.", lambda worker: worker.state == "running"),
    _Row(
        "worker_resident_memory_bytes",
        "Resident memory of the worker.",
        lambda worker: worker.resident_bytes,
    ),
    _Row(
        "zk_connected",
        "1 while the worker's ZooKeeper session stands.",
        lambda worker: worker.zk_connected,
    ),
    _Row(
        "worker_cpu_seconds_total",
        "CPU time of the worker that runs now.",
        lambda worker: worker.cpu_seconds,
        metrics_core.CounterMetricFamily,
    ),
    _Row(
        "worker_restarts_total",
        "Times the slot's worker was started again.",
        lambda worker: worker.restarts,
        metrics_core.CounterMetricFamily,
    ),
)


def _filled(row: _Row, label: str, items: Iterable[tuple[str, object]]) -> metrics_core.Metric:
    metric = row.family(f"zk2etcd_{row.name}", row.documentation, labels=[label])
    for key, item in items:
        value = row.value(item)
        if value is not None:
            metric.add_metric([key], float(value))
    return metric


def _of_shards(shards: Sequence[published.ShardView]) -> Iterator[str]:
    """The lines of all gauges of shards, in the text format. Of 1,000 there are 15,000: made by the
    library, which sorts and escapes each one's labels, they would take most of a scrape."""
    ids = [_escaped(shard.id) for shard in shards]
    for row in _SHARD_GAUGES:
        name = f"zk2etcd_{row.name}"
        yield f"# HELP {name} {row.documentation}\n# TYPE {name} gauge\n"
        for each, shard in zip(ids, shards, strict=True):
            if (value := row.value(shard.report)) is not None:
                yield f'{name}{{shard="{each}"}} {_told(value)}\n'
    yield "# HELP zk2etcd_shard_phase 1 for the phase the shard is in.\n"
    yield "# TYPE zk2etcd_shard_phase gauge\n"
    for each, shard in zip(ids, shards, strict=True):
        yield _phases(shard.report.phase).replace("\0", each)


@functools.lru_cache(maxsize=16)
def _phases(now: str) -> str:
    """The lines of a shard in this phase, with a NUL, which no id has, for its id."""
    name = "zk2etcd_shard_phase"
    lines = (f'{{phase="{each}",shard="\0"}} {float(each == now)}\n' for each in _PHASES)
    return "".join(name + line for line in lines)


@functools.lru_cache(maxsize=4096)
def _told(value: float) -> str:
    """A number as the text format has it; most of them are what they were at the last scrape."""
    return str(utils.floatToGoString(float(value)))  # type: ignore[no-untyped-call]


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _supervisor(view: published.View) -> Iterator[metrics_core.Metric]:
    reloads = metrics_core.CounterMetricFamily(
        "zk2etcd_config_reloads_total", "Reloads of the configuration.", labels=["result"]
    )
    for result, count in {**dict.fromkeys(_RESULTS, 0), **view.reloads}.items():
        reloads.add_metric([result], count)
    yield reloads
    yield metrics_core.GaugeMetricFamily(
        "zk2etcd_config_last_reload_successful",
        "1 unless the last reload was refused and the old configuration kept.",
        float(view.config.error is None),
    )
    yield metrics_core.GaugeMetricFamily(
        "zk2etcd_metrics_folder_ok",
        "1 while what workers count can be kept in their folder; else new counts are not shown.",
        float(view.metrics_problem is None),
    )
    build = metrics_core.GaugeMetricFamily(
        "zk2etcd_build_info", "1, with what runs as labels.", labels=["version", "commit", "python"]
    )
    facts = version.info()
    build.add_metric([view.version, facts.commit or "unknown", facts.python], 1.0)
    yield build
