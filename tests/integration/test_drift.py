"""Strangers who write into the mirrored range, where a watch tells of them: what is put right, what
is left, and what our own writes, a dead watch and a war cost."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from tests import etcd_cluster, polling, proxy as proxies
from tests.integration import mirroring, observing, strangers
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.drift import hearing, ranges, watcher
from zk2etcd_workers.shard import apply

WATCH = {"drift": "watch"}


def _grow(world: mirroring.World, count: int, name: str = "n", value: bytes = b"v") -> None:
    items = ((world.path(f"{name}{number:05d}"), value) for number in range(count))
    observing.seed(world.zk, items)


def _is_watched(report: messages.ShardReport) -> bool:
    return report.drift is not None and report.drift.why is None


# --- what is put right ---------------------------------------------------------------------------


def test_what_strangers_change_is_put_right_and_what_they_add_is_left(
    world: mirroring.World,
) -> None:
    """Their own keys are the full sync's, and its guard's."""
    world.zk.create(world.root, b"")
    _grow(world, 200)
    worker = world.worker(sync=WATCH)
    worker.follows()
    worker.wait(_is_watched, what="it is watched")
    before = world.etcd.below(world.root)
    ghosts = {world.path("ghost").encode(): b"g", world.path("n00001", "ghost").encode(): b"h"}
    for key, value in ghosts.items():
        world.etcd.put(key.decode(), value)
    world.etcd.put(world.path("n00007"), b"tampered")
    world.etcd.delete(world.path("n00008"))
    wanted = {**world.wanted(), **ghosts}
    polling.until(lambda: world.etcd.values(world.root) == wanted, 20, what="it is put right")
    worker.wait(lambda r: r.drift is not None and r.drift.repaired == 2, what="two are counted")
    assert worker.counts.drifts == 2
    assert worker.counts.fixes == {"put": 0, "delete": 0}
    after = world.etcd.below(world.root)
    touched = {world.path(name).encode() for name in ("n00007", "n00008")}
    assert {key for key in before if after[key] != before[key]} == touched
    last = worker.full_sync().last_full_sync
    assert last is not None
    assert (last.put, last.delete, last.missed) == (0, 2, 0)
    world.equal(30)


def test_a_value_that_stood_is_put_again_after_a_stranger(world: mirroring.World) -> None:
    """A live put of it would be left out, since it is known to stand."""
    world.zk.create(world.root, b"1")
    worker = world.worker(sync=WATCH)
    worker.follows()
    for number in range(4):
        world.zk.set(world.root, b"same")
        polling.until(lambda: world.etcd.value(world.root) == b"same", 20)
        world.etcd.put(world.root, b"strange%d" % number)
        world.zk.set(world.root, b"same")
        polling.until(lambda: world.etcd.value(world.root) == b"same", 20)


def test_ours_are_not_looked_at(world: mirroring.World, strange: list[bytes]) -> None:
    """A base, a burst, and changes one by one: etcd tells of most before they are answered."""
    world.zk.create(world.root, b"")
    _grow(world, 600)
    worker = world.worker(sync=WATCH)
    worker.follows(30)
    _grow(world, 600, "m")
    world.equal(30)
    for number in range(20):
        world.zk.set(world.path("n00001"), b"%d" % number)
        world.zk.delete(world.path(f"m{number:05d}"))
    world.equal(30)
    assert strange == []
    world.etcd.delete(world.path("n00001"))
    world.equal(30)
    assert strange == [world.path("n00001").encode()]


@pytest.mark.long
def test_what_they_do_while_the_base_reads_is_put_right(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the place where it reads: nothing else would see it, with full syncs off."""
    world.zk.create(world.root, b"")
    _grow(world, 2000)
    first = world.worker(sync=WATCH)
    first.follows(30)
    first.drain()
    hurt, joined = world.path("n00000"), ranges.Range.joined

    def join(self: ranges.Range, seat: ranges.Seat) -> None:
        """The shard was taken: a stranger is faster than its place."""
        world.etcd.put(world.path("n00001"), b"early")
        joined(self, seat)

    monkeypatch.setattr(ranges.Range, "joined", join)
    with strangers.again_and_again(lambda: world.etcd.put(hurt, b"strange"), 0.01):
        world.worker(sync=WATCH).follows(30)
    world.equal(30)


@pytest.mark.long
def test_buckets_share_the_watch_and_each_puts_its_own_right(
    world: mirroring.World, strange: list[bytes]
) -> None:
    world.zk.create(world.root, b"")
    _grow(world, 300)
    parts = [messages.Shard(f"own-{at}", world.root, world.root, (), at, 3) for at in range(3)]
    worker = world.worker(sync=WATCH, shards=parts)
    worker.follows(30)
    _grow(world, 300, "m")
    world.equal(30)
    assert strange == []
    hurt = [world.path(f"n{number:05d}") for number in range(0, 300, 10)]
    for path in hurt:
        world.etcd.put(path, b"strange")
    world.etcd.delete(world.root)
    world.equal(30)
    assert sorted(strange) == sorted(path.encode() for path in [*hurt, world.root])
    sides = worker._worker._sides
    assert sides is not None
    assert len(sides.strangers._ranges) == 1


# --- what ends a watch ---------------------------------------------------------------------------


def _through(world: mirroring.World, proxy: proxies.Proxy, **sync: object) -> mirroring.Worker:
    return world.worker(
        sync={**WATCH, **sync},
        etcd={"endpoints": [f"http://{proxy.address}"], "request_timeout": 2.0},
    )


@pytest.mark.long
def test_what_a_dead_watch_did_not_tell_is_found(
    world: mirroring.World, etcd: servers.Etcd
) -> None:
    world.zk.create(world.root, b"")
    _grow(world, 200)
    with proxies.Proxy(etcd.address) as proxy:
        worker = _through(world, proxy)
        worker.follows()
        worker.wait(_is_watched)
        sides = worker._worker._sides
        assert sides is not None
        stream = sides.strangers._stream
        assert stream is not None
        stream._call.cancel()  # The stream alone: the shard goes on.
        polling.until(lambda: stream.end, 20)
        world.etcd.put(world.path("n00007"), b"tampered")
        world.equal(15)
        worker.wait(_is_watched)
        world.etcd.put(world.path("n00008"), b"tampered")
        world.equal(30)
        assert worker.counts.drifts >= 1


@pytest.mark.long
def test_etcd_away_and_back(fresh_world: mirroring.World, fresh_etcd: servers.Etcd) -> None:
    world = fresh_world
    world.zk.create(world.root, b"")
    _grow(world, 100)
    worker = world.worker(sync=WATCH)
    worker.follows()
    worker.wait(_is_watched)
    fresh_etcd.restart()
    polling.until(lambda: worker.shard() is not None and not _is_watched(worker.shard()), 10)  # type: ignore[arg-type]
    worker.wait(lambda report: report.phase == "following" and _is_watched(report), 20)
    polling.until(lambda: _puts(world, "n00003"), 10)
    world.equal(15)


def _puts(world: mirroring.World, name: str) -> bool:
    with contextlib.suppress(Exception):
        world.etcd.put(world.path(name), b"tampered")
        return True
    return False


def test_a_compacted_beginning_means_a_full_sync(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.zk.create(world.root, b"")
    _grow(world, 50)
    plain = ranges.Range.begins

    def begins(self: ranges.Range, since: int) -> None:
        plain(self, since if compacted else 1)
        if not compacted:
            world.etcd.compact(world.etcd.revision())
        compacted.append(since)

    compacted: list[int] = []
    world.etcd.put("outside", b"")
    monkeypatch.setattr(ranges.Range, "begins", begins)
    worker = world.worker(sync=WATCH)
    worker.follows()
    polling.until(lambda: len(compacted) == 2, 20, what="another watch")
    worker.wait(_is_watched)
    world.etcd.put(world.path("n00003"), b"tampered")
    world.equal(30)


@pytest.mark.long
def test_a_watch_that_is_deaf_is_known_by_what_we_wrote(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.zk.create(world.root, b"")
    _grow(world, 50)
    plain, dropped = hearing.Hearing.on_events, list[object]()
    monkeypatch.setattr(watcher, "_DEAF", 0.5)
    monkeypatch.setattr(hearing.Hearing, "on_events", lambda *told: dropped.append(told))
    worker = world.worker(sync=WATCH)
    worker.follows()
    worker.wait(_is_watched)
    before = len(dropped)
    world.etcd.put(world.path("n00003"), b"unheard")
    polling.until(lambda: len(dropped) > before, 20)
    world.zk.set(world.path("n00004"), b"ours")
    polling.until(lambda: len(dropped) > before + 1, 20)
    monkeypatch.setattr(hearing.Hearing, "on_events", plain)
    world.equal(15)
    # A full sync found it, after another watch had begun.
    assert worker.counts.drifts == 0
    assert worker.counts.fixes["put"] == 1


@pytest.mark.long
def test_the_rights_of_the_manual_are_enough(
    zookeeper: servers.ZooKeeper, sandbox: servers.Sandbox, prefix: str
) -> None:
    """A key, and those below it; not what lies between."""
    etcd = sandbox.etcd(durable=False, arguments=["--bcrypt-cost", "4"])
    etcd.start()
    with mirroring.World(zookeeper.address, etcd.address, prefix) as world:
        world.zk.create(world.root, b"")
        _grow(world, 20)
        etcd_cluster.logins(etcd.url, world.state, world.root)
        worker = world.worker(sync=WATCH, etcd=etcd_cluster.login())
        worker.follows()
        worker.wait(_is_watched)

        def asked(*words: str) -> str:
            return str(etcd_cluster.etcdctl(etcd.url, *words, user=etcd_cluster.ROOT))

        hurt = world.path("n00003")
        asked("put", hurt, "theirs")
        polling.until(lambda: asked("get", hurt, "--print-value-only").strip() == "v", 10)
        asked("role", "revoke-permission", "mirror", world.root)
        worker.drain()
        again = world.worker(sync=WATCH, etcd=etcd_cluster.login())
        report = again.wait(lambda report: report.phase == "error", 15)
        assert "etcd.username" in str(report.error)


# --- a war ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_key_that_somebody_keeps_writing_is_contested(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    _grow(world, 20)
    worker = world.worker(sync=WATCH)
    worker.follows()
    worker.wait(_is_watched)
    hurt = world.path("n00007")

    def theirs() -> None:
        if world.etcd.value(hurt) != b"theirs":
            world.etcd.put(hurt, b"theirs")

    with strangers.again_and_again(theirs, 0.02):
        told = worker.wait(lambda r: r.drift is not None and r.drift.contested == 1, 20)
        assert told.drift is not None
        assert told.drift.paths == (hurt,)
        begun, before = time.monotonic(), worker.counts.drifts
        polling.until(lambda: worker.counts.drifts >= before + 2, 20)
        assert time.monotonic() - begun > 1.0
        # Others are not kept waiting.
        world.etcd.put(world.path("n00008"), b"tampered")
        polling.until(lambda: world.etcd.value(world.path("n00008")) == b"v", 20)
    world.equal(30)


@pytest.mark.long
def test_more_than_is_looked_at_one_by_one_is_a_full_sync(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "MOST_WAITING", 100)
    world.zk.create(world.root, b"")
    _grow(world, 500)
    worker = world.worker(sync=WATCH)
    worker.follows()
    worker.wait(_is_watched)
    world.etcd.delete_below(world.root)
    world.equal(20)


def test_off_there_is_no_watch(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    worker = world.worker()
    report = worker.follows()
    assert report.drift is None
    sides = worker._worker._sides
    assert sides is not None
    assert sides.strangers._thread is None
    names = [each.name for each in threading.enumerate()]
    assert "drift" not in names
    # Nor is anything done for it with a write.
    (running,) = worker._worker._mirrors.values()
    assert running._follow is not None
    assert running._follow._drift is None
    assert type(running._follow._applier) is apply.Applier


@pytest.mark.long
def test_one_who_writes_faster_than_we_look_is_contested_too(world: mirroring.World) -> None:
    """Each time that it is to be put right it has changed again; then there is peace."""
    world.zk.create(world.root, b"")
    worker = world.worker(sync=WATCH)
    worker.follows()
    worker.wait(_is_watched)
    with strangers.again_and_again(lambda: world.etcd.put(world.root, b"theirs"), 0.0):
        worker.wait(lambda r: r.drift is not None and r.drift.contested == 1, 20)
    world.equal(60)
