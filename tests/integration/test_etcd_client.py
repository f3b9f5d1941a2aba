"""The etcd client, the fence and the lease, on a real server."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import pytest

from tests import polling
from tests.integration import etcd_clients, mirroring, observing
from zk2etcd import errors, messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine, wire
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.model import mapping, plan
from zk2etcd_workers.ownership import fence, records
from zk2etcd_workers.walk import etcd_keys

ME = messages.Identity("me", "w0", 1, "http://127.0.0.1:9180")


@pytest.fixture
def client(etcd: servers.Etcd) -> Iterator[engine.Client]:
    made = etcd_clients.at([etcd.url])
    yield made
    made.close()


def _keys(world: mirroring.World, count: int) -> list[bytes]:
    return [f"{world.root}/{number:05d}".encode() for number in range(count)]


def _in_order(pages: Iterable[plan.Held]) -> list[tuple[bytes, bytes]]:
    return [pair for page in pages for pair in zip(page.keys, page.values, strict=True)]


# --- reads and Txns ------------------------------------------------------------------------------


def test_pages_of_a_pinned_revision(client: engine.Client, world: mirroring.World) -> None:
    keys = _keys(world, 1200)
    world.etcd.put_many((key, b"v") for key in keys)
    world.etcd.put(world.root, b"own")
    stream = etcd_keys.stream(client, mapping.Mapping("/s", world.root))
    found = [next(stream), next(stream)]
    world.etcd.put(keys[-1], b"later")
    world.etcd.put(world.root + "/zzz", b"later")
    found += stream
    assert _in_order(found) == [(world.root.encode(), b"own"), *((key, b"v") for key in keys)]


def test_a_long_range_is_not_counted_to_its_end_by_each_page(
    client: engine.Client, world: mirroring.World
) -> None:
    """Only the first page is: then where the keys lie is known. All come, once and in order."""
    keys = _keys(world, 30_000)
    keys += [f"{world.root}/z/one/below/another/{number}".encode() for number in range(300)]
    world.etcd.put_many((key, b"v") for key in keys)
    counted = []

    class Counting:
        most_keys, rest_after = client.most_keys, client.rest_after
        learned = client.learned

        def range(self, key: bytes) -> wire.Page:
            return client.range(key)

        def range_soon(self, *where: bytes, **options: Any) -> Callable[[], wire.Page]:
            sent = client.range_soon(*where, **{**options, "limit": min(options["limit"], 500)})

            def finish() -> wire.Page:
                counted.append((page := sent()).total)
                return page

            return finish

    stream = etcd_keys.stream(cast(engine.Client, Counting()), mapping.Mapping("/s", world.root))
    assert _in_order(stream) == [(key, b"v") for key in sorted(keys)]
    assert sum(counted) < 12 * len(keys) < sum(range(0, len(keys), 500))


def test_a_compacted_revision_is_left_for_a_newer_one(
    client: engine.Client, world: mirroring.World
) -> None:
    keys = _keys(world, 3000)
    world.etcd.put_many((key, b"v") for key in keys)
    stream = etcd_keys.stream(client, mapping.Mapping("/s", world.root))
    found = [next(stream), next(stream)]
    world.etcd.put(keys[-1], b"later")
    world.etcd.compact(world.etcd.revision())
    found += stream
    assert _in_order(found) == [*((key, b"v") for key in keys[:-1]), (keys[-1], b"later")]


def test_large_values_make_small_pages(client: engine.Client, world: mirroring.World) -> None:
    for key in _keys(world, 40):
        world.etcd.put(key, b"x" * 900_000)
    stream = etcd_keys.stream(client, mapping.Mapping("/s", world.root))
    assert [key for key, _ in _in_order(stream)] == _keys(world, 40)


def test_lookup_learns_what_the_server_takes(sandbox: servers.Sandbox) -> None:
    server = sandbox.etcd(arguments=["--max-txn-ops", "16"])
    server.start()
    client, outsider = etcd_clients.at([server.url]), observing.Etcd(server.address)
    try:
        keys = [b"/%03d" % number for number in range(250)]
        for key in keys[::2]:
            outsider.put(key, b"v" + key)
        found = client.lookup(keys)
        assert [kv and kv.value for kv in found] == [
            None if at % 2 else b"v" + key for at, key in enumerate(keys)
        ]
        assert client.learned.reads <= 16
        assert [kv and kv.key for kv in client.lookup(keys[:2], keys_only=True)] == [keys[0], None]
    finally:
        outsider.close()
        client.close()


def test_what_compares_mean(client: engine.Client, world: mirroring.World) -> None:
    key = world.root.encode()
    put = [wire.Put(key, b"1")]
    absent = wire.Compare(key, "create", "=", 0)
    first = client.txn(wire.Txn([absent], put))
    assert first.succeeded
    assert not client.txn(wire.Txn([absent], put)).succeeded
    assert client.txn(wire.Txn([wire.Compare(key, "mod", "=", first.revision)], [])).succeeded
    assert client.txn(wire.Txn([wire.Compare(key, "value", "<", b"2")], [])).succeeded
    assert not client.txn(wire.Txn([wire.Compare(key, "value", "<", b"1")], [])).succeeded
    missing = wire.Compare(key + b"/x", "value", "<", b"2")
    assert not client.txn(wire.Txn([missing], [])).succeeded
    unchanged = wire.Compare(key, "mod", "<", first.revision, key + b"0")
    assert not client.txn(wire.Txn([unchanged], [])).succeeded


def test_a_frozen_server_makes_writes_ambiguous_and_reads_not(
    fresh_etcd: servers.Etcd,
) -> None:
    client = etcd_clients.at([fresh_etcd.url], request_timeout=0.5)
    answers: queue.SimpleQueue[errors.EtcdError | None] = queue.SimpleQueue()
    try:
        assert client.range(b"/a").kvs == []
        fresh_etcd.freeze()
        started = time.monotonic()
        with pytest.raises(errors.AmbiguousWrite):
            client.txn(wire.Txn([], [wire.Put(b"/a", b"1")]))
        with pytest.raises(errors.EtcdUnavailable):
            client.range(b"/a")
        client.txn_soon(wire.Txn([], [wire.Put(b"/a", b"2")]), lambda _, error: answers.put(error))
        assert isinstance(answers.get(timeout=20), errors.AmbiguousWrite)
        assert time.monotonic() - started < 20
    finally:
        fresh_etcd.thaw()
        client.close()


def test_another_endpoint_is_tried_and_nothing_is_barred(fresh_etcd: servers.Etcd) -> None:
    client = etcd_clients.at(["http://127.0.0.1:1", fresh_etcd.url])
    try:
        with pytest.raises(errors.EtcdUnavailable, match=r"127\.0\.0\.1:1"):
            client.range(b"/a")
        assert client.range(b"/a").kvs == []
        fresh_etcd.kill()
        for _ in range(4):
            with pytest.raises(errors.EtcdUnavailable):
                client.range(b"/a")
        fresh_etcd.start()
        polling.until(lambda: etcd_clients.reads(client), 10)
    finally:
        client.close()


# --- lease and fence -----------------------------------------------------------------------------


def _fence(
    client: engine.Client,
    world: mirroring.World,
    identity: messages.Identity = ME,
    target: str = "",
    ttl: float = 5.0,
) -> tuple[fence.Fence, leases.Lease]:
    lease = leases.Lease(client, ttl)
    shard = mirroring.shard(target or world.root, target or world.root)
    return fence.Fence(client, records.Keys(world.state), lease, identity, shard), lease


def _write(client: engine.Client, compares: Sequence[wire.Compare], world: mirroring.World) -> bool:
    return client.txn(wire.Txn(compares, [wire.Put(world.root.encode(), b"1")])).succeeded


def test_a_token_holds_until_the_key_is_put_again(
    client: engine.Client, world: mirroring.World
) -> None:
    owned, lease = _fence(client, world)
    owned.claim({})
    first = owned.compares()
    assert _write(client, first, world)
    owned.renew_token()
    assert not _write(client, first, world)
    second = owned.compares()
    assert _write(client, second, world)
    owned.release()
    assert not _write(client, second, world)
    with pytest.raises(errors.Fenced):
        owned.compares()
    lease.close()


def test_taking_creates_the_checkpoint_and_keeps_an_old_one(
    client: engine.Client, world: mirroring.World
) -> None:
    owned, lease = _fence(client, world)
    owned.claim({})
    [(key, zxid)] = records.read_checkpoints(client, records.Keys(world.state)).items()
    assert zxid == 0
    world.etcd.put(key, records.encode_zxid(77))
    owned.release()
    owned.claim({})
    assert records.read_checkpoints(client, records.Keys(world.state)) == {key: 77}
    owned.release()
    lease.close()


@pytest.mark.parametrize(
    ("identity", "reaped", "taken"),
    [
        (ME, {}, True),
        (messages.Identity("me", "w0", 2), {}, False),
        (messages.Identity("me", "w0", 2), {"w0": 1}, True),
        (messages.Identity("me", "w1", 1), {"w0": 1}, True),
        (messages.Identity("me", "w1", 1), {"w1": 9}, False),
        (messages.Identity("you", "w0", 1), {"w0": 9}, False),
    ],
)
def test_who_may_take_a_live_key(
    client: engine.Client,
    world: mirroring.World,
    identity: messages.Identity,
    reaped: dict[str, int],
    taken: bool,
) -> None:
    owned, lease = _fence(client, world)
    owned.claim({})
    old = owned.compares()
    other, other_lease = _fence(client, world, identity)
    if taken:
        other.claim(reaped)
        assert not _write(client, old, world)
        with pytest.raises(errors.Fenced):
            owned.renew_token()
    else:
        with pytest.raises(errors.Held, match="me/w0") as held:
            other.claim(reaped)
        assert held.value.admin_url == ME.admin_url
        assert _write(client, old, world)
    lease.close()
    other_lease.close()


@pytest.mark.parametrize(
    ("target", "free"), [("/x", False), ("/below", False), ("2", True), ("", False)]
)
def test_intersecting_ranges_exclude_each_other(
    client: engine.Client, world: mirroring.World, target: str, free: bool
) -> None:
    owned, lease = _fence(client, world, target=world.root)
    owned.claim({})
    other, other_lease = _fence(
        client, world, messages.Identity("you", "w0", 1), target=world.root + target
    )
    if free:
        other.claim({})
    else:
        with pytest.raises(errors.Held):
            other.claim({})
    lease.close()
    other_lease.close()


def test_a_lease_that_is_not_renewed_stops_the_writes_before_others_may_start(
    fresh_world: mirroring.World, fresh_etcd: servers.Etcd
) -> None:
    client = etcd_clients.at([fresh_etcd.url], request_timeout=0.5)
    owned, lease = _fence(client, fresh_world, ttl=3.0)
    try:
        owned.claim({})
        outlived = time.monotonic() + lease.ttl + 1
        polling.until(lambda: owned.compares() and time.monotonic() > outlived)
        fresh_etcd.freeze()
        polling.until(lambda: lease.age() > lease.ttl * leases.WRITABLE)
        assert lease.age() < lease.ttl
        with pytest.raises(errors.LeaseDoubt):
            owned.compares()
    finally:
        fresh_etcd.thaw()
        lease.close()
        client.close()


def test_a_closed_lease_frees_its_keys(client: engine.Client, world: mirroring.World) -> None:
    owned, lease = _fence(client, world)
    owned.claim({})
    key = f"{world.state}/owners/{mirroring.shard(world.root, world.root).id}"
    assert world.etcd.get(key)
    lease.close()
    assert world.etcd.get(key) is None
