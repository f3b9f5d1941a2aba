"""What happens in ZooKeeper while zk2etcd cannot look: a root that is another one afterwards, most
of a prefix gone, which the guard has to hold, and a server that is behind what was mirrored."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator

import kazoo.client

from tests.faults import drawing, load, oracle, world

SESSION_SECONDS = 2.0


@contextlib.contextmanager
def unseen(on: world.World) -> Iterator[kazoo.client.KazooClient]:
    """A client of ZooKeeper, while zk2etcd has none."""
    for each in on.zk_proxies:
        each.refuse()
        each.cut()
    client = on.client()
    try:
        yield client
    finally:
        load.close(client)
        for each in on.zk_proxies:
            each.refuse(False)


def recreate_root(on: world.World, luck: random.Random, lasts: float) -> None:
    """A whole prefix goes and comes back as another."""
    root = luck.choice(drawing.ROOTS[1:])
    on.note(f"{root} is created anew behind zk2etcd's back")
    with unseen(on) as client:
        with contextlib.suppress(*load.MISSED):
            load.delete_tree(client, root)
        with contextlib.suppress(*load.MISSED):
            load.create(client, root, b"root again")
        time.sleep(lasts)


def mass_delete(on: world.World, luck: random.Random, lasts: float) -> None:
    """Most of a prefix goes: the guard must hold the deletes, over a restart too, until a person
    releases them."""
    root = drawing.GUARDED
    on.note(f"most of {root} is deleted behind zk2etcd's back")
    deleted = []
    with unseen(on) as client:
        for number in luck.sample(range(40), 30):
            path = f"{root}/n{number}"
            with contextlib.suppress(*load.MISSED):
                client.delete_async(path).get(load.PATIENCE)
                deleted.append(path)
        keys = {path.encode() for path in deleted} & on.found().keys()
    if luck.random() < 0.5:
        on.restart_somebody(luck)
    time.sleep(lasts)
    _must_be_held(on, keys)
    on.release_guards()
    _refill(on, deleted)


def stale_server(on: world.World, luck: random.Random, lasts: float) -> None:
    """A server that stopped learning a while ago, as a leader that was voted out does, or one from
    a backup: it answers, `sync` too, and must not be believed. Sessions end meanwhile.

    It runs for less than the clients' sessions last, or it would end those by itself: what it says
    then is news to everybody, and no mirror could tell.
    """
    member = luck.choice(on.zookeepers)
    twin = on.box.adopt(member.twin(on.box.subfolder("twin")))
    on.note("a server stops learning")
    time.sleep(luck.uniform(0.1, 0.8))
    with unseen(on):
        if luck.random() < 0.5:
            on.kill_workers()
        time.sleep(luck.choice((0.2, SESSION_SECONDS + 0.7)))
        twin.start()
        on.note("zk2etcd can reach it, and nobody else")
        stale = luck.choice(on.zk_proxies)
        stale.retarget(twin.address)
        stale.refuse(False)
        time.sleep(lasts)
        on.note("the others are back")
        for each in on.zk_proxies:
            each.heal()
    twin.kill()


def _must_be_held(on: world.World, keys: set[bytes]) -> None:
    """All of them, if they are enough to trip the guard."""
    missing = keys - on.found().keys()
    if len(keys) > 25 and missing:
        text = (
            f"{len(missing)} of {len(keys)} keys whose nodes were deleted unseen went "
            "without a release"
        )
        on.violations.append(oracle.Violation("I2", "guard", min(missing).decode(), text))


def _refill(on: world.World, paths: list[str]) -> None:
    client = on.client()
    for number, path in enumerate(paths):
        with contextlib.suppress(*load.MISSED):
            load.create(client, path, f"refill {number} {time.monotonic()}".encode())
    load.close(client)
