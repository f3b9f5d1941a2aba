"""A small world for one directed scenario: one ZooKeeper, one etcd, a proxy before each, and what
zk2etcd made of one prefix between them. Nothing here is drawn by luck: a scenario does one thing,
waits until it sees its effect, and does the next.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kazoo.client

from tests import polling, proxy
from tests.acceptance import installed
from tests.faults import hand, oracle, servers, shares, txnlog, watcher, world
from tests.integration import observing
from zk2etcd import errors
from zk2etcd.sandbox import servers as sandboxes

ROOT = "/m"
STATE = "zk2etcd/mutations"
SESSION_SECONDS = 60.0
"""Longer than any scenario: a session that ends is a transaction, and a copy of a server must not
catch up with its original by ending those that it inherited."""
SHARED, SHARED_TTL = 4, 3.0
"""So many shards there are where several share, and how long their leases live."""
_SETTLED = 15.0
_LATE, _GONE = 2.0, 0.7


class Stage:
    """:param tree: the source tree that zk2etcd runs from.
    :param made_of: one ZooKeeper and one etcd, of whichever release.
    """

    def __init__(
        self,
        box: sandboxes.Sandbox,
        tree: pathlib.Path,
        made_of: servers.Servers = servers.INSTALLED,
    ) -> None:
        self._box = box
        self._tree = tree
        (self.zookeeper,), _ = servers.ensemble(box, made_of)
        (self.etcd,) = servers.cluster(box, made_of)
        for server in (self.zookeeper, self.etcd):
            server.launch()
        for server in (self.zookeeper, self.etcd):
            server.wait_ready()
        self.zk_proxy = proxy.Proxy(self.zookeeper.address)
        self.etcd_proxy = proxy.Proxy(self.etcd.address)
        self.proxies = [self.zk_proxy, self.etcd_proxy]
        self.watcher = watcher.Watcher([self.etcd.address])
        self.hand = hand.Hand([self.etcd.address])
        self.zk = kazoo.client.KazooClient(self.zookeeper.address, timeout=SESSION_SECONDS)
        self.zk.start(15)
        self.supervisors: list[world.Supervisor] = []
        self.violations: list[oracle.Violation] = []
        self.released: dict[str, float] = {}
        self._pauses: list[tuple[oracle.Prefix, str]] = []
        self.prefix = oracle.Prefix(ROOT, ROOT)
        self.seen: shares.Seen | None = None
        """Where supervisors share; then the prefix is one of several shards."""
        self._machine: shares.Machine | None = None

    def close(self) -> None:
        if self._machine is not None:
            self._machine.close()
        self.watcher.close()
        self.hand.close()
        self.zk.stop()
        self.zk.close()
        for each in self.proxies:
            each.close()

    # --- zk2etcd -----------------------------------------------------------------------------

    def supervisor(self, **sections: dict[str, Any]) -> world.Supervisor:
        """Another one, started; `sections` are laid over its configuration."""
        made = self._made(sections)
        made.start()
        return made

    def _made(self, sections: dict[str, dict[str, Any]]) -> world.Supervisor:
        made = self._box.adopt(
            world.Supervisor(self._box.subfolder("zk2etcd"), self._config(sections))
        )
        made.source_tree = self._tree
        self.supervisors.append(made)
        return made

    def follows(self, **sections: dict[str, Any]) -> world.Supervisor:
        """The same, once both sides are equal and it follows."""
        made = self.supervisor(**sections)
        made.wait_following(30.0)
        return made

    def shared(self, number: int, **sections: dict[str, Any]) -> world.Supervisor:
        """One of several that share."""
        self.prefix = oracle.Prefix(ROOT, ROOT, buckets=SHARED)
        if self.seen is None:
            self.seen = shares.Seen(number + 1)
            self._machine = shares.Machine(self.seen)
        self.seen.supervisors = max(self.seen.supervisors, number + 1)
        prefix = {"from": ROOT, "to": ROOT, "buckets": SHARED}
        settings: dict[str, dict[str, Any]] = {
            "sync": {"prefixes": [prefix], "full_sync_interval": "0s"},
            "state": {"prefix": STATE, "lease_ttl": f"{SHARED_TTL:g}s"},
            "cluster": {"mode": "share", "name": f"m{number}", "move_after": "1s"},
        }
        return self._made({**settings, **sections})

    def parts(self) -> list[int]:
        """How many shards each supervisor has that has any."""
        owners = shares.owners(list(self.watcher.events), STATE)
        return sorted(Counter(owners.values()).values())

    def _config(self, sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
        content = {
            "zookeeper": {
                "hosts": [self.zk_proxy.address],
                "session_timeout": f"{SESSION_SECONDS:g}s",
                "request_timeout": "10s",
            },
            "etcd": {"endpoints": [f"http://{self.etcd_proxy.address}"], "request_timeout": "10s"},
            "sync": {"prefixes": [ROOT], "full_sync_interval": "0s"},
            "state": {"prefix": STATE, "lease_ttl": "30s"},
            "workers": {"count": 1, "stop_timeout": "5s"},
            "log": {"format": "json"},
            # Those of several that share say so: `shared`.
            "cluster": {"mode": "standby"},
        }
        return installed.laid_over(content, **sections)

    def shard(self, supervisor: world.Supervisor) -> dict[str, Any]:
        """Its shard as /status has it; empty while it has none."""
        with contextlib.suppress(errors.Unreachable):
            return supervisor.shards().get(ROOT, {})
        return {}

    def synced_at(self, supervisor: world.Supervisor, before: str) -> str:
        """The next moment of which it is proven that all from before it is in etcd."""
        return (
            polling.until(
                lambda: (at := str(self.shard(supervisor).get("synced_at") or "")) != before and at,
                20,
                what="a proof of freshness",
            )
            or ""
        )

    def ask_for_a_pause(self, supervisor: world.Supervisor) -> None:
        """Return when the shard has let go of what it was about."""
        supervisor.ask("/pause", {})
        told = {"reason": "a person paused or resumed it"}
        polling.until(lambda: supervisor.events("starting over", **told), 15, what="a pause")

    def is_paused(self, supervisor: world.Supervisor) -> None:
        """Wait until it says so; from when on is marked."""
        polling.until(lambda: self.shard(supervisor).get("phase") == "paused", 30, what="paused")
        self._pauses.append((oracle.Prefix(ROOT, ROOT), self.shard(supervisor)["id"]))
        self._mark_pause("begin")

    def resume(self, supervisor: world.Supervisor) -> None:
        """End the pause; until when it lasted is marked."""
        self._mark_pause("end")
        supervisor.ask("/resume", {})

    def _mark_pause(self, which: str) -> None:
        assert self.hand.write({oracle.pause_mark(len(self._pauses) - 1, which): b""})

    def kill_worker(self, supervisor: world.Supervisor) -> None:
        """kill -9; the supervisor starts another, which takes the shard over at once."""
        for each in supervisor.workers():
            each.kill()
            each.wait(5)

    # --- ZooKeeper ---------------------------------------------------------------------------

    def create(self, *names: str, value: bytes = b"0") -> None:
        """The root, and nodes below it."""
        paths = [(ROOT, value), *((f"{ROOT}/{name}", value) for name in names)]
        observing.seed(self.zk, paths)

    @contextlib.contextmanager
    def twin(self) -> Iterator[servers.ZooKeeper]:
        """A server that knows what has been logged by now, and nothing of what comes after."""
        made = self._box.adopt(self.zookeeper.twin(self._box.subfolder("twin")))
        made.start()
        try:
            yield made
        finally:
            made.kill()

    @contextlib.contextmanager
    def stranger(self, items: Sequence[tuple[str, bytes]]) -> Iterator[servers.ZooKeeper]:
        """A server of another ensemble, with these nodes, whose zxid is ahead of ours."""
        made = self._box.adopt(servers.ZooKeeper(self._box.subfolder("stranger"), None))
        made.start()
        client = observing.connected(made.address)
        try:
            # Its history is another one, as that of most ensembles is.
            client.create("/before", b"")
            for _ in range(100):
                client.set_async("/before", b"")
            observing.seed(client, items)
            yield made
        finally:
            client.stop()
            client.close()
            made.kill()

    def log_more(self, server: sandboxes.ZooKeeper) -> None:
        """Have it log as much as ours has by now, and more, of what is not mirrored."""
        client = observing.connected(server.address)
        client.create("/more", b"")
        for _ in range(100):
            client.set_async("/more", b"")
        client.set("/more", b"")
        client.stop()
        client.close()

    # --- etcd --------------------------------------------------------------------------------

    def history(self, key: str = ROOT) -> list[bytes | None]:
        """What the key went through so far."""
        return [each.value for each in list(self.watcher.events) if each.key == key.encode()]

    def value(self, key: str = ROOT) -> bytes | None:
        history = self.history(key)
        return history[-1] if history else None

    def arrived(self, value: bytes, key: str = ROOT, timeout: float = 20.0) -> None:
        polling.until(lambda: self.value(key) == value, timeout, what=f"{value!r} at {key} in etcd")

    def held(self, value: bytes, key: str = ROOT, by: proxy.Proxy | None = None) -> None:
        """What mirrors `value` is on its way and the proxy has it: something waits there, and for
        longer than a change needs, the key does not come."""
        way = by or self.etcd_proxy
        polling.until(lambda: way.waiting, what="something is held")
        quiet = time.monotonic() + 0.7
        polling.until(lambda: time.monotonic() > quiet)
        assert value not in self.history(key), "it was not held: the scenario shows nothing"

    def let_go(self, value: bytes, key: str = ROOT) -> None:
        """Deliver the held write of `value`, whose sender was cut off. The proxy leaves a server
        the time for it only when the sender went a while ago."""
        gone = time.monotonic() + _GONE
        polling.until(lambda: time.monotonic() > gone)
        self.etcd_proxy.release()
        self.would_land(value, key)

    def would_land(self, value: bytes | None, key: str = ROOT) -> None:
        """Return when a late write landed, or could not land any more: the proxy has delivered
        what it held, and ended the connection a second later."""
        over = time.monotonic() + _LATE
        polling.until(lambda: self.value(key) == value or time.monotonic() > over)

    def put_back(self, before: Callable[[], None]) -> None:
        """etcd as it was before `before` happened; it is down for a moment twice. zk2etcd does not
        reach it again until the proxy accepts."""
        copy = self.etcd.folder / "backup"
        self.etcd.kill()
        shutil.copytree(self.etcd.data, copy)
        self.etcd.start()
        assert polling.until(lambda: self.hand.write({}), 20, what="etcd is back")
        polling.until(lambda: self.watcher.events[-1].key == hand.MARK, what="the watch is, too")
        known = self.watcher.revision - 1
        before()
        self.etcd_proxy.refuse()
        self.etcd.kill()
        self.watcher.put_back(known)
        shutil.rmtree(self.etcd.data)
        copy.rename(self.etcd.data)
        self.etcd.start()

    def has_quota(self, size: int | None) -> None:
        """From now on etcd takes so many bytes; None: its default. It is down for a moment."""
        self.etcd.kill()
        self.etcd.quota = size
        self.etcd.start()
        if self.hand.out_of_space():
            self.hand.reclaim(self.etcd.revision())
        assert polling.until(lambda: self.hand.write({}), 20, what="etcd is back")

    @contextlib.contextmanager
    def stray(self) -> Iterator[servers.Etcd]:
        """Another etcd, not yet started: a cluster by itself, with nothing in it."""
        folder = self._box.subfolder("stray")
        made = self._box.adopt(servers.Etcd(folder, "stray", servers.INSTALLED))
        try:
            yield made
        finally:
            made.kill()

    # --- the end -----------------------------------------------------------------------------

    def converges(self) -> bool:
        """Whether both sides become equal."""
        with contextlib.suppress(AssertionError):
            return polling.until(self._equal, _SETTLED, every=0.1)
        return False

    def _equal(self) -> bool:
        wanted = {path.encode(): value for path, value in observing.nodes(self.zk, ROOT)}
        last = oracle.last_values(list(self.watcher.events))
        below = ROOT.encode() + b"/"
        found = {
            key: value
            for key, value in last.items()
            if value is not None and (key == ROOT.encode() or key.startswith(below))
        }
        return found == wanted

    def judge(self) -> list[oracle.Violation]:
        """What the oracle says, and the scenario itself, once all that zk2etcd did is over."""
        for supervisor in self.supervisors:
            supervisor.stop()
        self.hand.write({})
        polling.until(self._mark_is_last, what="the whole watch")
        self.watcher.check()
        events = list(self.watcher.events)
        foreign = {event.revision for event in events if event.key == hand.MARK}
        history = txnlog.replay(txnlog.records([self.zookeeper.data]))
        case = oracle.Case(
            [self.prefix],
            STATE,
            history,
            events,
            foreign,
            released=self.released,
            pauses=self._pauses,
        )
        several = shares.judge(case, self.seen, SHARED_TTL) if self.seen else []
        return [*self.violations, *oracle.judge(case), *several]

    def _mark_is_last(self) -> bool:
        events = self.watcher.events
        return bool(events) and events[-1].key == hand.MARK
