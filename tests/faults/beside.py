"""Two mirrors of two ensembles, and a stranger, in one range of etcd, by marks: `--marks`.

Of the nodes of both, 200 have the same names. Everything changes all the time, workers are killed
and frozen, etcd is compacted, full syncs come every second. The judge is a watch of etcd and knows
nothing of marks but their names: each Txn of a mirror puts a checkpoint below its own state prefix,
each of the stranger's a tag, so each revision tells whose it is. A key is whoever's who created it,
until it is deleted. The stranger alone now and then takes a key from a mirror: deletes it, and
makes it anew.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import etcd3.etcdrpc as rpc
import grpc
import kazoo.client
import kazoo.exceptions

from tests import polling
from tests.faults import oracle, watcher, world
from zk2etcd import errors
from zk2etcd.sandbox import servers

FROM, TO, STATE, TAG = "/load", "/shared", "zk2etcd", b"tag/stranger"
SIDES = ("red", "blue")
COMMON, OWN, FOLDERS = 200, 60, 10
_RATE, _STRANGE_RATE, _HURT_EVERY, _COMPACT_EVERY = 60.0, 15.0, 3.0, 0.7
_FROZEN = 0.3
_PATIENCE = 60.0
WITHIN = 6.0
"""Seconds in which a key that its owner gave up is the other's: a full sync, on a busy machine."""


@dataclasses.dataclass(frozen=True)
class Change:
    """What one revision did to one key of the range; `by` is a side, "stranger", or None."""

    revision: int
    key: bytes
    value: bytes | None
    by: str | None


class Judge:
    """Who created each key, and what everybody did to it."""

    def __init__(self, events: Sequence[watcher.Event]) -> None:
        self.violations: list[oracle.Violation] = []
        self.owners: dict[bytes, str] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self._last: dict[bytes, str] = {}
        for revision, found in itertools.groupby(events, lambda event: event.revision):
            self._look(revision, list(found))

    def _look(self, revision: int, events: Sequence[watcher.Event]) -> None:
        names = {event.key: event for event in events}
        by = _whose(names)
        owned = f"{STATE}/{by}/owned/".encode()
        marks = {
            b"/" + key[len(owned) :].partition(b"/")[2]: event
            for key, event in names.items()
            if key.startswith(owned) and b"/" in key[len(owned) :]
        }
        for key, event in names.items():
            if _in_range(key):
                self._judge(Change(revision, key, event.value, by), marks)
        for key, event in marks.items():
            if event.value is not None and key not in names:
                self._say("mark alone", key, f"{by} marked it at {revision}, and did not put it")

    def _judge(self, change: Change, marks: Mapping[bytes, watcher.Event]) -> None:
        key, by = change.key, change.by
        owner = self.owners.get(key)
        if by is None:
            self._say("nobody", key, f"revision {change.revision} is nobody's")
            return
        if owner is not None and owner != by and by in SIDES:
            did = "deleted" if change.value is None else "overwrote"
            self._say("theirs", key, f"{by} {did} at {change.revision} what {owner} had created")
        mark = marks.get(key)
        if change.value is None:
            self.owners.pop(key, None)
            self.counts["deletes"] += 1
        elif owner is None:
            self.owners[key] = by
            self.counts["creates"] += 1
            self.counts["passed on"] += self._last.get(key, by) != by
            self._last[key] = by
            if by in SIDES and (mark is None or mark.value is None):
                self._say("unmarked", key, f"{by} created it at {change.revision} without a mark")
        else:
            self.counts["updates"] += 1
        if change.value is None and by in SIDES and (mark is None or mark.value is not None):
            self._say("mark left", key, f"{by} deleted it at {change.revision} and left its mark")

    def _say(self, check: str, key: bytes, text: str) -> None:
        self.violations.append(oracle.Violation("I3", check, key.decode(), text))


def _whose(names: Mapping[bytes, watcher.Event]) -> str | None:
    if TAG in names:
        return "stranger"
    for side in SIDES:
        start = f"{STATE}/{side}/".encode()
        if any(key.startswith(start) for key in names):
            return side
    return None


def _in_range(key: bytes) -> bool:
    return key == TO.encode() or key.startswith(f"{TO}/".encode())


class Ensemble:
    """One side: its ZooKeeper, its mirror, and who changes the tree."""

    def __init__(
        self,
        box: servers.Sandbox,
        etcd: servers.Etcd,
        side: str,
        seed: int,
        source_tree: pathlib.Path | None,
    ) -> None:
        self.side, self._rng = side, random.Random(f"{seed}-{side}")
        self.zookeeper = box.zookeeper(durable=False)
        self.zookeeper.start()
        self.zk = kazoo.client.KazooClient(self.zookeeper.address, timeout=30)
        self.zk.start(30)
        self.names = [*common(), *(f"{FROM}/{_folder(n)}/{side}{n:03d}" for n in range(OWN))]
        self.zk.create(FROM, b"")
        for number in range(FOLDERS):
            self.zk.create(f"{FROM}/{_folder(number)}", b"")
        content = {
            "zookeeper": {"hosts": [self.zookeeper.address]},
            "etcd": {"endpoints": [etcd.url]},
            "state": {"prefix": f"{STATE}/{side}", "lease_ttl": "5s"},
            "sync": {
                "prefixes": [{"from": FROM, "to": TO, "buckets": (1, 3)[seed % 2]}],
                "ownership": "marks",
                "full_sync_interval": "1s",
                "drift": ("full_sync", "watch")[seed // 2 % 2],
                "delete_guard": {"max_ratio": 1.0, "first_sync": "apply"},
            },
            "workers": {"count": 2},
            "log": {"format": "json"},
        }
        self.supervisor = world.Supervisor(box.subfolder(f"supervisor-{side}"), content)
        self.supervisor.source_tree = source_tree
        box.adopt(self.supervisor)

    def change(self) -> None:
        """One change of one node, whatever there is."""
        name, number = self._rng.choice(self.names), self._rng.randrange(1_000_000)
        value = f"{self.side} {number}".encode()
        with contextlib.suppress(kazoo.exceptions.KazooException):  # a busy machine loses some
            match self._rng.randrange(4):
                case 0:
                    self.zk.delete(name)
                case 1:
                    self.zk.set(name, value)
                case _:
                    self.zk.create(name, value)

    def gives_up(self, path: str) -> None:
        """Delete it, mostly: just when somebody else has its key."""
        if self._rng.random() < 0.7:
            with contextlib.suppress(kazoo.exceptions.KazooException):
                self.zk.delete(path)

    def hurt(self) -> None:
        """Kill a worker; or freeze it, mostly for longer than its lease lives."""
        with contextlib.suppress(OSError, errors.Zk2EtcdError, KeyError):
            pids = sorted(self.supervisor.worker_pids().items())
            pid = self._rng.choice(pids)[1] if pids else 0  # None runs yet, or again.
            if pid and self._rng.random() < _FROZEN:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self._rng.uniform(1.0, 8.0))
                os.kill(pid, signal.SIGCONT)
            elif pid:
                os.kill(pid, signal.SIGKILL)

    def nodes(self) -> dict[bytes, bytes]:
        """What it would have mirrored, by key."""
        ask = self.zk.retry
        paths = [FROM]
        for folder in ask(self.zk.get_children, FROM):
            path = f"{FROM}/{folder}"
            paths += [path, *(f"{path}/{name}" for name in ask(self.zk.get_children, path))]
        return {path.replace(FROM, TO, 1).encode(): ask(self.zk.get, path)[0] for path in paths}

    def close(self) -> None:
        self.zk.stop()
        self.zk.close()


class Stranger:
    """Somebody else's program: it changes what it has created, and takes what it likes."""

    def __init__(self, etcd: servers.Etcd, seed: int) -> None:
        self._rng = random.Random(f"{seed}-stranger")
        self._channel = grpc.insecure_channel(etcd.address)
        self._kv = rpc.KVStub(self._channel)
        self._mine: dict[bytes, int] = {}
        self.on_taken: Callable[[str], None] = lambda _: None
        """Told of the path of a key that it has just taken."""
        self._names = [path.replace(FROM, TO, 1).encode() for path in common()[:40]]
        self._names += [f"{TO}/{_folder(n)}/strange{n:03d}".encode() for n in range(40)]

    def change(self) -> None:
        key = self._rng.choice(self._names)
        if key not in self._mine and self._rng.random() < 0.3:
            self.takes(key)
            self.on_taken(key.replace(TO.encode(), FROM.encode(), 1).decode())
            return
        delete = key in self._mine and self._rng.random() < 0.4
        self._write(key, None if delete else b"stranger %d" % self._rng.randrange(1_000_000))

    def takes(self, key: bytes) -> None:
        """Whoever has it."""
        self._delete(key)
        self._write(key, b"stranger's now")

    def leave(self) -> None:
        """Delete all that it has on the names of others."""
        for key in list(self._mine):
            if b"strange" not in key:
                self._write(key, None)

    @property
    def keys(self) -> set[bytes]:
        return set(self._mine)

    def compacts(self, revision: int) -> None:
        with contextlib.suppress(grpc.RpcError):  # it is already
            self._kv.Compact(rpc.CompactionRequest(revision=revision), timeout=20)

    def _delete(self, key: bytes) -> None:
        request = rpc.TxnRequest()
        request.success.add().request_put.key = TAG
        request.success.add().request_delete_range.key = key
        self._kv.Txn(request, timeout=20)

    def _write(self, key: bytes, value: bytes | None) -> None:
        request = rpc.TxnRequest()
        compare = request.compare.add()
        compare.target, compare.key = 1, key
        compare.create_revision = self._mine.get(key, 0)
        request.success.add().request_put.key = TAG
        if value is None:
            request.success.add().request_delete_range.key = key
        else:
            put = request.success.add().request_put
            put.key, put.value = key, value
        answer = self._kv.Txn(request, timeout=20)
        if not answer.succeeded or value is None:
            self._mine.pop(key, None)
        else:
            self._mine.setdefault(key, answer.header.revision)

    def close(self) -> None:
        self._channel.close()


@dataclasses.dataclass
class Report:
    """What a run showed."""

    seed: int
    seconds: float
    violations: list[oracle.Violation]
    counts: Mapping[str, int]

    @property
    def checks(self) -> set[str]:
        return {each.check for each in self.violations}

    def line(self) -> str:
        found = ", ".join(sorted(self.checks)) or "passed"
        counted = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return f"seed {self.seed} {self.seconds:g} s, marks: {found}; {counted}"


def common() -> list[str]:
    return [f"{FROM}/{_folder(number)}/c{number:03d}" for number in range(COMMON)]


def _folder(number: int) -> str:
    return f"d{number % FOLDERS}"


def run(seed: int, seconds: float, source_tree: pathlib.Path | None = None) -> Report:
    """One run and its judgement."""
    with servers.opened() as box:
        etcd = box.etcd(durable=False)
        etcd.start()
        seen = watcher.Watcher([etcd.address])
        stranger = Stranger(etcd, seed)
        both = [Ensemble(box, etcd, side, seed, source_tree) for side in SIDES]
        try:
            return _Run(seed, seconds, both, stranger, seen).report()
        finally:
            for each in both:
                each.close()
            stranger.close()
            seen.close()


class _Run:
    def __init__(
        self,
        seed: int,
        seconds: float,
        both: Sequence[Ensemble],
        stranger: Stranger,
        seen: watcher.Watcher,
    ) -> None:
        self._seed, self._seconds = seed, seconds
        self._both, self._stranger, self._seen = both, stranger, seen
        self._found: list[oracle.Violation] = []

    def report(self) -> Report:
        for _ in range(30):
            self._stranger.change()  # Before anything is mirrored.
        for each in self._both:
            each.supervisor.start()
        self._stranger.on_taken = self._taken
        with self._changing():
            time.sleep(self._seconds)
        self._stranger.leave()
        self._settles("converged")
        self._given_up()
        self._seen.check()
        judge = Judge(self._seen.events)
        return Report(self._seed, self._seconds, [*judge.violations, *self._found], judge.counts)

    def _compact(self) -> None:
        """All but the last few revisions, as far as the judge has seen them."""
        self._stranger.compacts(self._seen.revision - 3)

    def _taken(self, path: str) -> None:
        for each in self._both:
            each.gives_up(path)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        over = threading.Event()
        doing: list[tuple[Callable[[], Any], float]] = [
            (self._stranger.change, _STRANGE_RATE),
            (self._compact, 1 / _COMPACT_EVERY),
        ]
        for each in self._both:
            doing += [(each.change, _RATE), (each.hurt, 1 / _HURT_EVERY)]
        threads = [threading.Thread(target=_again, args=(over, *one)) for one in doing]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _settles(self, check: str) -> None:
        try:
            polling.until(lambda: not self._differences(), _PATIENCE, every=0.3)
        except AssertionError:
            for key, text in list(self._differences().items())[:5]:
                self._found.append(oracle.Violation("I4", check, key.decode(), text))

    def _differences(self) -> dict[bytes, str]:
        """What is not as it should be in the end: each key that somebody wants is there, with the
        value of whoever created it, and no other."""
        owners, values = Judge(self._seen.events).owners, self._values()
        nodes = {each.side: each.nodes() for each in self._both}
        found: dict[bytes, str] = {}
        wanted = set().union(*nodes.values(), self._stranger.keys)
        for key in wanted - values.keys():
            found[key] = "wanted, and not there"
        for key, value in values.items():
            owner = owners.get(key)
            if owner == "stranger":
                continue
            if owner is None or nodes[owner].get(key) != value:
                found[key] = f"{owner}'s, but not as that one has it: {value!r}"
        return found

    def _values(self) -> dict[bytes, bytes]:
        values: dict[bytes, bytes] = {}
        for event in list(self._seen.events):
            if _in_range(event.key):
                if event.value is None:
                    values.pop(event.key, None)
                else:
                    values[event.key] = event.value
        return values

    def _given_up(self) -> None:
        """What one of them gives up, and the other has too, is soon the other's."""
        owners = Judge(self._seen.events).owners
        one, other = self._both
        theirs = other.nodes()
        given = [
            path
            for path in common()
            if owners.get(key := path.replace(FROM, TO, 1).encode()) == one.side and key in theirs
        ]
        for path in given:
            one.zk.retry(one.zk.delete, path)
        keys = {path.replace(FROM, TO, 1).encode() for path in given}

        def passed_on() -> bool:
            now = Judge(self._seen.events).owners
            return all(now.get(key) == other.side for key in keys)

        try:
            polling.until(passed_on, WITHIN, every=0.2)
        except AssertionError:
            now = Judge(self._seen.events).owners
            late = sorted(key for key in keys if now.get(key) != other.side)
            text = f"not {other.side}'s within {WITHIN:g} s of {one.side} giving it up"
            self._found += [oracle.Violation("I4", "given up", k.decode(), text) for k in late[:5]]


def _again(over: threading.Event, what: Callable[[], Any], rate: float) -> None:
    due = time.monotonic()
    while not over.wait(max(0.0, due - time.monotonic())):
        due = max(due + 1 / rate, time.monotonic() - 1.0)
        what()
