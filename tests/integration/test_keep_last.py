"""The last key below a folder, which stays where its node goes and the folder's does not.

A watch of etcd judges: at no revision is a folder empty that has had a key, unless it was meant to.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import kazoo.client
import pytest

from tests import polling
from tests.integration import commands, emptied, marking, mirroring, observing, test_buckets
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.mirror import full_sync
from zk2etcd_workers.model.live import last
from zk2etcd_workers.safety import live
from zk2etcd_workers.shard import dirty_paths

NEXT = messages.Identity("inst", "w0", 2)
THIRD = messages.Identity("inst", "w0", 3)
KEEPS = {"delete_guard": {"live": {"keep_last": True}}}
ALONE: dict[str, Any] = {"delete_guard": {"live": {"keep_last": True, "max_ratio": 1.0}}}
"""Nothing else is held."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done after a second is done sooner."""
    monkeypatch.setattr(live, "_TOLD_EVERY", 0.1)
    monkeypatch.setattr(full_sync, "_SETTLE", 0.1)


@contextlib.contextmanager
def registered(world: mirroring.World, *paths: str) -> Iterator[kazoo.client.KazooClient]:
    """Instances of one session; it ends with the block, if it has not before."""
    client = observing.connected(world.zookeeper)
    try:
        for path in paths:
            client.create(path, path.encode(), ephemeral=True, makepath=False)
        yield client
    finally:
        client.stop()
        client.close()


def providers(world: mirroring.World, *services: str) -> list[str]:
    """The folders of these services, made, with nothing in them."""
    folders = [world.path(service, "providers") for service in services]
    for folder in folders:
        world.zk.ensure_path(folder)
    return folders


def names(world: mirroring.World, folder: str) -> set[str]:
    start = len(folder) + 1
    return {key[start:].decode() for key in world.etcd.values(folder)} - {""}


def kept(worker: mirroring.Worker, *paths: str, number: int = 0) -> messages.ShardReport:
    """The report that says that exactly these are."""
    return worker.wait(
        lambda each: sorted(each.kept.sample if each.kept else ()) == sorted(paths),
        number=number,
        what=f"that {paths} are kept",
    )


def keeping(world: mirroring.World) -> tuple[mirroring.Worker, str]:
    """One that keeps the instance `i` of a service's folder, as its last."""
    (folder,) = providers(world, "a")
    world.zk.create(f"{folder}/i", b"")
    worker = world.worker(sync=KEEPS)
    worker.follows()
    world.equal()
    world.zk.delete(f"{folder}/i")
    kept(worker, f"{folder}/i")
    return worker, folder


def test_the_last_of_those_that_go_at_once_is_kept(world: mirroring.World) -> None:
    """And nothing else is: what goes elsewhere goes, and it is as fresh as ever."""
    folder, other = providers(world, "a", "b")
    for name in ("x", "y"):
        world.zk.create(f"{other}/{name}", b"")
    with registered(world, *(f"{folder}/i{number}" for number in range(30))) as client:
        worker = world.worker(sync=ALONE)
        worker.follows()
        world.equal()
        witness = emptied.Witness(world.etcd, world.root)
        client.stop()
        polling.until(lambda: len(names(world, folder)) == 1, 10, what="all but one to go")
    (left,) = names(world, folder)
    report = kept(worker, f"{folder}/{left}")
    assert report.kept is not None
    assert report.kept.deletes == 1
    assert (report.phase, report.guard) == ("following", None)
    world.zk.delete(f"{other}/x")
    polling.until(lambda: names(world, other) == {"y"}, 10, what="another delete")
    fresh = time.time()
    worker.wait(lambda each: each.synced_at is not None and each.synced_at > fresh, what="fresh")
    report = worker.wait(lambda each: each.pending == 0)
    assert witness.emptied(folder, other) == []
    assert worker.counts.trips == 0
    # A sibling comes: it is written, and only then the other goes.
    world.zk.create(f"{folder}/new", b"")
    world.equal()
    kept(worker)
    assert witness.emptied(folder, other) == []


def test_one_that_comes_back_has_its_new_value(world: mirroring.World) -> None:
    (folder,) = providers(world, "a")
    world.zk.create(f"{folder}/i", b"old")
    worker = world.worker(sync=KEEPS)
    worker.follows()
    world.equal()
    for value in (b"new", b"new"):  # the second time nothing is to be written
        witness = emptied.Witness(world.etcd, world.root)
        world.zk.delete(f"{folder}/i")
        kept(worker, f"{folder}/i")
        world.zk.create(f"{folder}/i", value)
        world.equal()
        kept(worker)
        assert witness.emptied(folder) == []
    world.zk.create(f"{folder}/j", b"")
    world.equal()
    world.zk.delete(f"{folder}/i")
    world.equal()


def test_with_its_folder_it_goes(world: mirroring.World) -> None:
    """And the folder is the last below its own, then."""
    worker, folder = keeping(world)
    world.zk.delete(folder)
    kept(worker, folder)
    polling.until(lambda: names(world, world.root) == {"a", "a/providers"}, what="the instance")
    world.zk.delete(world.path("a"))
    kept(worker, world.path("a"))
    world.zk.create(world.path("b"), b"")
    world.equal()
    kept(worker)


def test_a_whole_tree_that_is_deleted_leaves_its_top(world: mirroring.World) -> None:
    """However deep it was; and all goes if there is a sibling."""
    for service in ("a", "b"):
        observing.seed(world.zk, _tree(world, service))
    worker = world.worker(sync=ALONE)
    worker.follows()
    world.equal()
    witness = emptied.Witness(world.etcd, world.root)
    world.zk.delete(world.path("b"), recursive=True)
    world.equal()
    kept(worker)
    world.zk.delete(world.path("a"), recursive=True)
    polling.until(lambda: names(world, world.root) == {"a"}, 20, what="all but the top")
    kept(worker, world.path("a"))
    assert witness.emptied(world.root) == []


def _tree(world: mirroring.World, service: str) -> list[tuple[str, bytes]]:
    tops = [world.root] if not world.zk.exists(world.root) else []
    paths = [
        *tops,
        world.path(service),
        world.path(service, "n"),
        *(world.path(service, "n", f"c{number}") for number in range(200)),
        *(world.path(service, "n", "c7", f"d{number}") for number in range(200)),
    ]
    return [(path, b"") for path in paths]


def test_of_very_many_it_goes_too(world: mirroring.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not known by name: for a sibling, with their folder, when they are back."""
    monkeypatch.setattr(last, "MOST", 1)
    folders = providers(world, "a", "b", "c", "d")
    for folder in folders:
        world.zk.create(f"{folder}/i", b"")
    worker = world.worker(sync=ALONE)
    worker.follows()
    world.equal()
    witness = emptied.Witness(world.etcd, world.root)
    for folder in folders:
        world.zk.delete(f"{folder}/i")
        report = worker.wait(lambda each: each.pending == 0 and each.kept, what="it to be kept")
    report = worker.wait(lambda each: each.kept and each.kept.deletes == 4, what="all four")
    assert report.kept is not None
    assert len(report.kept.sample) == 1
    worker.full_sync()
    world.zk.create(f"{folders[1]}/new", b"")
    world.zk.create(f"{folders[2]}/i", b"back")
    polling.until(lambda: names(world, folders[1]) == {"new"}, what="one to go")
    worker.wait(lambda each: each.kept and each.kept.deletes == 2, what="that two are left")
    assert witness.emptied(*folders) == []
    world.zk.delete(folders[3])
    polling.until(lambda: not names(world, folders[3]), what="it to go with its folder")
    report = worker.wait(lambda each: each.kept and each.kept.deletes == 2, what="with the folder")
    assert report.kept is not None
    worker.release(report.kept.id)
    world.equal()


def test_a_release_lets_all_of_them_go_once(world: mirroring.World) -> None:
    folders = providers(world, "a", "b", "c")
    for folder in folders:
        world.zk.create(f"{folder}/i", b"")
    worker = world.worker(sync=KEEPS)
    worker.follows()
    world.equal()
    for folder in folders:
        world.zk.delete(f"{folder}/i")
    report = kept(worker, *(f"{folder}/i" for folder in folders))
    assert report.kept is not None
    worker.release("another")
    assert worker.full_sync().kept == report.kept
    worker.release(report.kept.id)
    world.equal()
    kept(worker)
    assert worker.counts.fixes["delete"] == 0, "what a person let go was no repair"
    # It counted once.
    world.zk.create(f"{folders[0]}/i", b"")
    world.equal()
    world.zk.delete(f"{folders[0]}/i")
    report = kept(worker, f"{folders[0]}/i")
    worker.full_sync()
    assert names(world, folders[0]) == {"i"}


def test_more_than_were_shown_are_not_let_go(world: mirroring.World) -> None:
    folders = providers(world, "a", "b")
    for folder in folders:
        world.zk.create(f"{folder}/i", b"")
    worker = world.worker(sync=KEEPS)
    worker.follows()
    world.equal()
    world.zk.delete(f"{folders[0]}/i")
    report = kept(worker, f"{folders[0]}/i")
    assert report.kept is not None
    world.zk.delete(f"{folders[1]}/i")
    more = kept(worker, *(f"{folder}/i" for folder in folders))
    assert more.kept is not None
    assert more.kept.id != report.kept.id
    worker.release(report.kept.id)
    worker.full_sync()
    assert [names(world, folder) for folder in folders] == [{"i"}, {"i"}]


def test_walks_keep_it_too(world: mirroring.World) -> None:
    """Of what went while nobody looked, all but one; however many those are, no guard trips."""
    folders = providers(world, *(f"s{number:03d}" for number in range(60)))
    for folder in folders:
        for name in ("x", "y", "z"):
            world.zk.create(f"{folder}/{name}", b"")
    first = world.worker(sync=ALONE)
    first.follows()
    world.equal()
    witness = emptied.Witness(world.etcd, world.root)
    first.drain()
    for folder in folders:
        for name in ("x", "y", "z"):
            world.zk.delete(f"{folder}/{name}")
    roomy = {"delete_guard": {**ALONE["delete_guard"], "min_deletes": 1000}}
    second = world.worker(sync=roomy, identity=NEXT)
    report = second.follows()
    assert [len(names(world, folder)) for folder in folders] == [1] * 60
    assert report.kept is not None
    assert report.kept.deletes == 60
    report = second.full_sync()
    assert report.kept is not None
    assert report.kept.deletes == 60
    second.drain()
    # With the guard's thresholds as they are, too: what is kept is no loss.
    strict = {"delete_guard": {**ALONE["delete_guard"], "min_deletes": 0, "max_ratio": 0.1}}
    third = world.worker(sync=strict, identity=THIRD)
    report = third.follows()
    assert report.guard is None
    assert report.kept is not None
    assert report.kept.deletes == 60
    assert third.full_sync().guard is None
    assert witness.emptied(*folders) == []
    # What was kept by a walk goes live.
    world.zk.create(f"{folders[7]}/new", b"")
    polling.until(lambda: names(world, folders[7]) == {"new"}, 10, what="the delete")
    world.zk.delete(folders[8])
    polling.until(lambda: names(world, folders[8]) == set(), 10, what="the delete")
    third.wait(lambda r: r.kept and r.kept.deletes == 59, what="the folder, which is the last now")


def test_what_the_first_sync_finds_is_held_all_the_same(world: mirroring.World) -> None:
    """It may be somebody else's: so it does not go for a sibling either."""
    (folder,) = providers(world, "a")
    for name in ("theirs", "other"):
        world.etcd.put(f"{folder}/{name}", b"")
    worker = world.worker(sync=ALONE)
    trip = worker.trip()
    assert trip.deletes == 2
    world.zk.create(f"{folder}/i", b"")
    polling.until(lambda: "i" in names(world, folder), what="a put")
    report = worker.full_sync()
    assert report.guard is not None
    assert report.kept is None
    assert names(world, folder) == {"i", "other", "theirs"}
    world.zk.delete(f"{folder}/i")
    polling.until(lambda: "i" not in names(world, folder), what="a delete, beside theirs")
    worker.release(report.guard.id)
    report = worker.wait(lambda each: each.kept and not each.guard, what="that all but one went")
    assert len(names(world, folder)) == 1


def test_a_full_sync_finds_one_that_nobody_saw(world: mirroring.World) -> None:
    """And forgets one that somebody deleted."""
    folders = providers(world, "a", "b")
    world.zk.create(f"{folders[0]}/i", b"")
    worker = world.worker(sync=KEEPS)
    worker.follows()
    world.equal()
    world.zk.delete(f"{folders[0]}/i")
    kept(worker, f"{folders[0]}/i")
    world.etcd.put(f"{folders[1]}/ghost", b"")
    world.etcd.put(f"{folders[1]}/other", b"")
    worker.full_sync()
    polling.until(lambda: len(names(world, folders[1])) == 1, what="one of them to go")
    world.etcd.delete(f"{folders[0]}/i")
    worker.full_sync()
    kept(worker, f"{folders[1]}/{next(iter(names(world, folders[1])))}")


def test_the_folder_may_be_the_root(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    with registered(world, world.path("i"), world.path("j")) as client:
        worker = world.worker(sync=ALONE)
        worker.follows()
        world.equal()
        witness = emptied.Witness(world.etcd, world.root)
        client.stop()
        polling.until(lambda: len(names(world, world.root)) == 1, 10, what="one to go")
    time.sleep(0.3)
    assert len(names(world, world.root)) == 1
    world.zk.delete(world.root)
    polling.until(lambda: not world.etcd.values(world.root), 10, what="all")
    kept(worker)
    assert [folder for folder, _ in witness.emptied(world.root)][:1] == [world.root]


def test_those_that_wait_for_their_nodes_come_first(world: mirroring.World) -> None:
    """With a grace: nothing is written while it lasts, and one is kept after it."""
    (folder,) = providers(world, "a")
    with registered(world, f"{folder}/i", f"{folder}/j") as client:
        worker = world.worker(sync={**ALONE, "ephemeral_grace": 3.0})
        worker.follows()
        world.equal()
        witness = emptied.Witness(world.etcd, world.root)
        client.stop()
        time.sleep(0.5)  # nothing is to happen meanwhile
        assert names(world, folder) == {"i", "j"}
        polling.until(lambda: len(names(world, folder)) == 1, 10, what="one to go")
    (left,) = names(world, folder)
    kept(worker, f"{folder}/{left}")
    time.sleep(3.2)  # it is over, and nothing tells of that
    began = time.monotonic()
    world.zk.create(f"{folder}/new", b"")
    world.equal()
    assert time.monotonic() - began < 2.8, "its grace was over"
    assert witness.emptied(folder) == []
    kept(worker)


def test_beside_a_trip(world: mirroring.World) -> None:
    """What a live trip holds is no less held, and what is kept is not among it."""
    (folder,) = providers(world, "a")
    world.zk.ensure_path(world.path("b"))
    guarded = {"delete_guard": {"live": {"keep_last": True, "min_deletes": 5, "max_ratio": 0.3}}}
    with registered(world, *(f"{folder}/i{number:02d}" for number in range(40))) as client:
        worker = world.worker(sync=guarded)
        worker.follows()
        world.equal()
        witness = emptied.Witness(world.etcd, world.root)
        client.stop()
        report = worker.wait(lambda r: r.guard and r.guard.live and r.pending == 0, what="a trip")
        report = worker.wait(
            lambda each: each.guard and each.guard.deletes + 13 + 1 >= 40, what="all that is held"
        )
    before = names(world, folder)
    assert report.guard is not None
    worker.full_sync()
    assert names(world, folder) == before
    worker.release(report.guard.id)
    report = worker.wait(lambda each: each.guard is None and each.kept, what="that they went")
    assert len(names(world, folder)) == 1
    assert witness.emptied(folder) == []


def test_each_bucket_keeps_its_own(world: mirroring.World) -> None:
    """Of a folder that is the root's, of which it knows no others; below that there is one."""
    (folder,) = providers(world, "service00")
    for name in test_buckets.NAMES:
        world.zk.ensure_path(world.path(name))
    world.zk.create(f"{folder}/i", b"")
    shards = test_buckets.split(world.root, 2)
    worker = mirroring.Worker(world.config(sync=ALONE), shards, mirroring.FIRST, {})
    world.workers.append(worker)
    worker.follows()
    world.equal()
    witness = emptied.Witness(world.etcd, world.root)
    for name in test_buckets.NAMES:
        world.zk.delete(world.path(name), recursive=True)
    polling.until(lambda: len(names(world, world.root)) == 2, 15, what="one of each")
    for number in (0, 1):
        (left,) = names(world, world.root) & set(test_buckets.of(number, 2))
        kept(worker, world.path(left), number=number)
    assert witness.emptied(world.root) == []


def test_others_keys_are_none_of_ours(world: mirroring.World) -> None:
    """With marks: a stranger's key in the folder does not make it one that has ours."""
    (folder,) = providers(world, "a")
    for name in ("i", "j"):
        world.zk.create(f"{folder}/{name}", b"")
    shard = marking.marked(world.root, world.root)
    worker = world.worker(shards=[shard], sync=KEEPS)
    worker.follows()
    world.equal()
    world.etcd.put(f"{folder}/0-theirs", b"")
    # One of ours that a stranger deleted, and made anew, is theirs, too.
    world.etcd.delete(f"{folder}/i")
    world.etcd.put(f"{folder}/i", b"")
    world.zk.delete(f"{folder}/j")
    kept(worker, f"{folder}/j")
    world.zk.delete(f"{folder}/i")
    worker.wait(lambda each: each.pending == 0)
    assert names(world, folder) == {"0-theirs", "i", "j"}
    worker.drain()
    again = world.worker(shards=[shard], identity=NEXT, sync=KEEPS)
    again.follows()
    kept(again, f"{folder}/j")
    world.zk.create(f"{folder}/k", b"")
    polling.until(lambda: names(world, folder) == {"0-theirs", "i", "k"}, what="the delete")


def test_where_the_folder_itself_is_not_mirrored(world: mirroring.World) -> None:
    """What leads to what `only` takes is walked, and has no key."""
    folders = providers(world, "a", "b")
    world.zk.ensure_path(world.path("a", "consumers", "c"))
    for folder in folders:
        for name in ("i", "j"):
            world.zk.create(f"{folder}/{name}", b"")
    only = (f"{world.root}/*/providers/*",)
    shard = messages.Shard("only-0", world.root, world.root, (), only=only)
    worker = world.worker(shards=[shard], sync=KEEPS)
    worker.follows()
    polling.until(lambda: len(world.etcd.values(world.root)) == 4, what="all")
    witness = emptied.Witness(world.etcd, world.root)
    for folder in folders:
        world.zk.delete(f"{folder}/i")
        world.zk.delete(f"{folder}/j")
    report = worker.wait(lambda each: each.kept and each.kept.deletes == 2, what="both")
    assert report.kept is not None
    assert witness.emptied(*folders) == []
    world.zk.delete(folders[0])
    polling.until(lambda: not names(world, folders[0]), what="with its folder it goes")
    world.zk.create(f"{folders[1]}/new", b"")
    polling.until(lambda: names(world, folders[1]) == {"new"}, what="for a sibling it goes")
    assert witness.emptied(folders[1]) == []
    kept(worker)


def test_excluded_keys_do_not_fill_a_folder(world: mirroring.World) -> None:
    (folder,) = providers(world, "a")
    world.etcd.put(f"{folder}/excluded", b"somebody's")
    for name in ("i", "j", "excluded"):
        world.zk.create(f"{folder}/{name}", b"")
    worker = world.worker(sync=KEEPS, exclude=[f"{folder}/excluded"])
    worker.follows()
    for name in ("i", "j"):
        world.zk.delete(f"{folder}/{name}")
    worker.wait(lambda each: each.kept and each.kept.deletes == 1, what="one")
    assert len(names(world, folder)) == 2


def test_classic(old: servers.ZooKeeper, etcd: servers.Etcd, prefix: str) -> None:
    with mirroring.World(old.address, etcd.address, prefix) as world:
        (folder,) = providers(world, "a")
        with registered(world, f"{folder}/i", f"{folder}/j") as client:
            worker = world.worker(sync=KEEPS)
            assert worker.follows().protocol == "classic"
            world.equal()
            witness = emptied.Witness(world.etcd, world.root)
            client.stop()
            polling.until(lambda: len(names(world, folder)) == 1, 10, what="one to go")
        time.sleep(0.3)
        (left,) = names(world, folder)
        kept(worker, f"{folder}/{left}")
        worker.full_sync()
        world.zk.create(f"{folder}/new", b"")
        world.equal()
        assert witness.emptied(folder) == []
        world.zk.delete(f"{folder}/new")
        kept(worker, f"{folder}/new")
        world.zk.delete(folder)
        polling.until(lambda: names(world, folder) == set(), 10, what="it to go with its folder")
        kept(worker, folder)


def test_turned_off_it_goes(world: mirroring.World) -> None:
    worker, folder = keeping(world)
    worker.settings = world.config()
    worker.assign({})
    world.equal()
    kept(worker)
    world.zk.create(f"{folder}/i", b"")
    world.equal()
    worker.settings = world.config(sync=KEEPS)
    worker.assign({})
    worker.wait(lambda each: each.last_full_sync and each.last_full_sync.sequence == 1)
    worker.follows()
    world.zk.delete(f"{folder}/i")
    kept(worker, f"{folder}/i")


def test_diff_says_so(world: mirroring.World, diff: commands.Command) -> None:
    """It is a difference, as what a guard holds is; but not one that is missing."""
    folders = providers(world, "a", "b")
    for folder in folders:
        world.zk.create(f"{folder}/i", b"")
    worker = world.worker(sync=KEEPS)
    worker.follows()
    world.equal()
    world.zk.delete(f"{folders[0]}/i")
    kept(worker, f"{folders[0]}/i")
    world.etcd.put(f"{folders[1]}/ghost", b"")
    live = "--set=sync.delete_guard.live={keep_last: true}"
    outcome = diff(*commands.QUICK, live)
    assert outcome.code == 1, outcome
    lines = [line.strip() for line in outcome.out.splitlines()]
    what = "kept_last (in etcd only, kept as the last key of a folder): 1"
    assert lines[lines.index(what) + 1] == f"{folders[0]}/i"
    assert lines[lines.index("extra (in etcd only): 1") + 1] == f"{folders[1]}/ghost"
    document = diff(*commands.QUICK, live, "--json").document()
    assert {(each["kind"], each["path"]) for each in document["differences"]} == {
        ("kept_last", f"{folders[0]}/i"),
        ("extra", f"{folders[1]}/ghost"),
    }
    assert document["shards"][0]["kept_last"] == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_folder_is_ever_empty(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Instances come and go at random, in crowds, while workers end in the middle of it."""
    if seed == 3:
        monkeypatch.setattr(dirty_paths, "MOST", 40)  # it runs over, again and again
    draw = random.Random(seed)
    folders = providers(world, *(f"s{number}" for number in range(6)))
    for folder in folders:
        for number in range(8):
            world.zk.create(f"{folder}/i{number}", b"0")
    sync = {"delete_guard": {**ALONE["delete_guard"], "max_ratio": 1.0, "min_deletes": 10_000}}
    identities = (messages.Identity("inst", "w0", number) for number in itertools.count(1))
    worker = world.worker(identity=next(identities), etcd={"txn_ops": 3}, sync=sync)
    worker.follows()
    world.equal()
    witness = emptied.Witness(world.etcd, world.root)
    full_syncs = _Often(lambda: worker.full_sync(30.0))
    for step in range(40):
        _change(world, draw, folders)
        if step % 10 == 9:
            full_syncs.pause()
            worker.drain()
            _change(world, draw, folders)
            worker = world.worker(identity=next(identities), etcd={"txn_ops": 3}, sync=sync)
            worker.follows(30.0)
            full_syncs.resume()
    full_syncs.stop()
    polling.until(
        lambda: _is_settled(world, folders), 20, what="that both sides are as they should"
    )
    assert witness.emptied(*folders) == []


class _Often:
    """Somebody who asks for full syncs all the time."""

    def __init__(self, act: Any) -> None:
        self._act = act
        self._may, self._stopped = threading.Event(), False
        self._rests = threading.Lock()
        self._may.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self._may.wait()
            with self._rests, contextlib.suppress(AssertionError):
                self._act()
            time.sleep(0.05)

    def pause(self) -> None:
        self._may.clear()
        with self._rests:
            pass

    def resume(self) -> None:
        self._may.set()

    def stop(self) -> None:
        self._stopped = True
        self._may.set()
        self._thread.join(40)


def _change(world: mirroring.World, draw: random.Random, folders: Sequence[str]) -> None:
    """Some go, and some come, in one transaction, so that there is no order between them."""
    transaction = world.zk.transaction()
    for folder in draw.sample(folders, 3):
        there = set(world.zk.get_children(folder))
        going = draw.sample(sorted(there), draw.choice([len(there), len(there), len(there) // 2]))
        for name in going:
            transaction.delete(f"{folder}/{name}")
        for number in draw.sample(range(8), draw.choice([0, 0, 1, 3, 8])):
            if f"i{number}" not in there - set(going):
                transaction.create(f"{folder}/i{number}", b"%d" % draw.randrange(9))
    transaction.commit()


def _is_settled(world: mirroring.World, folders: Sequence[str]) -> bool:
    for folder in folders:
        wanted, found = set(world.zk.get_children(folder)), names(world, folder)
        if found != wanted if wanted else len(found) != 1:
            return False
    return True
