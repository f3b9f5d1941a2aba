"""What belongs to a shard and what does not: neighbours, excludes, foreign keys, unreadable nodes,
the root prefix, and the guard over what was there before us."""

from __future__ import annotations

import kazoo.exceptions
import pytest
from kazoo.security import READ_ACL_UNSAFE, make_acl, make_digest_acl

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages


def _keys(world: mirroring.World, root: str = "") -> set[str]:
    return {key.decode() for key in world.etcd.below(root or world.root)}


def test_a_neighbour_with_a_longer_name_is_left_alone(world: mirroring.World) -> None:
    near = world.root + "two"
    others = [near, near + "/x", world.root + "-x/y", world.root + "!", world.root + "0x"]
    world.etcd.put_many((key, b"neighbour") for key in others)
    revisions = [world.etcd.get(key) for key in others]
    world.zk.create(world.root, b"")
    world.zk.create(near, b"")
    worker = world.worker()
    worker.follows()
    world.zk.create(world.path("child"), b"1")
    world.zk.create(near + "/child", b"1")
    world.zk.set(near, b"changed")
    world.zk.delete(near, recursive=True)
    world.zk.delete(world.path("child"))
    world.zk.delete(world.root)
    polling.until(lambda: not world.etcd.below(world.root))
    worker.full_sync()
    assert [world.etcd.get(key) for key in others] == revisions


def test_an_exclude_is_by_path_element(world: mirroring.World) -> None:
    config, near = world.path("config"), world.path("configurators")
    for path in (config, near):
        world.zk.create(path + "/a", b"before", makepath=True)
    theirs = [config, config + "/only-in-etcd", config + "/a"]
    world.etcd.put_many((key, b"theirs") for key in theirs)
    before = [world.etcd.get(key) for key in theirs]
    worker = world.worker(exclude=[config])
    worker.follows()
    for path in (config, near):
        world.zk.create(path + "/live", b"live")
        world.zk.set(path + "/a", b"new")
    polling.until(lambda: world.etcd.value(near + "/a") == b"new")
    world.zk.delete(config, recursive=True)
    world.zk.delete(near + "/live")
    polling.until(lambda: world.etcd.get(near + "/live") is None)
    report = worker.full_sync()
    assert report.guard is None
    assert [world.etcd.get(key) for key in theirs] == before
    assert _keys(world) == {world.root, near, near + "/a", *theirs}


def test_deleting_the_parent_of_excluded_keys_leaves_them(world: mirroring.World) -> None:
    """And comes to an end: there are more of them than one look below a deleted key shows."""
    app, config = world.path("app"), world.path("app", "config")
    world.zk.create(config, b"", makepath=True)
    world.zk.create(world.path("app", "z"), b"")
    world.etcd.put_many((f"{config}/{number:05d}", b"theirs") for number in range(1200))
    worker = world.worker(exclude=[config])
    worker.follows()
    # A key below the deleted node that only etcd has: it must be found behind the excluded ones.
    world.etcd.put(app + "/late", b"stale")
    world.zk.delete(app, recursive=True)
    polling.until(lambda: world.etcd.get(app) is None)
    polling.until(lambda: world.etcd.get(app + "/late") is None, what="the stale key goes")
    worker.wait(lambda report: report.pending == 0, what="nothing pending")
    revision = world.etcd.revision()
    world.zk.create(world.path("marker"), b"")
    polling.until(lambda: world.etcd.get(world.path("marker")))
    assert world.etcd.revision() - revision < 20, "deletes the same key again and again"
    assert len(world.etcd.below(config)) == 1200


FOREIGN = (
    "//x",
    "/a//b",
    "/",
    "/a/",
    "/a/./b",
    "/..",
    "/tab\tname",
    "/\x01",
    "/\ufff9",
    "/\U0001f600",
)


def test_foreign_keys_are_kept(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    foreign = [(world.root + name).encode() for name in FOREIGN] + [world.root.encode() + b"/\xff"]
    world.etcd.put_many((key, b"foreign") for key in foreign)
    worker = world.worker(sync={"delete_guard": {"first_sync": "apply"}})
    report = worker.follows()
    assert report.guard is None
    worker.full_sync()
    left = set(world.etcd.below(world.root))
    assert left == {world.root.encode(), *foreign}


def test_names_beyond_the_basic_plane_are_what_zookeeper_refuses(world: mirroring.World) -> None:
    """The reason why such keys are foreign; should a release accept them, this test says so."""
    with pytest.raises(kazoo.exceptions.BadArgumentsError):
        world.zk.create(world.root + "\U0001f600", b"")


def test_names_around_the_separator_before_and_live(world: mirroring.World) -> None:
    names = [
        "a",
        "a-b",
        "a!",
        "a.b",
        "a/x",
        "a-b/x",
        "a!/x",
        "a!/!",
        "a.b/-",
        "a0",
        "a/x-",
        "a/x/y",
    ]
    for name in names:
        world.zk.ensure_path(world.path(name))
    world.etcd.put_many((world.path(f"a{c}extra"), b"") for c in "-!.0~")
    worker = world.worker(sync={"delete_guard": {"first_sync": "apply"}})
    worker.follows()
    world.equal()
    world.zk.delete(world.path("a"), recursive=True)
    for name in names:
        world.zk.ensure_path(world.path("b" + name))
    world.equal()
    assert worker.full_sync().guard is None
    assert worker.counts.fixes == {"put": 0, "delete": 0}


def test_long_names(world: mirroring.World) -> None:
    """64 paths of 17 KB are more than a server takes in one request (jute.maxbuffer)."""
    long = "n" * 17_000
    world.zk.create(world.root, b"")
    for number in range(80):
        world.zk.create(world.path(f"{long}{number:02d}"), b"before")
    worker = world.worker()
    worker.follows()
    world.equal()
    transaction = world.zk.transaction()
    for number in range(40):
        transaction.create(world.path(f"{number:02d}{long}"), b"live")
    assert not [each for each in transaction.commit() if isinstance(each, Exception)]
    for number in range(40, 80):
        world.zk.create(world.path(f"{number:02d}{long}"), b"live")
    world.equal()
    last = worker.follows().last_full_sync
    assert last is not None
    assert last.sequence == 1, "the shard started over"


# --- the root prefix -----------------------------------------------------------------------------


def test_the_root_prefix(fresh_world: mirroring.World) -> None:
    world = fresh_world
    world.zk.set("/", b"top")
    world.zk.create("/a/b", b"1", makepath=True)
    world.etcd.put("0", b"just behind")
    world.etcd.put("relative", b"not ours")
    worker = world.worker(targets={"/": "/"})
    worker.follows()
    world.equal(source="/", target="/")
    world.zk.create("/live", b"1")
    world.zk.set("/", b"new top")
    world.zk.delete("/a", recursive=True)
    world.zk.ensure_path("/zookeeper/quota/live")
    held = world.equal(source="/", target="/")
    assert held == {b"/": b"new top", b"/live": b"1"}
    worker.full_sync()
    assert not world.etcd.range(b"/zookeeper", b"/zookeeper0")
    assert world.etcd.value("0") == b"just behind"
    assert world.etcd.value("relative") == b"not ours"
    assert worker.counts.fixes == {"put": 0, "delete": 0}


@pytest.mark.parametrize(("source", "target"), [("/", "/m"), ("/s", "/")])
def test_from_and_to_the_root(fresh_world: mirroring.World, source: str, target: str) -> None:
    world = fresh_world
    world.zk.create("/s/a", b"1", makepath=True)
    worker = world.worker(targets={source: target})
    worker.follows()
    world.zk.create("/s/live", b"1")
    world.zk.delete("/s/a")
    held = world.equal(source=source, target=target)
    assert (target + "/s/live" if target != "/" else "/live").encode() in held
    worker.full_sync()
    assert worker.counts.fixes == {"put": 0, "delete": 0}


# --- deletes that must not happen ----------------------------------------------------------------


def test_deletes_can_be_turned_off(world: mirroring.World) -> None:
    world.zk.create(world.path("a"), b"1", makepath=True)
    world.etcd.put(world.path("extra"), b"")
    worker = world.worker(sync={"deletes": "never"})
    worker.follows()
    world.zk.delete(world.path("a"))
    world.zk.create(world.path("b"), b"1")
    polling.until(lambda: world.etcd.get(world.path("b")))
    report = worker.full_sync()
    assert report.guard is None
    assert _keys(world) == {world.root, *(world.path(name) for name in ("a", "b", "extra"))}
    world.zk.create(world.path("a"), b"2")
    polling.until(lambda: world.etcd.value(world.path("a")) == b"2")


def test_the_first_contact_holds_deletes_over_restarts(world: mirroring.World) -> None:
    world.zk.create(world.path("a"), b"new", makepath=True)
    world.etcd.put(world.path("a"), b"old")
    world.etcd.put(world.path("theirs"), b"1")
    worker = world.worker()
    report = worker.follows()
    assert report.phase == "guarded"
    assert report.guard is not None
    assert (report.guard.deletes, report.guard.sample) == (1, (world.path("theirs"),))
    assert world.etcd.value(world.path("a")) == b"new"
    world.zk.create(world.path("live"), b"1")
    polling.until(lambda: world.etcd.get(world.path("live")))
    assert worker.full_sync().phase == "guarded"
    worker.drain()

    again = world.worker(identity=messages.Identity("other", "w5", 1))
    second = again.follows()
    assert second.phase == "guarded"
    assert second.guard is not None
    assert second.guard.id == report.guard.id, "the tree grew by a node, the trip did not"
    assert again.full_sync().guard == second.guard
    assert world.etcd.value(world.path("theirs")) == b"1"
    # A live delete is a fact that nobody has to be asked about.
    world.zk.delete(world.path("live"))
    polling.until(lambda: world.etcd.get(world.path("live")) is None)
    # Once the node is there, nothing is left to hold.
    world.zk.create(world.path("theirs"), b"2")
    polling.until(lambda: world.etcd.value(world.path("theirs")) == b"2")
    assert again.full_sync().phase == "following"
    assert worker.counts.trips == 1


def test_the_first_contact_can_be_waived(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    world.etcd.put(world.path("theirs"), b"1")
    worker = world.worker(sync={"delete_guard": {"first_sync": "apply"}})
    assert worker.follows().phase == "following"
    assert len(world.equal()) == 1


def test_a_missing_root_is_guarded_even_then(world: mirroring.World) -> None:
    world.etcd.put(world.path("theirs"), b"1")
    worker = world.worker(sync={"delete_guard": {"first_sync": "apply"}})
    report = worker.follows()
    assert report.guard is not None
    assert "root" in report.guard.reason
    assert world.etcd.get(world.path("theirs"))


def test_the_ratio_counts_only_what_could_be_deleted(world: mirroring.World) -> None:
    """Excluded and foreign keys in the range must not water the ratio down."""
    config = world.path("config")
    world.zk.create(world.root, b"")
    observing.seed(world.zk, [(world.path(f"n{number:02d}"), b"") for number in range(20)])
    world.etcd.put_many((f"{config}/{number}", b"theirs") for number in range(100))
    world.etcd.put_many((f"{world.root}//{number}", b"foreign") for number in range(100))
    guard = {"min_deletes": 5, "max_ratio": 0.3}
    worker = world.worker(exclude=[config], sync={"delete_guard": guard})
    assert worker.follows().guard is None
    worker.drain()
    for number in range(9):
        world.zk.delete(world.path(f"n{number:02d}"))
    report = world.worker(exclude=[config], sync={"delete_guard": guard}).follows()
    assert report.guard is not None, "9 of 21 keys were deleted unasked"
    assert report.guard.deletes == 9
    assert len(_keys(world)) == 21 + 200


def test_a_base_deletes_few_that_went_missing_meanwhile(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    observing.seed(world.zk, [(world.path(f"n{number:02d}"), b"") for number in range(20)])
    worker = world.worker()
    worker.follows()
    worker.drain()
    world.zk.delete(world.path("n03"))
    again = world.worker()
    report = again.follows()
    assert report.guard is None
    assert report.last_full_sync is not None
    assert (report.last_full_sync.put, report.last_full_sync.delete) == (0, 1)
    assert len(world.equal()) == 20


# --- nodes that cannot be read -------------------------------------------------------------------


def test_unreadable_nodes_keep_their_keys_and_are_named(world: mirroring.World) -> None:
    secret, child = world.path("secret"), world.path("secret", "child")
    world.zk.create(secret, b"1", makepath=True)
    world.zk.create(child, b"1")
    world.zk.create(world.path("open"), b"1")
    worker = world.worker()
    worker.follows()
    world.equal()
    worker.drain()
    acl = [make_digest_acl("user", "password", all=True)]
    world.zk.set_acls(child, acl)
    world.zk.set_acls(secret, acl)
    before = world.etcd.below(world.root)

    again = world.worker()
    report = again.follows()
    assert report.guard is None
    assert secret in {each.path for each in report.unsyncable}
    world.zk.set(world.path("open"), b"2")
    polling.until(lambda: world.etcd.value(world.path("open")) == b"2")
    again.full_sync()
    after = world.etcd.below(world.root)
    assert {key for key in before if after.get(key) != before[key]} == {world.path("open").encode()}
    # Readable again: setACL fires no event, so the next full sync finds out.
    world.zk.add_auth("digest", "user:password")
    for path in (secret, child):
        world.zk.set(path, b"changed while unreadable")
        world.zk.set_acls(path, [make_digest_acl("user", "password", all=True), *READ_ACL_UNSAFE])
    again.full_sync()
    world.equal()
    assert again.full_sync().unsyncable == ()


def test_a_node_readable_again_unchanged_is_not_named_any_more(world: mirroring.World) -> None:
    secret = world.path("secret")
    world.zk.create(secret, b"1", makepath=True)
    worker = world.worker()
    worker.follows()
    world.zk.set_acls(secret, [make_digest_acl("user", "password", all=True)])
    assert [each.path for each in worker.full_sync().unsyncable] == [secret]
    world.zk.add_auth("digest", "user:password")
    world.zk.set_acls(secret, [make_digest_acl("user", "password", all=True), *READ_ACL_UNSAFE])
    assert worker.full_sync().unsyncable == ()


def test_a_readable_child_of_an_unreadable_node(world: mirroring.World) -> None:
    secret, child = world.path("secret"), world.path("secret", "child")
    world.zk.create(child, b"1", makepath=True)
    worker = world.worker()
    worker.follows()
    world.zk.set_acls(secret, [make_acl("world", "anyone", write=True, create=True, delete=True)])
    before = world.etcd.below(world.root)
    worker.drain()
    again = world.worker()
    again.follows()
    world.zk.create(world.path("marker"), b"")
    polling.until(lambda: world.etcd.get(world.path("marker")))
    assert world.etcd.get(child) == before[child.encode()], "rewritten, though it had not changed"
    world.zk.set(child, b"2")
    polling.until(lambda: world.etcd.value(child) == b"2")
    world.zk.delete(child)
    polling.until(lambda: world.etcd.get(child) is None)
    assert world.etcd.get(secret) == before[secret.encode()]


def test_credentials_open_what_they_protect(world: mirroring.World) -> None:
    secret = world.path("secret")
    world.zk.create(secret, b"1", makepath=True)
    world.zk.set_acls(secret, [make_digest_acl("user", "password", all=True)])
    auth = [{"scheme": "digest", "credentials": "user:password"}]
    worker = world.worker(zookeeper={"auth": auth})
    assert worker.follows().unsyncable == ()
    assert world.etcd.value(secret) == b"1"


@pytest.mark.parametrize("protocol", ["bulk", "classic"])
def test_an_exclude_may_have_wildcards(world: mirroring.World, protocol: str) -> None:
    """At the base, live, in a full sync, and below a deleted node: what matches is not ours."""
    for service in ("a", "b"):
        for part in ("consumers", "consumers2", "providers"):
            world.zk.create(world.path(service, part, "x"), b"first", makepath=True)
    theirs = world.path("a", "consumers", "only-in-etcd")
    world.etcd.put(theirs, b"theirs")
    pattern = world.path("*", "consumers")
    worker = world.worker(exclude=[pattern], zookeeper={"protocol": protocol})
    worker.follows()

    def ours() -> dict[bytes, bytes]:
        return {key: v for key, v in world.wanted().items() if b"/consumers/" not in key + b"/"}

    def equal() -> bool:
        mirrored = world.etcd.values(world.root)
        return mirrored.pop(theirs.encode()) == b"theirs" and mirrored == ours()

    polling.until(equal, what="the base")
    world.zk.set(world.path("a", "consumers", "x"), b"not ours")
    world.zk.create(world.path("c", "consumers", "x"), b"not ours", makepath=True)
    world.zk.create(world.path("c", "providers", "x"), b"ours", makepath=True)
    world.zk.set(world.path("b", "providers", "x"), b"new")
    world.zk.delete(world.path("b"), recursive=True)
    polling.until(equal, what="live")
    world.zk.delete(world.path("a"), recursive=True)
    polling.until(equal, what="the parent of what is not ours is deleted")
    world.etcd.delete(world.path("c", "providers", "x"))
    report = worker.full_sync()
    assert (report.guard, equal()) == (None, True)
    worker.drain()


@pytest.mark.parametrize("pattern", ["*/old", "s0/old"])
@pytest.mark.parametrize("buckets", [1, 2])
def test_what_is_left_out_is_not_counted_by_the_guard(
    world: mirroring.World, buckets: int, pattern: str
) -> None:
    """Most of the keys that are ours go while nobody looks; of all in etcd it is a small part."""
    paths = [world.path(f"s{n}", f"p{m}") for n in range(20) for m in range(5)]
    for path in paths:
        world.zk.create(path, b"", makepath=True)
    world.etcd.put_many((world.path("s0", "old", f"{n:04d}"), b"") for n in range(2_000))
    root, exclude = world.root, (world.path(*pattern.split("/")),)
    ids = [messages.shard_id(root, root, n, buckets) for n in range(buckets)]
    shards = [messages.Shard(each, root, root, exclude, n, buckets) for n, each in enumerate(ids)]
    guard = {"max_ratio": 0.5, "min_deletes": 20}
    worker = world.worker(shards=shards, sync={"delete_guard": guard})
    worker.follows()
    worker.drain()
    for path in paths:
        world.zk.delete(path)
    worker = world.worker(shards=shards, sync={"delete_guard": guard})
    trips = [worker.trip(number=number) for number in range(buckets)]
    assert sum(trip.deletes for trip in trips) == 100
    assert sum(trip.present for trip in trips) == 121


@pytest.mark.parametrize(("protocol", "buckets"), [("bulk", 1), ("classic", 1), ("bulk", 2)])
def test_what_only_matches_is_mirrored_and_nothing_else(
    world: mirroring.World, protocol: str, buckets: int
) -> None:
    """At the base, live (below new parents too), in a full sync: neither the parents nor others."""
    for service in ("a", "b"):
        for part in ("consumers", "providers"):
            world.zk.create(world.path(service, part, "x"), b"first", makepath=True)
    theirs = world.path("a")
    world.etcd.put(theirs, b"theirs")
    root, only = world.root, (world.path("*", "providers"),)
    shards = [
        messages.Shard(
            messages.shard_id(root, root, n, buckets), root, root, (), n, buckets, only=only
        )
        for n in range(buckets)
    ]
    worker = world.worker(shards=shards, zookeeper={"protocol": protocol})
    worker.follows()

    def equal() -> bool:
        mirrored = world.etcd.values(root)
        parts = {key: key.removeprefix(root.encode() + b"/").split(b"/") for key in world.wanted()}
        wanted = {k: v for k, v in world.wanted().items() if parts[k][1:2] == [b"providers"]}
        return mirrored.pop(theirs.encode()) == b"theirs" and mirrored == wanted

    polling.until(equal, what="the base")
    world.zk.set(world.path("a", "consumers", "x"), b"not ours")
    world.zk.create(world.path("c"), b"a parent")
    world.zk.create(world.path("c", "providers"), b"")
    world.zk.create(world.path("c", "providers", "x"), b"ours")
    world.zk.create(world.path("d", "e", "providers", "x"), b"not ours", makepath=True)
    world.zk.create(world.path("leaf"), b"not ours")
    world.zk.delete(world.path("b"), recursive=True)
    polling.until(equal, what="live")
    world.zk.set(world.path("c", "providers", "x"), b"new")
    world.etcd.put(world.path("c", "providers", "stale"), b"")
    polling.until(lambda: world.etcd.value(world.path("c", "providers", "x")) == b"new")
    assert worker.full_sync().guard is None
    polling.until(equal, what="a full sync")
    world.zk.delete(root, recursive=True)
    polling.until(lambda: set(world.etcd.values(root)) == {theirs.encode()}, what="all are gone")
    worker.drain()
