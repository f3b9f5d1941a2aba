"""The servers, proxies and supervisors of one run, and what it takes to put them right again."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

import kazoo.client
import kazoo.exceptions
import kazoo.security
import psutil

from tests import polling, processes, proxy
from tests.acceptance import installed
from tests.faults import drawing, hand, load, login, oracle, servers, shares, txnlog, watcher
from tests.integration import observing
from zk2etcd import errors
from zk2etcd.sandbox import servers as sandboxes

STATE = "zk2etcd/faults"
LEASE_TTL = 3.0
MOVE_AFTER = "1s"
_FEW = 20
"""Prefixes of which each may have a full sync each second."""
_PATIENCE = 1.0
_RIGHTS_SECONDS = 30.0
_AT_ONCE = 100
PREFIXES = (
    oracle.Prefix("/dubbo", "/dubbo", ("/dubbo/config",), buckets=3),
    oracle.Prefix("/services", "/mirror/services"),
    oracle.Prefix("/conf", "/conf"),
    oracle.Prefix(drawing.GUARDED, drawing.GUARDED),
)
PATTERNS = {
    "/services": oracle.Prefix("/services", "/mirror/services", ("/services/*/n1*", "/**/leaf")),
    "/conf": oracle.Prefix("/conf", "/conf", matching=("/conf/*/n*", "/conf/s1")),
}
"""In place of those, where patterns are asked for."""
KEPT = {
    b"/dubbo2": b"a neighbour",
    b"/dubbo2/x": b"a neighbour's child",
    b"/dubbo-config/x": b"another neighbour",
    b"/dubbo/config/secret": b"excluded",
    b"/mirror/service": b"beside the target",
    b"/services/x": b"a source that is mirrored elsewhere",
    b"/conf//x": b"no ZooKeeper path",
    b"/conf/s0/": b"ends with a slash",
    b"/conf/\xff\xfe": b"not UTF-8",
}
"""Sentinels and foreign keys."""


GONE = (psutil.NoSuchProcess, ProcessLookupError)
"""A process that was to be hit had ended by itself."""


class Supervisor(installed.Supervisor):
    """The installed command, or the one of another source tree."""

    source_tree: pathlib.Path | None = None

    def command(self) -> list[str]:
        if self.source_tree is None:
            return super().command()
        return [sys.executable, "-m", "zk2etcd", "-c", str(self.config)]

    def environment(self) -> dict[str, str]:
        self._temporary.mkdir(exist_ok=True)
        own = {**super().environment(), "TMPDIR": str(self._temporary)}
        if self.source_tree is None:
            return own
        roots = [str(self.source_tree), str(self.source_tree / "workers")]
        return {**own, "PYTHONPATH": os.pathsep.join(roots)}

    @property
    def _temporary(self) -> pathlib.Path:
        return self.folder / "tmp"

    def metrics_folders(self) -> list[pathlib.Path]:
        """Where its processes count."""
        return sorted(self._temporary.glob("zk2etcd-metrics*"))

    def workers(self) -> list[psutil.Process]:
        """Its live workers, oldest first, also while it does not answer."""
        found = []
        with contextlib.suppress(errors.UsageError, psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "spawn_main" in " ".join(child.cmdline()) or "worker" in child.name():
                        found.append(child)
        return sorted(found, key=lambda each: each.pid)


@dataclasses.dataclass(frozen=True)
class Ways:
    """To each ZooKeeper, and to each etcd."""

    zookeeper: Sequence[proxy.Proxy]
    etcd: Sequence[proxy.Proxy]

    @classmethod
    def made(
        cls,
        zookeepers: Sequence[servers.ZooKeeper],
        etcds: Sequence[servers.Etcd],
        line: int | None,
    ) -> Ways:
        return cls(
            [proxy.Proxy(each.address, rate=line) for each in zookeepers],
            [proxy.Proxy(each.address, rate=line) for each in etcds],
        )

    def hosts(self) -> list[str]:
        return [each.address for each in self.zookeeper]

    def endpoints(self) -> list[str]:
        return [f"http://{each.address}" for each in self.etcd]


class World:
    """Everything that a fault can touch. Start it, break it, `heal` it, close its sandbox."""

    def __init__(
        self, box: sandboxes.Sandbox, made_of: servers.Servers, source_tree: pathlib.Path | None
    ) -> None:
        self.servers = made_of
        self.small = drawing.small(made_of.prefixes)
        chosen = PATTERNS if made_of.patterns else {}
        self._large = [chosen.get(each.source, each) for each in PREFIXES]
        self.prefixes = (*self._large, *(oracle.Prefix(each, each) for each in self.small))
        self.index = oracle.Index(self.prefixes)
        self.box = box
        self.zookeepers, self.links = servers.ensemble(box, made_of)
        self.etcds = servers.cluster(box, made_of)
        for server in (*self.zookeepers, *self.etcds):
            server.launch()
        for server in (*self.zookeepers, *self.etcds):
            server.wait_ready()
        ways = made_of.supervisors if made_of.share else 1
        self.ways = [Ways.made(self.zookeepers, self.etcds, made_of.line) for _ in range(ways)]
        """By supervisor, where they share; else all go the same."""
        self.zk_proxies = [each for way in self.ways for each in way.zookeeper]
        self.etcd_proxies = [each for way in self.ways for each in way.etcd]
        addresses = [server.address for server in self.etcds]
        self.hand = hand.Hand(addresses, logs_in=made_of.logins)
        if made_of.logins and not self.hand.ask_for_logins(True):
            raise errors.StartError("etcd's authentication could not be turned on")
        self.watcher = watcher.Watcher(addresses, logs_in=made_of.logins)
        self.hosts = ",".join(server.address for server in self.zookeepers)
        self.zk = observing.connected(self.hosts)
        self.clients: Sequence[load.Client] = ()
        self.restores: list[txnlog.Restore] = []
        self.snapshots = 0
        self.supervisors: list[Supervisor] = []
        for number in range(made_of.supervisors):
            content = self._own(self.config(), number)
            supervisor = box.adopt(Supervisor(box.subfolder("zk2etcd"), content))
            supervisor.source_tree = source_tree
            self.supervisors.append(supervisor)
        self.config_lock = threading.Lock()
        # Two lanes that end and start the same supervisor would lose sight of one of its processes.
        self.restarting = threading.Lock()
        self.hands = [threading.Lock() for _ in range(made_of.supervisors)]
        """Who hurts one of those that share has its hand on it."""
        self.violations: list[oracle.Violation] = []
        self.notes: list[str] = []
        self.seen = shares.Seen(made_of.supervisors)
        self.evened: list[float] = []
        """How long it took until parts were even, in seconds."""
        self.released: dict[str, float] = {}
        # By their number: shards that had said `paused`, and were not resumed before the end mark;
        # None if it is not known when they were.
        self.pauses: list[tuple[oracle.Prefix, str] | None] = []
        self._asked: dict[str, float] = {}
        # Paths whose keys the test changed by hand, and those that nobody could read for a while.
        self.tampered, self.unreadable = set[str](), set[str]()
        # How often a stranger wrote a key.
        self.hurt: dict[bytes, int] = {}
        self.started = time.monotonic()
        self.supervisor_lost_at: float | None = None
        self.etcd_put_back_at: float | None = None
        """Monotonic, as the one before."""
        self._machine = shares.Machine(self.seen) if made_of.share else None

    def config(self, **sync: Any) -> dict[str, Any]:
        """The configuration; `sync` is laid over its section."""
        logins = self.servers.logins
        prefixes = [
            {
                "from": each.source,
                "to": each.target,
                "exclude": list(each.exclude),
                "only": list(each.matching),
                "buckets": each.buckets,
            }
            for each in self.prefixes
        ]
        return {
            "zookeeper": {
                "hosts": self.ways[0].hosts(),
                "session_timeout": "2s",
                "connect_timeout": "1s",
                "request_timeout": "2s",
            },
            "etcd": {
                "endpoints": self.ways[0].endpoints(),
                "request_timeout": "1s",
                **({"username": login.USER, "password": login.PASSWORD} if logins else {}),
            },
            "sync": {
                "prefixes": prefixes,
                # Each of hundreds every second would be all that there is time for.
                "full_sync_interval": "20s" if len(self.small) > _FEW else "1s",
                "full_sync_concurrency": 2,
                "delete_guard": {"min_deletes": 25, "max_ratio": 0.3},
                **({"drift": "watch", "full_sync_interval": "0s"} if self.servers.drift else {}),
                **sync,
            },
            "state": {"prefix": STATE, "lease_ttl": f"{LEASE_TTL:g}s"},
            "workers": {
                "count": 2,
                "stop_timeout": "5s",
                "heartbeat_timeout": "6s",
                "restart_backoff": {"min": "200ms", "max": "1s"},
            },
            "log": {"format": "json", "level": "info"},
        }

    def _own(self, content: dict[str, Any], number: int) -> dict[str, Any]:
        """The same for one supervisor: its own ways to the servers, and its name."""
        if not self.servers.share:
            return content
        way = self.ways[number]
        sides = {"zookeeper": {"hosts": way.hosts()}, "etcd": {"endpoints": way.endpoints()}}
        cluster = {"mode": "share", "name": f"m{number}", "move_after": MOVE_AFTER}
        return installed.laid_over(content, cluster=cluster, **sides)

    def seed(self) -> None:
        """The tree before anything is mirrored, and the keys that nobody may touch."""
        for prefix in self.prefixes:
            self._create_root(prefix.source)
        items = [(f"{drawing.GUARDED}/n{number}", b"seed") for number in range(40)]
        items += [(root, b"outside") for root in drawing.OUTSIDE]
        for root in drawing.ROOTS:
            items += [(f"{root}/s{number}", b"seed") for number in range(5)]
            items += [(f"{root}/s{number}/n0", b"seed") for number in range(5)]
        items += [(f"{root}/s{number}", b"seed") for root in self.small for number in range(5)]
        # More than one page of etcd.
        items.append(("/dubbo/bulk", b""))
        items += [(f"/dubbo/bulk/b{number:04}", b"seed") for number in range(600)]
        observing.seed(self.zk, items)
        assert self.hand.write(KEPT), "etcd did not take the sentinels"

    def _create_root(self, path: str) -> None:
        """However long it takes: nothing is hurt yet."""
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(*load.MISSED):
                if time.monotonic() > deadline or self.zk.exists(path):
                    return
                load.create(self.zk, path, b"root")

    def start(self) -> None:
        """The first supervisor, following; or all of them, where they share."""
        if self.servers.share:
            self.start_all()
            return
        first = self.supervisors[0]
        first.start()
        if len(self.small) > _FEW:
            # The status of all, again and again, would cost more than to start.
            shards = sum(prefix.buckets for prefix in self.prefixes)
            polling.until(lambda: len(first.events("base done")) >= shards, 120, every=0.5)
        first.wait_following(30.0)

    def start_all(self) -> None:
        """Those that do not run, at once."""
        gone = [each for each in self.supervisors if not each.alive]
        with futures.ThreadPoolExecutor(len(self.supervisors)) as pool:
            list(pool.map(lambda each: each.start(), gone))

    def note(self, text: str) -> None:
        """Something that a person who looks into a failure wants to know."""
        self.notes.append(f"{time.monotonic() - self.started:7.2f}s  {text}")

    def close(self) -> None:
        """Clients and proxies; the sandbox ends the processes."""
        if self._machine is not None:
            self._machine.close()
        self.watcher.close()
        self.hand.close()
        load.close(self.zk)
        for each in (*self.zk_proxies, *self.etcd_proxies, *self.links):
            each.close()

    # --- putting it right --------------------------------------------------------------------

    def heal(self) -> None:
        """End every fault that may still be on, and wait until the servers answer."""
        for each in (*self.links, *self.zk_proxies, *self.etcd_proxies):
            each.heal()
        for server in (*self.zookeepers, *self.etcds):
            if server.alive:
                server.thaw()
            server.launch()
        for server in (*self.zookeepers, *self.etcds):
            server.wait_ready()
        if self.servers.logins:
            self.hand.ask_for_logins(True)
        if self.hand.out_of_space():
            self.hand.reclaim(self.watcher.revision)
        self._give_rights()
        self.heal_supervisors()

    def _give_rights(self) -> None:
        """Everybody may read everything again: also what a restore made as it once had been."""
        if not self.unreadable:
            return
        client = self.owner()
        deadline = time.monotonic() + _RIGHTS_SECONDS
        while not self._all_open(client):
            if time.monotonic() > deadline:
                raise errors.StartError("the rights that were taken could not be given back")
        load.close(client)

    def _all_open(self, client: kazoo.client.KazooClient) -> bool:
        """Whether everybody has all rights to what is below the roots now."""
        with contextlib.suppress(*load.MISSED):
            for root in drawing.ROOTS:
                paths = [path for path, _ in observing.nodes(client, root)]
                for start in range(0, len(paths), _AT_ONCE):
                    rights = kazoo.security.OPEN_ACL_UNSAFE
                    asked = [
                        client.set_acls_async(path, rights)
                        for path in paths[start : start + _AT_ONCE]
                    ]
                    for each in asked:
                        with contextlib.suppress(kazoo.exceptions.NoNodeError):
                            each.get(timeout=load.PATIENCE)
            return True
        return False

    def heal_supervisors(self) -> None:
        for each in self.supervisors:
            if each.alive:
                self.thaw(each)
        if self.servers.share:
            self.start_all()
        elif not any(each.alive for each in self.supervisors):
            self.supervisors[0].start()
        self.reconfigure(self.config())

    def thaw(self, supervisor: Supervisor) -> None:
        """SIGCONT to it and all its workers."""
        for process in supervisor.workers():
            with contextlib.suppress(*GONE):
                process.send_signal(signal.SIGCONT)
        supervisor.thaw()

    def reconfigure(self, content: dict[str, Any], only: Supervisor | None = None) -> None:
        """Every supervisor's file, or one's, and SIGHUP to those that run."""
        with self.config_lock:
            for number, each in enumerate(self.supervisors):
                if only in (None, each):
                    each.configure(self._own(content, number))
                    with contextlib.suppress(errors.UsageError):
                        each.reload()

    def lose_supervisor(self, supervisor: Supervisor) -> None:
        """kill -9; its successor has to wait for its lease."""
        self.supervisor_lost_at = time.monotonic()
        supervisor.kill()

    # --- both sides --------------------------------------------------------------------------

    def wanted(self) -> dict[bytes, bytes]:
        """What ZooKeeper has, by key."""
        found = {}
        for prefix in self._large:
            for path, value in observing.nodes(self.zk, prefix.source):
                key = prefix.key(path)
                if key is not None:
                    found[key] = value
        if self.small:
            below = observing.nodes(self.zk, drawing.MANY)
            found.update({path.encode(): value for path, value in below if path != drawing.MANY})
        return found

    def found(self) -> dict[bytes, bytes]:
        """What etcd has in the mapped ranges, foreign keys apart."""
        last = oracle.last_values(list(self.watcher.events))
        return {
            key: value
            for key, value in last.items()
            if value is not None and key not in KEPT and self.index.of(key) is not None
        }

    def equal(self) -> bool:
        return self.found() == self.wanted()

    def guarded(self) -> Iterator[tuple[Supervisor, dict[str, Any]]]:
        """The owned shards whose deletes are held, with the supervisor that holds them."""
        for supervisor in self.supervisors:
            if not supervisor.alive:
                continue
            with contextlib.suppress(errors.Unreachable, ValueError, KeyError):
                for shard in supervisor.status()["shards"]:
                    if shard["owned"] and shard["guard"]:
                        yield supervisor, shard

    def release_guards(self) -> bool:
        """What an operator does who has looked: allow the deletes that are held. True if some
        were."""
        held = list(self.guarded())
        for supervisor, shard in held:
            trip, now = shard["guard"]["id"], time.time()
            if now - self._asked.get(trip, 0.0) < _PATIENCE:
                continue
            self._asked[trip] = now
            with contextlib.suppress(errors.Unreachable):
                self.released.setdefault(trip, now)
                status, text = supervisor.ask(f"/shards/{shard['id']}/release", {"trip": trip})
                what = f"{shard['guard']['deletes']} deletes of {shard['id']}"
                self.note(f"release {what}: {status} {text[:200].strip()}")
        return bool(held)

    def resume_all(self) -> bool:
        """Resume what is paused, wherever it is owned. True if something was."""
        found = False
        for supervisor in self.supervisors:
            if not supervisor.alive:
                continue
            with contextlib.suppress(errors.Unreachable, ValueError, KeyError):
                shards = supervisor.status()["shards"]
                paused = [each["id"] for each in shards if each["pause"]]
                found = found or bool(paused)
                now = time.time()
                paused = [each for each in paused if now - self._asked.get(each, 0.0) > _PATIENCE]
                if paused:
                    self._asked.update(dict.fromkeys(paused, now))
                    status, text = supervisor.ask("/resume", {"shards": paused})
                    self.note(f"resume {' '.join(paused)}: {status} {text[:200].strip()}")
        return found

    def diff(self, *options: str, timeout: float = 20.0) -> None:
        """`zk2etcd diff` of the tree under test, to its end or to the time-out."""
        supervisor = self.supervisors[0]
        whole = supervisor.command()
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = processes.run(
                [*whole[:-2], "diff", "-c", str(supervisor.config), *options],
                env=supervisor.environment(),
                timeout=timeout,
            )
            self.note(f"diff ended with {done.returncode}: {done.stderr[-200:].strip()}")

    def restart_somebody(self, luck: random.Random) -> None:
        """kill -9 to the workers, or to a supervisor, which is started again; where they share,
        only those who hurt them start them."""
        if not self.servers.share and luck.random() < 0.5:
            with self.restarting:
                supervisor = next((each for each in self.supervisors if each.alive), None)
                if supervisor is not None:
                    self.note(f"kill -9 supervisor {supervisor.pid} while the guard may hold")
                    self.lose_supervisor(supervisor)
                    supervisor.start()
            return
        self.kill_workers()

    def kill_workers(self) -> None:
        """kill -9 to all workers of all supervisors."""
        self.note("kill -9 all workers")
        for supervisor in self.supervisors:
            for worker in supervisor.workers() if supervisor.alive else ():
                with contextlib.suppress(*GONE):
                    worker.kill()

    def shards_of(self, source: str) -> Iterator[tuple[Supervisor, dict[str, Any]]]:
        """What the live supervisors say of the shards of a prefix that they own."""
        for supervisor in self.supervisors:
            with contextlib.suppress(errors.Unreachable, ValueError, KeyError):
                for shard in supervisor.status()["shards"]:
                    if shard["owned"] and shard["from"] == source:
                        yield supervisor, shard

    def phases(self, source: str) -> set[str]:
        """Their phases."""
        return {str(shard["phase"]) for _, shard in self.shards_of(source)}

    def logged(self) -> list[txnlog.Record]:
        """What ZooKeeper has committed, as its logs stand now."""
        return txnlog.records([server.data for server in self.zookeepers])

    def renew_clients(self) -> None:
        """Sessions of our own, with what they have seen, are of a history that was lost."""
        for each in self.clients:
            each.renew()
        load.close(self.zk)
        self.zk = observing.connected(self.hosts)

    def client(self) -> kazoo.client.KazooClient:
        """A new session straight to the servers."""
        return load.session(self.hosts)

    def owner(self) -> kazoo.client.KazooClient:
        """The one who may give back the rights that a fault took."""
        client = self.client()
        client.add_auth_async("digest", "owner:secret")
        return client


def set_rights(client: kazoo.client.KazooClient, path: str, rights: Any) -> bool:
    """Whether that is settled: done, or there is no such node."""
    try:
        client.set_acls_async(path, rights).get(timeout=load.PATIENCE)
    except kazoo.exceptions.NoNodeError:
        return True
    except load.MISSED:
        return False
    return True
