"""Both sides put back to an earlier state of themselves, with the mirror and its clients running.

What is lost was mirrored: of ZooKeeper, it may be held, and never quietly regresses; of etcd, it
comes back. A stray member of etcd's, a cluster of its own at a known address, must stay empty.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import shutil
import subprocess
import time
from collections.abc import Iterator

import etcd3.etcdrpc as rpc
import grpc

from tests import copies, polling, zookeeper_admin
from tests.faults import load, oracle, servers, txnlog, world
from zk2etcd import errors

_BUMP = 1_000_000
_PASSING_SECONDS = 10.0
_STILL = 0.2
_STILL_WITHIN = 5.0
"""Seconds without a transaction, and how long they are waited for."""


def zookeeper(on: world.World, luck: random.Random, lasts: float) -> None:
    """Every server is stopped and started from a copy that was made while it ran. An election lifts
    the zxid over all that was seen; a single server gets there by what is written later."""
    saved = copies.copied(on.zookeepers, on.box.subfolder("copy") / f"{time.monotonic_ns()}")
    on.note("ZooKeeper is copied")
    time.sleep(lasts)
    if luck.random() < 0.3:
        on.kill_workers()
    for member in on.zookeepers:
        member.kill()
    logged = on.logged()
    for member, copy in zip(on.zookeepers, saved, strict=True):
        member.wipe()
        shutil.move(copy, member.data)
    kept = max(record.zxid for record in on.logged())
    on.restores.append(txnlog.Restore(logged, kept, time.time()))
    for member in on.zookeepers:
        member.launch()
    for member in on.zookeepers:
        member.wait_ready()
    lost = len([record for record in logged if record.zxid > kept])
    on.note(f"ZooKeeper is put back to {kept:#x}, {lost} transactions are lost")
    if luck.random() < 0.7:
        _pass(on, logged[-1].zxid)
    on.renew_clients()


def put_back(on: world.World, luck: random.Random, lasts: float) -> None:
    """A single ZooKeeper is put back by its admin server while it runs: sessions that the snapshot
    knows live on, without their watches. Its logs keep what is lost, and it would come back at the
    next start of the server, if there were no snapshot of what came later."""
    member = on.zookeepers[0]
    admin = member.admin
    assert admin is not None
    try:
        with _still(on):
            snapshot, kept = admin.snapshot(), on.logged()[-1].zxid
        on.note("ZooKeeper's admin server makes a snapshot")
        time.sleep(lasts)
        if luck.random() < 0.3:
            on.kill_workers()
        with _still(on):
            logged = on.logged()
            admin.restore(snapshot)
            on.restores.append(txnlog.Restore(logged, kept, time.time(), in_place=True))
            meanwhile = [record for record in on.logged() if record.zxid > logged[-1].zxid]
        on.renew_clients()
        if not _pass(on, logged[-1].zxid):
            raise RuntimeError("nothing could be written into a ZooKeeper that was put back")
        admin.snapshot()
    except zookeeper_admin.ERRORS as error:
        on.note(f"ZooKeeper is not put back: {error}")
        if on.restores and on.restores[-1].in_place:
            raise RuntimeError("what ZooKeeper would come back with is not known") from error
        return
    if any(map(txnlog.changes, meanwhile)):
        raise RuntimeError("ZooKeeper logged a change in the moment in which it was put back")
    lost = len([record for record in logged if record.zxid > kept])
    on.note(f"ZooKeeper is put back in place to {kept:#x}, {lost} transactions are lost")


@contextlib.contextmanager
def _still(on: world.World) -> Iterator[None]:
    """Nobody changes a node of ZooKeeper's meanwhile."""
    with contextlib.ExitStack() as stack:
        for client in on.clients:
            stack.enter_context(client.held())
        deadline, seen = time.monotonic() + _STILL_WITHIN, -1
        while time.monotonic() < deadline:
            if (now := len(on.logged())) == seen:
                break
            seen = now
            time.sleep(_STILL)
        yield


def _pass(on: world.World, zxid: int) -> bool:
    """Write, outside of all that is mirrored, until the servers are beyond what was seen; whether
    they are."""
    client = on.client()
    deadline = time.monotonic() + _PASSING_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(*load.MISSED):
            load.create(client, f"/passing/n{time.time_ns()}", b"")
            if client.exists_async("/passing").get(timeout=load.PATIENCE).pzxid > zxid:
                on.note("and has logged as much since")
                load.close(client)
                return True
    load.close(client)
    return False


def etcd(on: world.World, luck: random.Random, lasts: float) -> None:
    """Every member starts from the same snapshot, at times with its revisions raised."""
    on.snapshots += 1
    snapshot = on.box.folder / f"snapshot-{on.snapshots}.db"
    on.etcds[0].save(snapshot)
    saved = _revision(snapshot)
    on.note(f"a snapshot of etcd is made, of revision {saved}")
    time.sleep(lasts)
    bump = _BUMP if on.servers.can_bump and luck.random() < 0.5 else 0
    for each in on.etcd_proxies:
        each.refuse()
    if not _heard(on):
        on.note("etcd is not restored: it does not answer")
    else:
        on.watcher.pause()
        with on.hand.still():
            try:
                _put_back(on, snapshot, bump)
            except errors.StartError as error:
                # Not a fault that was cut short: our own watch would miss all that follows.
                raise RuntimeError(f"etcd could not be restored: {error}") from error
            # A snapshot's status tells too little where its last changes were deletes (3.4.23).
            reached = polling.until(on.hand.revision, 20, what="an answer of the restored etcd")
        on.watcher.restored(saved if bump else reached, reached)
        on.etcd_put_back_at = time.monotonic()
        on.note(f"etcd is put back to revision {saved}{' and raised' if bump else ''}")
    for each in on.etcd_proxies:
        each.accept()


def _put_back(on: world.World, snapshot: pathlib.Path, bump: int) -> None:
    for member in on.etcds:
        member.kill()
    for member in on.etcds:
        member.restore(snapshot, bump)
    for member in on.etcds:
        member.launch()
    for member in on.etcds:
        member.wait_ready()


def _heard(on: world.World) -> bool:
    """Whether our own watch knows all that happened; nobody writes any more."""
    last = on.hand.revision()
    deadline = time.monotonic() + 5
    while last and time.monotonic() < deadline:
        if on.watcher.revision >= last:
            return True
        time.sleep(0.02)
    return False


def _revision(snapshot: pathlib.Path) -> int:
    told = subprocess.run(
        ["etcdctl", "snapshot", "status", str(snapshot), "-w", "json"],
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin:/usr/local/bin"},
        capture_output=True,
        check=True,
        timeout=20,
    )
    return int(json.loads(told.stdout)["revision"])


def stray_member(on: world.World, luck: random.Random, lasts: float) -> None:
    """One member starts with an empty folder as a cluster of its own, at its old address, while the
    others are out of reach: nothing of ours may ever be in it."""
    stray = luck.choice(on.etcds)
    others = [way for way in on.etcd_proxies if way.target != stray.address]
    on.note(f"{stray.address} becomes a cluster of its own, the others cannot be reached")
    for way in others:
        way.refuse()
    stray.kill()
    kept = stray.folder / "kept"
    shutil.move(stray.data, kept)
    cluster, stray.cluster = stray.cluster, stray.member
    try:
        stray.start()
        time.sleep(lasts)
        _must_be_empty(on, stray)
    finally:
        stray.kill()
        stray.cluster = cluster
        stray.wipe()
        shutil.move(kept, stray.data)
    stray.launch()
    for way in others:
        way.accept()
    on.note(f"{stray.address} is a member again")


def _must_be_empty(on: world.World, stray: servers.Etcd) -> None:
    """Our own hand may have written there; zk2etcd may not."""
    with grpc.insecure_channel(stray.address) as channel:
        state = f"{world.STATE}/".encode()
        request = rpc.RangeRequest(key=state, range_end=state[:-1] + b"0", keys_only=True)
        try:
            found = rpc.KVStub(channel).Range(request, timeout=5).kvs
        except grpc.RpcError as error:
            raise errors.StartError(f"the stray member does not answer: {error}") from error
    if found:
        text = f"{len(found)} keys were written to another cluster at {stray.address}"
        on.violations.append(oracle.Violation("I3", "stray", found[0].key.decode(), text))
