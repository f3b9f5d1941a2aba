"""The classic protocol, on a real ZooKeeper 3.4.13: one-shot watches and plain reads keep every
promise that recursive watches and bulk reads keep.

After each story a full sync that finds nothing to repair proves that the watches missed nothing.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import kazoo.exceptions
import kazoo.security
import pytest

from tests import polling, releases
from tests.integration import mirroring, observing
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.ownership import fence
from zk2etcd_workers.rounds import of_zookeeper
from zk2etcd_workers.zookeeper.classic import watches

QUICK = {"session_timeout": 4.0, "connect_timeout": 2.0, "request_timeout": 4.0}
READ_FOR_NOBODY = [kazoo.security.make_digest_acl("nobody", "secret", all=True)]


@pytest.fixture
def classic(old: servers.ZooKeeper, etcd: servers.Etcd, prefix: str) -> Iterator[mirroring.World]:
    with mirroring.World(old.address, etcd.address, prefix) as made:
        yield made


def _missed_nothing(world: mirroring.World, worker: mirroring.Worker) -> None:
    world.equal()
    worker.full_sync()
    assert worker.counts.fixes == {"put": 0, "delete": 0}
    last = worker.shard()
    assert last is not None
    assert last.protocol == "classic"
    assert last.last_full_sync is not None
    assert last.error is None


def _watched(server: servers.ZooKeeper) -> int:
    """The watches of all its clients, on values and on children."""
    said = server.ask("mntr").decode()
    found = re.search(r"zk_watch_count\t(\d+)", said)
    assert found, said
    return int(found[1])


def test_what_changes_live(classic: mirroring.World) -> None:
    world, zk = classic, classic.zk
    tree = [
        (world.root, b"root"),
        (world.path("a"), b""),
        (world.path("a", "b"), bytes(range(256))),
    ]
    observing.seed(zk, tree)
    worker = world.worker()
    worker.follows()
    assert world.equal() == {path.encode(): value for path, value in tree}
    zk.create(world.path("a", "b", "below-a-leaf"), b"1")
    world.equal()
    zk.create(world.path("a", "b", "below-a-leaf", "deeper", "still"), b"\0", makepath=True)
    world.equal()
    for value in (b"2", b"", b"3"):
        zk.set(world.path("a", "b"), value)
        world.equal()
    zk.delete(world.path("a", "b", "below-a-leaf"), recursive=True)
    assert set(world.equal()) == {path.encode() for path, _ in tree}
    zk.delete(world.path("a"), recursive=True)
    world.equal()
    zk.create(world.path("a", "b"), b"again", makepath=True)
    world.equal()
    zk.set(world.path("a"), b"a")
    zk.create(world.path("a", "c"), b"")
    world.equal()
    _missed_nothing(world, worker)


def test_each_node_has_two_watches(sandbox: servers.Sandbox, etcd: servers.Etcd) -> None:
    """What a base, a full sync and live changes leave is what is needed, and no more."""
    server = sandbox.zookeeper(
        durable=False, class_path=releases.class_path(releases.ZOOKEEPER_3_4)
    )
    server.start()
    with mirroring.World(server.address, etcd.address, "/watched") as world:
        observing.seed(world.zk, [(world.root, b""), (world.path("p"), b"")])
        observing.seed(world.zk, ((world.path("p", f"{n}"), b"v") for n in range(50)))
        worker = world.worker()
        worker.follows()
        polling.until(lambda: _watched(server) == 104)
        worker.full_sync()
        assert _watched(server) == 104
        for number in range(20):
            world.zk.delete(world.path("p", f"{number}"))
            world.zk.set(world.path("p", f"{number + 20}"), b"w")
            world.zk.create(world.path("p", f"{number + 20}", "below"), b"")
        world.equal()
        polling.until(lambda: _watched(server) == 104)
        world.zk.delete(world.root, recursive=True)
        polling.until(lambda: not world.etcd.below(world.root))
        polling.until(lambda: _watched(server) == 1)


def test_nothing_is_fresh_that_a_long_list_has_not_told_of_yet(
    classic: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long list is read again a little later, and a `sync` is answered meanwhile."""
    world, due, held = classic, watches.Watches.due, [True]
    monkeypatch.setattr(fence, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(of_zookeeper, "_EVERY", 0.2)
    monkeypatch.setattr(watches.Watches, "due", lambda self, now: [] if held[0] else due(self, now))
    observing.seed(world.zk, [(world.root, b""), (world.path("p"), b"")])
    observing.seed(world.zk, ((world.path("p", f"{n}"), b"v") for n in range(1100)))
    worker = world.worker()
    worker.follows()
    world.zk.create(world.path("p", "new"), b"")
    made = time.time()

    def synced_at() -> float:
        report = worker.shard()
        return (report.synced_at if report is not None else None) or made

    polling.until(lambda: time.time() - synced_at() > 1.5, what="no claim")
    assert synced_at() <= made
    held[0] = False
    polling.until(lambda: synced_at() > made, what="a claim")
    assert world.path("p", "new").encode() in world.etcd.below(world.root)


def test_a_parent_is_not_written_for_its_children(classic: mirroring.World) -> None:
    world = classic
    observing.seed(
        world.zk, [(world.root, b""), (world.path("p"), b"same"), (world.path("q"), b"")]
    )
    worker = world.worker()
    worker.follows()
    before = world.etcd.below(world.root)
    for number in range(10):
        world.zk.create(world.path("p", f"{number}"), b"")
        world.zk.create(world.path("q", f"{number}"), b"")
        world.equal()
    for number in range(9):
        world.zk.delete(world.path("p", f"{number}"))
        world.equal()
    after = world.etcd.below(world.root)
    assert {key: after[key] for key in before} == before
    _missed_nothing(world, worker)


def test_a_root_that_comes_goes_and_comes(classic: mirroring.World) -> None:
    world, zk = classic, classic.zk
    worker = world.worker()
    worker.follows()
    for value in (b"1", b"2", b"3"):
        zk.create(world.path("child", "grandchild"), value, makepath=True)
        world.equal()
        zk.set(world.root, value)
        world.equal()
        zk.delete(world.root, recursive=True)
        polling.until(lambda: not world.etcd.below(world.root))
    zk.create(world.root, b"last")
    world.equal()
    _missed_nothing(world, worker)


def test_ephemerals_end_with_their_session(classic: mirroring.World) -> None:
    world = classic
    world.zk.create(world.root, b"")
    worker = world.worker()
    worker.follows()
    other = observing.connected(world.zookeeper)
    for number in range(20):
        other.create(world.path(f"e{number}"), b"here", ephemeral=True)
    assert len(world.equal()) == 21
    other.stop()
    other.close()
    polling.until(lambda: set(world.etcd.below(world.root)) == {world.root.encode()})
    _missed_nothing(world, worker)


def test_ephemerals_can_be_skipped(classic: mirroring.World) -> None:
    world = classic
    world.zk.create(world.root, b"")
    worker = world.worker(sync={"ephemeral": "skip"})
    worker.follows()
    world.zk.create(world.path("e"), b"", ephemeral=True)
    world.zk.create(world.path("p"), b"")
    polling.until(lambda: world.etcd.get(world.path("p")))
    assert set(world.etcd.below(world.root)) == {world.root.encode(), world.path("p").encode()}
    world.zk.delete(world.path("e"))
    world.zk.create(world.path("e"), b"persistent now")
    polling.until(lambda: world.etcd.value(world.path("e")) == b"persistent now")
    _missed_nothing(world, worker)


def test_hard_names_and_values(classic: mirroring.World) -> None:
    world = classic
    names = ["a", "a-b", "a!", "a.b", "中", "é", "x y", "%2F", "'", "\\", "0" * 200]
    items = [(world.root, b"")]
    items += [(world.path(name), name.encode()) for name in names]
    items += [(world.path(name, other), b"") for name in names for other in names]
    observing.seed(world.zk, items[: len(items) // 2])
    worker = world.worker()
    worker.follows()
    world.equal()
    observing.seed(world.zk, items[len(items) // 2 :])
    world.zk.set(world.path("a"), b"\0\xff" * 200_000)
    world.zk.set(world.path("é"), b"")
    assert len(world.equal()) == len(items)
    _missed_nothing(world, worker)


def test_excluded_paths_are_left_alone(classic: mirroring.World) -> None:
    world = classic
    world.zk.create(world.path("config", "a"), b"before", makepath=True)
    world.etcd.put(world.path("config"), b"theirs")
    worker = world.worker(exclude=[world.path("config")])
    worker.follows()
    world.zk.create(world.path("config", "b"), b"")
    world.zk.create(world.path("configurators"), b"live")
    polling.until(lambda: world.etcd.value(world.path("configurators")) == b"live")
    world.zk.delete(world.path("config"), recursive=True)
    world.zk.create(world.path("last"), b"")
    polling.until(lambda: world.etcd.get(world.path("last")))
    assert world.etcd.value(world.path("config")) == b"theirs"
    assert world.etcd.get(world.path("config", "b")) is None


@pytest.mark.parametrize(
    ("first", "more"), [(2_500, 800), pytest.param(10_000, 3_000, marks=pytest.mark.long)]
)
def test_many_children_made_and_deleted_at_once(
    classic: mirroring.World, first: int, more: int
) -> None:
    world = classic
    observing.seed(world.zk, [(world.root, b""), (world.path("many"), b"")])
    observing.seed(world.zk, ((world.path("many", f"{n:05d}"), b"v") for n in range(first)))
    worker = world.worker()
    worker.follows(60)
    assert len(world.equal(30)) == first + 2
    observing.seed(world.zk, ((world.path("many", f"b{n:05d}"), b"v") for n in range(more)))
    assert len(world.equal(60)) == first + more + 2
    children = sorted(world.zk.get_children(world.path("many")))
    for start in range(0, len(children), 500):
        transaction = world.zk.transaction()
        for name in children[start : start + 500]:
            transaction.delete(world.path("many", name))
        transaction.commit()
    world.zk.delete(world.path("many"))
    assert len(world.equal(60)) == 1
    _missed_nothing(world, worker)


def test_a_deep_path(classic: mirroring.World) -> None:
    world = classic
    path = world.path(*(f"d{n}" for n in range(150)))
    worker = world.worker()
    worker.follows()
    world.zk.create(path, b"bottom", makepath=True)
    assert len(world.equal(30)) == 151
    world.zk.delete(world.path("d0"), recursive=True)
    assert len(world.equal(30)) == 1
    _missed_nothing(world, worker)


def test_random_changes_are_never_missed(classic: mirroring.World) -> None:
    """A seeded crowd of changes over few names, so that they meet reads that are under way."""
    world, dice = classic, random.Random(20)
    world.zk.create(world.root, b"")
    worker = world.worker()
    worker.follows()
    for _round in range(6):
        pending = []
        for number in range(400):
            depth = dice.randint(1, 4)
            path = world.path(*(dice.choice("xyz") for _ in range(depth)))
            value = b"%d" % number
            kind = dice.random()
            if kind < 0.5:
                pending.append(world.zk.create_async(path, value))
            elif kind < 0.7:
                pending.append(world.zk.set_async(path, value))
            else:
                pending.append(world.zk.delete_async(path))
        for each in pending:
            try:
                each.get(timeout=20)
            except (
                kazoo.exceptions.NodeExistsError,
                kazoo.exceptions.NoNodeError,
                kazoo.exceptions.NotEmptyError,
            ):
                continue
        world.equal()
    _missed_nothing(world, worker)


def test_a_full_sync_repairs_what_was_tampered_with(classic: mirroring.World) -> None:
    world = classic
    observing.seed(world.zk, [(world.root, b""), (world.path("a"), b"1"), (world.path("b"), b"2")])
    worker = world.worker()
    worker.follows()
    world.equal()
    world.etcd.put(world.path("a"), b"tampered")
    world.etcd.delete(world.path("b"))
    world.etcd.put(world.path("extra"), b"")
    worker.full_sync()
    world.equal()
    assert worker.counts.fixes == {"put": 2, "delete": 1}


def test_nodes_that_may_not_be_read_keep_their_keys(classic: mirroring.World) -> None:
    world, zk = classic, classic.zk
    observing.seed(zk, [(world.root, b""), (world.path("dark"), b"1"), (world.path("lit"), b"2")])
    worker = world.worker(sync={"delete_guard": {"first_sync": "apply"}})
    worker.follows()
    world.equal()
    zk.set_acls(world.path("dark"), READ_FOR_NOBODY)
    worker.full_sync()
    report = worker.wait(lambda each: each.unsyncable_total == 1)
    assert report.unsyncable[0].path == world.path("dark")
    assert world.etcd.value(world.path("dark")) == b"1"
    zk.delete(world.path("dark"))
    polling.until(lambda: world.etcd.get(world.path("dark")) is None, what="the delete, seen live")
    zk.create(world.path("dark"), b"3")
    world.equal()


def test_a_worker_that_is_replaced(classic: mirroring.World) -> None:
    world = classic
    observing.seed(world.zk, [(world.root, b""), (world.path("a"), b"1"), (world.path("b"), b"2")])
    first = world.worker()
    first.follows()
    world.equal()
    checkpoint = world.checkpoint(first)
    first.drain()
    world.zk.set(world.path("a"), b"while away")
    world.zk.delete(world.path("b"))
    second = world.worker(identity=messages.Identity("inst", "w0", 2), reaped={"w0": 1})
    second.follows()
    world.equal()
    assert world.checkpoint(second) > checkpoint
    world.zk.set(world.path("a"), b"after")
    _missed_nothing(world, second)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_lost_session_loses_no_change(
    sandbox: servers.Sandbox, etcd: servers.Etcd, how: str
) -> None:
    server = sandbox.zookeeper(class_path=releases.class_path(releases.ZOOKEEPER_3_4))
    server.start()
    with mirroring.World(server.address, etcd.address, f"/lost-{how}") as world:
        observing.seed(world.zk, [(world.root, b""), (world.path("a"), b"1")])
        observing.seed(world.zk, ((world.path(f"n{n}"), b"v") for n in range(300)))
        worker = world.worker(zookeeper=QUICK)
        worker.follows()
        world.equal()
        if how == "kill":
            server.kill()
        else:
            server.stop()
        server.start()
        world.zk.set(world.path("a"), b"2")
        world.zk.delete(world.path("n1"))
        world.zk.create(world.path("n2", "below"), b"")
        world.equal(20)
        worker.follows()
        # A resync counts what it had to write; from here on nothing may be left to it.
        worker.counts.fixes = {"put": 0, "delete": 0}
        # Every watch is there again: on a leaf, on a parent, on what is new.
        world.zk.set(world.path("n200"), b"live")
        world.zk.create(world.path("n200", "below"), b"live")
        world.zk.set(world.path("n2", "below"), b"live")
        world.zk.create(world.path("new"), b"live")
        _missed_nothing(world, worker)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_root_created_anew_before_our_eyes_is_the_same_ensemble(
    classic: mirroring.World, at_once: bool
) -> None:
    """A change of its value has used up the watch that would have told of its end."""
    world, root = classic, classic.root
    observing.seed(world.zk, [(root, b""), (world.path("a"), b"")])
    worker = world.worker()
    worker.follows()
    for number in range(6):
        value = b"%d" % number
        if at_once:
            change = world.zk.transaction()
            change.set_data(root, b"soon gone")
            change.delete(world.path("a"))
            change.delete(root)
            change.create(root, value)
            change.create(world.path("a"), value)
            done = change.commit()
            assert not any(isinstance(part, Exception) for part in done), done
        else:
            world.zk.set(root, b"soon gone")
            world.zk.delete(root, recursive=True)
            observing.seed(world.zk, [(root, value), (world.path("a"), value)])
        world.equal()
    last = worker.shard()
    assert last is not None
    assert last.guard is None
