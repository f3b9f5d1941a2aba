"""One shard from the outside: what changes in ZooKeeper is soon the same in etcd, before a base and
while following."""

from __future__ import annotations

from collections.abc import Callable

import kazoo.client
import kazoo.protocol.serialization
import kazoo.security
import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd_workers.ownership import records


def _created(world: mirroring.World) -> None:
    world.zk.create(world.path("a"), b"1")
    world.zk.create(world.path("a", "b"), b"")
    world.zk.create(world.path("a-b"), b"sorts before /a/b")


def _set(world: mirroring.World) -> None:
    world.zk.create(world.path("set"), b"1")
    for number in range(20):
        world.zk.set(world.path("set"), b"%d" % number)


def _deleted(world: mirroring.World) -> None:
    world.zk.create(world.path("gone"), b"1")
    world.zk.create(world.path("gone-not"), b"1")
    world.zk.delete(world.path("gone"))


def _deleted_recursively(world: mirroring.World) -> None:
    observing.seed(
        world.zk,
        [
            (world.path("tree"), b""),
            (world.path("tree2"), b"stays"),
            *((world.path("tree", f"d{d}"), b"") for d in range(20)),
            *((world.path("tree", f"d{d}", f"n{n}"), b"x") for d in range(20) for n in range(30)),
        ],
    )
    world.zk.delete(world.path("tree"), recursive=True)


def _in_transactions(world: mirroring.World) -> None:
    world.zk.create(world.path("t1"), b"1")
    world.zk.create(world.path("t2"), b"1")
    transaction = world.zk.transaction()
    transaction.create(world.path("t3"), b"3")
    transaction.create(world.path("t3", "below"), b"3")
    transaction.set_data(world.path("t1"), b"2")
    transaction.delete(world.path("t2"))
    transaction.create(world.path("t4"), b"4")
    transaction.delete(world.path("t4"))
    assert not [each for each in transaction.commit() if isinstance(each, Exception)]


def _recreated(world: mirroring.World) -> None:
    for number in range(20):
        world.zk.create(world.path("again"), b"%d" % number)
        world.zk.create(world.path("again", "child"), b"%d" % number)
        if number < 19:
            world.zk.delete(world.path("again"), recursive=True)


def _oddly_named(world: mirroring.World) -> None:
    names = [
        "dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.example%3Fa%3D1",
        "with space",
        "  ",
        "中文节点",
        "éàüñ",
        "a+b=c&d?e#f",
        "back\\slash",
        '"quoted"',
        "'",
        "%",
        "%00",
        "...",
        "~",
        "\uffef",
        "\uff21",
        "-",
        "!",
    ]
    for name in names:
        world.zk.create(world.path(name), name.encode())
        world.zk.create(world.path(name, "中"), b"below")


def _odd_values(world: mirroring.World) -> None:
    world.zk.create(world.path("empty"), b"")
    world.zk.create(world.path("binary"), bytes(range(256)) * 4)
    world.zk.create(world.path("zeros"), b"\0" * 100)
    world.zk.create(world.path("none"), None)
    world.zk.create(world.path("emptied"), b"something")
    world.zk.set(world.path("emptied"), None)


def _large(world: mirroring.World) -> None:
    for number in range(12):
        world.zk.create(world.path(f"large{number:02d}"), bytes([number]) * 900_000)


def _deep(world: mirroring.World) -> None:
    names = [f"level-{number:02d}" for number in range(50)]
    for depth in range(1, 51):
        world.zk.create(world.path(*names[:depth]), b"%d" % depth)


CHANGES = [
    _created,
    _set,
    _deleted,
    _deleted_recursively,
    _in_transactions,
    _recreated,
    _oddly_named,
    _odd_values,
    _large,
    _deep,
]
Change = Callable[[mirroring.World], None]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_what_is_there_before_the_base(world: mirroring.World, change: Change) -> None:
    world.zk.create(world.root, b"root")
    change(world)
    worker = world.worker()
    report = worker.follows()
    held = world.equal()
    assert report.keys == len(held)
    assert report.unsyncable == ()
    assert report.guard is None


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_what_happens_live(world: mirroring.World, change: Change) -> None:
    world.zk.create(world.root, b"root")
    worker = world.worker()
    worker.follows()
    change(world)
    world.equal()
    result = worker.full_sync().last_full_sync
    assert result is not None
    assert (result.put, result.delete) == (0, 0)
    assert worker.counts.fixes == {"put": 0, "delete": 0}
    assert result.sequence == 2, "the shard started over"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_what_happens_during_the_base(world: mirroring.World, change: Change) -> None:
    world.zk.create(world.root, b"root")
    observing.seed(world.zk, ((world.path(f"n{number:05d}"), b"v") for number in range(3000)))
    worker = world.worker()
    worker.wait(lambda report: report.owned, what="owned")
    change(world)
    worker.follows()
    world.equal()
    assert worker.full_sync().guard is None
    assert worker.counts.fixes == {"put": 0, "delete": 0}


def test_ephemeral_nodes_go_with_their_session(
    world: mirroring.World,
) -> None:
    world.zk.create(world.root, b"")
    other = observing.connected(world.zookeeper)
    for number in range(10):
        other.create(world.path(f"before{number}"), b"1", ephemeral=True)
    worker = world.worker()
    worker.follows()
    for number in range(10):
        other.create(world.path(f"live{number}"), b"1", ephemeral=True)
    assert len(world.equal()) == 21
    other.stop()
    other.close()
    polling.until(lambda: len(world.etcd.below(world.root)) == 1)
    world.equal()
    assert worker.follows().guard is None


def test_ephemeral_nodes_can_be_left_out(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    world.zk.create(world.path("before"), b"1", ephemeral=True)
    world.zk.create(world.path("kept"), b"1")
    worker = world.worker(sync={"ephemeral": "skip"})
    worker.follows()
    world.zk.create(world.path("live"), b"1", ephemeral=True)
    world.zk.create(world.path("sequential-"), b"1", ephemeral=True, sequence=True)
    # What was persistent may come back as an ephemeral: then its key goes.
    world.zk.create(world.path("turned"), b"1")
    polling.until(lambda: world.etcd.get(world.path("turned")))
    world.zk.delete(world.path("turned"))
    world.zk.create(world.path("turned"), b"2", ephemeral=True)
    world.zk.create(world.path("last"), b"1")
    wanted = {world.root.encode(): b"", world.path("kept").encode(): b"1"}
    wanted[world.path("last").encode()] = b"1"
    polling.until(lambda: world.etcd.values(world.root) == wanted)
    assert worker.full_sync().keys == 3


def test_containers_and_ttl_nodes_are_no_ephemerals(
    fresh_world: mirroring.World,
) -> None:
    world = fresh_world
    world.zk.create(world.root, b"")
    _create(world.zk, world.path("container"), kazoo_flags=4)
    _create_ttl(world.zk, world.path("ttl"))
    worker = world.worker(sync={"ephemeral": "skip"})
    worker.follows()
    assert len(world.equal()) == 3


def _create(client: kazoo.client.KazooClient, path: str, *, kazoo_flags: int) -> None:
    _call(client, path, kazoo_flags, None, 19)


def _create_ttl(client: kazoo.client.KazooClient, path: str) -> None:
    _call(client, path, 5, 3_600_000, 21)


def _call(
    client: kazoo.client.KazooClient, path: str, flags: int, ttl: int | None, opcode: int
) -> None:
    """createContainer and createTTL, which kazoo lacks (ZooDefs.OpCode 19 and 21)."""

    class Create:
        type = opcode

        def serialize(self) -> bytes:
            plain = kazoo.protocol.serialization.Create(
                path, b"1", kazoo.security.OPEN_ACL_UNSAFE, flags
            ).serialize()
            return bytes(plain) + (ttl.to_bytes(8, "big") if ttl is not None else b"")

        @staticmethod
        def deserialize(buffer: bytes, offset: int) -> bytes:
            return buffer[offset:]

    result = client.handler.async_result()
    client._call(Create(), result)
    result.get(timeout=10)


def test_a_prefix_that_does_not_exist_is_waited_for(world: mirroring.World) -> None:
    worker = world.worker()
    report = worker.follows()
    assert (report.phase, report.keys) == ("following", 0)
    world.zk.create(world.path("a", "b"), b"deep", makepath=True)
    assert len(world.equal()) == 3
    world.zk.delete(world.root, recursive=True)
    polling.until(lambda: not world.etcd.below(world.root))
    world.zk.create(world.path("again"), b"", makepath=True)
    assert len(world.equal()) == 2


def test_a_prefix_below_another_target(world: mirroring.World) -> None:
    target = f"/elsewhere{world.root}/x"
    world.zk.create(world.path("a", "b"), b"deep", makepath=True)
    worker = world.worker(targets={world.root: target})
    worker.follows()
    world.zk.create(world.path("c"), b"live")
    world.zk.delete(world.path("a", "b"))
    assert len(world.equal(target=target)) == 3
    assert not world.etcd.below(world.root)


def test_unchanged_keys_are_not_rewritten_by_a_restart(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    observing.seed(world.zk, ((world.path(f"n{number}"), b"v") for number in range(300)))
    worker = world.worker()
    worker.follows()
    before = world.etcd.below(world.root)
    worker.drain()
    world.zk.set(world.path("n7"), b"new")
    world.zk.delete(world.path("n8"))
    world.worker().follows()
    world.equal()
    after = world.etcd.below(world.root)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {world.path("n7").encode()}


def test_a_dry_run_owns_nothing_and_writes_nothing(world: mirroring.World) -> None:
    world.zk.create(world.path("a"), b"1", makepath=True)
    world.etcd.put(world.path("extra"), b"")
    revision = world.etcd.revision()
    worker = world.worker(dry_run=True)
    worker.follows()
    assert worker.full_sync().owned is False
    worker.drain()
    assert world.etcd.written_since(revision) == []


def test_a_single_run_makes_both_sides_equal_and_stops_there(world: mirroring.World) -> None:
    world.zk.create(world.path("a"), b"1", makepath=True)
    worker = world.worker(once=True)
    report = worker.follows()
    assert report.last_full_sync is not None
    world.equal()
    worker.drain()
    assert world.owner(worker) is None


def test_every_write_carries_a_checkpoint_that_never_falls(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    watch = world.etcd.watch(world.etcd.revision() + 1)
    worker = world.worker()
    worker.follows()
    written: dict[tuple[bytes, bytes], int] = {}
    for number in range(300):
        path = world.path(f"n{number % 40}")
        value = b"v%d" % number
        if world.zk.exists(path):
            zxid = world.zk.set(path, value).mzxid
        else:
            world.zk.create(path, value)
            zxid = world.zk.get(path)[1].mzxid
        written[path.encode(), value] = zxid
    world.equal()
    last = world.etcd.revision()
    polling.until(lambda: any(event.revision >= last for event in list(watch.events)))
    checkpoint_key = f"{world.state}/checkpoints/{worker.shards[0].id}".encode()
    reached, data = _replay(watch.events, checkpoint_key, written)
    assert data >= 40
    assert reached >= max(written.values())


def _replay(
    events: list[observing.Event], checkpoint_key: bytes, written: dict[tuple[bytes, bytes], int]
) -> tuple[int, int]:
    """Check each revision's events as a whole: (the last checkpoint, data writes seen)."""
    checkpoint = data = 0
    revisions: dict[int, list[observing.Event]] = {}
    for event in events:
        revisions.setdefault(event.revision, []).append(event)
    for revision in sorted(revisions):
        for event in revisions[revision]:
            if event.key == checkpoint_key:
                assert event.value is not None
                zxid = records.decode_zxid(event.value)
                assert zxid >= checkpoint, "the checkpoint fell"
                checkpoint = zxid
        for event in revisions[revision]:
            if event.value is not None and (zxid := written.get((event.key, event.value), 0)):
                data += 1
                assert checkpoint >= zxid, f"a value of {zxid:#x} at checkpoint {checkpoint:#x}"
    return checkpoint, data
