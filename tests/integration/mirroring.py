"""The real `main.Worker`, in a thread of the test, over a real pipe against real servers.

A `World` is one ZooKeeper, one etcd, a prefix that nobody else uses, and the workers on it. A
thread reads each worker's reports all the time, as the supervisor does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing import Pipe
from typing import Any

import pytest

from tests import polling
from tests.integration import observing
from zk2etcd import conditions, messages, metrics
from zk2etcd.config import models
from zk2etcd.logs import logger
from zk2etcd_workers import main
from zk2etcd_workers.model import news
from zk2etcd_workers.zookeeper import session as sessions

STATE = "zk2etcd/test"
FIRST = messages.Identity("inst", "w0", 1)
_generations = itertools.count(1)


class Counting(metrics.Instruments):
    """Instruments that remember what was counted."""

    def __init__(self) -> None:
        self.fixes = {"put": 0, "delete": 0}
        self.trips = 0
        self.writes = 0
        self.drifts = 0

    def fixed(self, kind: str, n: int = 1) -> None:
        self.fixes[kind] += n

    def drift_repaired(self) -> None:
        self.drifts += 1

    def guard_trip(self) -> None:
        self.trips += 1

    def etcd_count(self, op: str, status: str, n: int) -> None:  # noqa: ARG002
        self.writes += n


class Worker:
    """One worker and what it last said of itself."""

    def __init__(
        self,
        settings: models.Config,
        shards: Sequence[messages.Shard],
        identity: messages.Identity,
        reaped: Mapping[str, int],
        *,
        once: bool = False,
        dry_run: bool = False,
    ) -> None:
        self.shards = tuple(shards)
        self.settings = settings
        self.counts = Counting()
        self.reports: list[messages.Report] = []
        self.told: list[set[str]] = []
        """The shards that each report had something to tell of."""
        self._pipe, far = Pipe()
        spec = messages.WorkerSpec(identity, settings, "", "error", once=once, dry_run=dry_run)
        self._worker = main.Worker(spec, far, self.counts)
        self._thread = threading.Thread(target=self._worker.run, name="worker", daemon=True)
        self._reader = threading.Thread(target=self._read, name="reports", daemon=True)
        self._far = far
        self._thread.start()
        self._reader.start()
        self.assign(reaped)

    def assign(
        self, reaped: Mapping[str, int], shards: Sequence[messages.Shard] | None = None
    ) -> None:
        if shards is not None:
            self.shards = tuple(shards)
        assign = messages.Assign(next(_generations), self.shards, dict(reaped), self.settings)
        self._pipe.send(assign)

    def _read(self) -> None:
        known: dict[str, messages.ShardReport] = {}
        with contextlib.suppress(EOFError, OSError):
            while True:
                report = self._pipe.recv()
                self.told.append({each.id for each in report.shards})
                self.reports.append(_whole(report, known))

    # --- what it says --------------------------------------------------------------------------

    def shard(self, number: int = 0) -> messages.ShardReport | None:
        """The latest report of one shard."""
        if not self.reports:
            return None
        wanted = self.shards[number].id
        return next((each for each in self.reports[-1].shards if each.id == wanted), None)

    def wait(
        self,
        condition: Callable[[messages.ShardReport], object],
        timeout: float = 15.0,
        *,
        number: int = 0,
        what: str = "",
    ) -> messages.ShardReport:
        """The first report of a shard that meets `condition`."""

        def met() -> messages.ShardReport | None:
            report = self.shard(number)
            return report if report is not None and condition(report) else None

        try:
            found = polling.until(met, timeout, what=what)
        except AssertionError as error:
            said = f"latest, of {len(self.reports)}: {self.shard(number)}"
            raise AssertionError(f"{error}; {said}\n{self._stack(number)}") from None
        assert found is not None
        return found

    def _stack(self, number: int) -> str:
        """Where the shard's thread is, for a test that waited in vain."""
        wanted = self.shards[number].id
        found = next((each for each in threading.enumerate() if each.name == wanted), None)
        frame = sys._current_frames().get(found.ident or 0) if found else None
        return "".join(traceback.format_stack(frame, 8)) if frame else "its thread has ended"

    def follows(self, timeout: float = 15.0) -> messages.ShardReport:
        """Every shard has ended its base and follows (guarded or not)."""
        report = None
        for number in range(len(self.shards)):
            report = self.wait(is_following, timeout, number=number, what="following")
        assert report is not None
        return report

    def trip(
        self, timeout: float = 15.0, *, number: int = 0, kind: str | None = None
    ) -> conditions.Guard:
        """What the guard of a shard holds, once it does; if `kind` is given, of that kind."""
        report = self.wait(
            lambda each: each.guard is not None and kind in (None, each.guard.kind),
            timeout,
            number=number,
            what="a trip" if kind is None else f"a trip: {kind}",
        )
        assert report.guard is not None
        return report.guard

    def full_sync(self, timeout: float = 20.0, trace_id: str = "") -> messages.ShardReport:
        """Have one made now, and the report after it."""
        before = self.wait(lambda report: report.last_full_sync is not None)
        assert before.last_full_sync is not None
        sequence = before.last_full_sync.sequence
        shards = tuple(shard.id for shard in self.shards)
        self._pipe.send(messages.FullSync(shards, trace_id))
        return self.wait(
            lambda r: r.last_full_sync is not None and r.last_full_sync.sequence > sequence,
            timeout,
            what="a full sync",
        )

    @property
    def session(self) -> sessions.Session:
        """The one that all its shards share."""
        sides = self._worker._sides
        assert sides is not None
        return sides.session

    def release(self, trip: str, number: int = 0) -> None:
        """Let the deletes of this trip happen, as a person does."""
        self._pipe.send(messages.Release(self.shards[number].id, trip, "a test"))

    def pause(self, number: int = 0, by: str = "a test", order: str = "") -> None:
        self._pipe.send(messages.Pause(self.shards[number].id, by, order))

    def resume(self, number: int = 0, by: str = "a test", order: str = "") -> None:
        self._pipe.send(messages.Resume(self.shards[number].id, by, order))

    # --- its end -------------------------------------------------------------------------------

    def drain(self, seconds: float = 5.0) -> None:
        """Let go of everything in good order, as on SIGTERM."""
        with contextlib.suppress(OSError):
            self._pipe.send(messages.Drain(seconds))
        self._thread.join(seconds + 5)
        assert not self._thread.is_alive(), "the worker did not drain"

    def close(self) -> None:
        if self._thread.is_alive():
            self.drain(2.0)
        self._far.close()
        self._reader.join(5)
        self._pipe.close()


def is_following(report: messages.ShardReport) -> bool:
    return report.phase in ("following", "guarded")


class World:
    """Both servers, one prefix, and what runs between them."""

    def __init__(self, zookeeper: str, etcd: str, root: str) -> None:
        self.zookeeper, self.etcd_address, self.root = zookeeper, etcd, root
        self.etcd = observing.Etcd(etcd)
        self.zk = observing.connected(zookeeper)
        self.state = STATE + root.rstrip("/")
        self.workers: list[Worker] = []
        self._patches = pytest.MonkeyPatch()
        self._patches.setattr(main, "_TURN", 0.02)
        self._patches.setattr(news, "EVERY", 0.03)
        self._switch = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)  # as in a worker process
        logger.set_level("error")

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(logger.set_level, "info")
            stack.callback(self._patches.undo)
            stack.callback(sys.setswitchinterval, self._switch)
            stack.callback(self.etcd.close)
            stack.callback(self.zk.close)
            stack.callback(self.zk.stop)
            for worker in self.workers:
                stack.callback(worker.close)

    def path(self, *names: str) -> str:
        return "/".join((self.root.rstrip("/"), *names))

    def config(self, **sections: Mapping[str, Any]) -> models.Config:
        sync = {"prefixes": [{"from": self.root, "to": self.root}], **sections.pop("sync", {})}
        return models.Config.model_validate(
            {
                "zookeeper": {"hosts": [self.zookeeper], **sections.pop("zookeeper", {})},
                "etcd": {
                    "endpoints": [f"http://{self.etcd_address}"],
                    **sections.pop("etcd", {}),
                },
                "state": {"prefix": self.state, **sections.pop("state", {})},
                "sync": sync,
                **sections,
            }
        )

    def worker(
        self,
        *,
        targets: Mapping[str, str] | None = None,
        exclude: Sequence[str] = (),
        shards: Sequence[messages.Shard] | None = None,
        identity: messages.Identity = FIRST,
        reaped: Mapping[str, int] | None = None,
        once: bool = False,
        dry_run: bool = False,
        **sections: Mapping[str, Any],
    ) -> Worker:
        """Start one. `targets`: from -> to, by default the world's prefix to itself."""
        if shards is None:
            targets = {self.root: self.root} if targets is None else targets
            shards = [shard(source, target, exclude) for source, target in targets.items()]
        settings = self.config(**sections)
        worker = Worker(settings, shards, identity, reaped or {}, once=once, dry_run=dry_run)
        self.workers.append(worker)
        return worker

    # --- both sides ----------------------------------------------------------------------------

    def wanted(self, source: str = "", target: str = "") -> dict[bytes, bytes]:
        """What etcd must hold below `target`."""
        source, target = source or self.root, target or self.root
        base, cut = ("" if target == "/" else target), len(source.rstrip("/"))
        return {
            (base + path[cut:] if path != source else target).encode(): value
            for path, value in observing.nodes(self.zk, source)
            if not path.startswith("/zookeeper")
        }

    def equal(
        self, timeout: float = 10.0, source: str = "", target: str = ""
    ) -> dict[bytes, bytes]:
        """Both sides are the same, keys and values, before the deadline; what they hold."""
        last: list[tuple[dict[bytes, bytes], dict[bytes, bytes]]] = []

        def same() -> bool:
            last[:] = [(self.wanted(source, target), self.etcd.values(target or self.root))]
            return last[0][0] == last[0][1]

        try:
            polling.until(same, timeout, every=0.05)
        except AssertionError:
            raise AssertionError(difference(*last[0])) from None
        return last[0][1]

    def checkpoint(self, worker: Worker, number: int = 0) -> int:
        value = self.etcd.value(f"{self.state}/checkpoints/{worker.shards[number].id}")
        return int((value or b"0")[:16], 16)

    def owner(self, worker: Worker, number: int = 0) -> observing.KeyValue | None:
        return self.etcd.get(f"{self.state}/owners/{worker.shards[number].id}")


def shard(source: str, target: str, exclude: Iterable[str] = ()) -> messages.Shard:
    slug = source.strip("/").replace("/", "-") or "root"
    return messages.Shard(f"{slug}-0", source, target, tuple(exclude))


def difference(wanted: Mapping[bytes, bytes], found: Mapping[bytes, bytes]) -> str:
    """Both sides in a few lines, for an assertion's message."""
    missing = sorted(wanted.keys() - found.keys())
    extra = sorted(found.keys() - wanted.keys())
    differs = sorted(key for key in wanted.keys() & found.keys() if wanted[key] != found[key])
    return (
        f"{len(missing)} missing {missing[:3]}, {len(extra)} extra {extra[:3]}, "
        f"{len(differs)} differ {[(key, wanted[key][:20], found[key][:20]) for key in differs[:3]]}"
    )


def _whole(report: messages.Report, known: dict[str, messages.ShardReport]) -> messages.Report:
    """The report with those shards too of which it has nothing to tell but how fresh they are."""
    told = {each.id: each for each in report.shards}
    for shard, before in known.items():
        if shard not in told and report.synced_at is not None:
            known[shard] = before.fresh_until(report.synced_at)
    known.update(told)
    return dataclasses.replace(report, shards=tuple(known[s] for s in report.held if s in known))
