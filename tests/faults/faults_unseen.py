"""What happens in ZooKeeper while zk2etcd cannot look: a root that is another one afterwards, most
of a prefix gone, which the guard has to hold, and a server that is behind what was mirrored."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator

import kazoo.client

from tests.faults import drawing, load, oracle, world

SESSION_SECONDS = 2.0
_ENOUGH = 25
"""More deletes than that trip the guard."""


@contextlib.contextmanager
def unseen(on: world.World) -> Iterator[kazoo.client.KazooClient]:
    """A client of ZooKeeper, while zk2etcd has none."""
    for each in on.zk_proxies:
        each.refuse()
    client = on.client()
    try:
        yield client
    finally:
        load.close(client)
        for each in on.zk_proxies:
            each.accept()


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
    # A release that is under way would allow these deletes as well.
    if not _await(lambda: _ready(on)):
        on.note("no mass delete: the guard is busy, or was left with more than it should have")
        _delete(on, _more())
        return
    on.note(f"most of {root} is deleted behind zk2etcd's back")
    began = time.monotonic()
    deleted = []
    with unseen(on) as client:
        for number in luck.sample(range(40), 30):
            path = f"{root}/n{number}"
            with contextlib.suppress(*load.MISSED):
                client.delete_async(path).get(timeout=load.PATIENCE)
                deleted.append(path)
        keys = {path.encode() for path in deleted} & _present(on)
    if len(keys) <= _ENOUGH:
        on.note("too few of them were mirrored for the guard to mind")
    elif luck.random() < 0.7 and _await(lambda: _is_guarded(on)):
        # Counted anew, the deletes would be few among these: the trip must be remembered.
        _create(on, _more())
        on.restart_somebody(luck)
        time.sleep(lasts)
    if len(keys) > _ENOUGH:
        _await(lambda: _is_guarded(on))
        if not _is_forgotten(on, began):
            _must_be_held(on, keys)
    _await(lambda: not on.release_guards() and not _is_guarded(on))
    _create(on, deleted)
    _delete(on, _more())


def _more() -> list[str]:
    return [f"{drawing.GUARDED}/more{number}" for number in range(100)]


def _await(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within the time that a restart may take. While other faults are on it
    may well not."""
    deadline = time.monotonic() + world.LEASE_TTL + 4.0
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _is_forgotten(on: world.World, since: float) -> bool:
    """Whether nobody may know of a trip any more: etcd was put back, perhaps to before it, and a
    supervisor that knew has died."""
    back, died = on.etcd_put_back_at, on.supervisor_lost_at
    return back is not None and died is not None and min(back, died) > since


def _is_guarded(on: world.World) -> bool:
    return "guarded" in on.phases(drawing.GUARDED)


def _ready(on: world.World) -> bool:
    """The shard follows, and has no other keys than those of which most are to go: what an earlier
    fault could not delete would make the ratio too small to trip."""
    below = f"{drawing.GUARDED}/more".encode()
    clean = not any(key.startswith(below) for key in on.found())
    return clean and len(_present(on)) > _ENOUGH and "following" in on.phases(drawing.GUARDED)


def _present(on: world.World) -> set[bytes]:
    """The guarded keys that are in etcd."""
    below = f"{drawing.GUARDED}/n".encode()
    return {key for key in on.found() if key.startswith(below)}


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
        stale.accept()
        time.sleep(lasts)
        on.note("the others are back")
        for each in on.zk_proxies:
            each.heal()
    twin.kill()


def _must_be_held(on: world.World, keys: set[bytes]) -> None:
    missing = keys - on.found().keys()
    if missing:
        text = (
            f"{len(missing)} of {len(keys)} keys whose nodes were deleted unseen went "
            "without a release"
        )
        on.violations.append(oracle.Violation("I2", "guard", min(missing).decode(), text))


def _create(on: world.World, paths: list[str]) -> None:
    client = on.client()
    for number, path in enumerate(paths):
        with contextlib.suppress(*load.MISSED):
            load.create(client, path, f"again {number} {time.monotonic()}".encode())
    load.close(client)


def _delete(on: world.World, paths: list[str]) -> None:
    client = on.client()
    for path in paths:
        with contextlib.suppress(*load.MISSED):
            client.delete_async(path).get(timeout=load.PATIENCE)
    load.close(client)
