"""Faults of the data itself: keys tampered with, history compacted, rights taken, no space left."""

from __future__ import annotations

import contextlib
import random
import time

import kazoo.client
import kazoo.exceptions
import kazoo.security

from tests.faults import drawing, load, oracle, watcher, world

KINDS = (
    drawing.Kind("compact", 0.3, 2.0, 3),
    drawing.Kind("tamper", 0.1, 1.5, 4),
    drawing.Kind("take_rights", 0.5, 4.0, 3),
    drawing.Kind("rights_sweep", 2.5, 5.0, 2),
)
DRIFT = (drawing.Kind("compact", 0.3, 2.0, 3), drawing.Kind("strangers", 0.5, 3.0, 9))
"""Where a watch is to tell what strangers write, and nothing else finds it."""
_TWICE = 2
"""So often a key is put right again without delay, or nearly so."""
_NOTICED = 2.5
"""Seconds that it may take until a right that is gone is known."""
SMALL = (drawing.Kind("no_space", 1.0, 4.0, 3),)
"""Only with a small quota."""
LOGINS = (drawing.Kind("auth_off", 0.5, 3.0, 3),)
"""Only where etcd asks for a login."""


def inject(on: world.World, fault: drawing.Fault) -> None:
    """Do it, wait, and undo it."""
    luck = random.Random(fault.luck)
    steps = {
        "compact": _compact,
        "tamper": _tamper,
        "strangers": _strangers,
        "take_rights": _take_rights,
        "rights_sweep": _rights_sweep,
        "no_space": _no_space,
        "auth_off": _auth_off,
    }
    steps[fault.kind](on, luck, fault.lasts)


def _compact(on: world.World, luck: random.Random, lasts: float) -> None:
    on.note("etcd is compacted again and again")
    end = time.monotonic() + lasts
    while time.monotonic() < end:
        on.hand.compact(on.watcher.revision)
        time.sleep(luck.uniform(0.02, 0.2))


def _tamper(on: world.World, luck: random.Random, lasts: float) -> None:
    """Mirrored keys are changed, deleted, and invented by hand."""
    on.note("keys are tampered with")
    # What the guard is tested with is left alone.
    keys = sorted(key for key in on.found() if not key.startswith(drawing.GUARDED.encode()))
    chosen = luck.sample(keys, min(len(keys), 6))
    ghosts = [f"/conf/s{luck.randrange(5)}/ghost{number}".encode() for number in range(2)]
    puts = dict.fromkeys([*chosen[:3], *ghosts], b"tampered")
    touched = [*puts, *chosen[3:]]
    on.tampered |= {p.path(key) for key in touched if (p := on.index.of(key)) is not None}
    on.hand.write(puts, chosen[3:])
    time.sleep(lasts)


def _strangers(on: world.World, luck: random.Random, lasts: float) -> None:
    """Mirrored keys are changed and deleted, one after another, some of them at once. Where a node
    goes at the same moment no key is left of theirs: that would be a full sync's to delete."""
    found = [key for key, value in on.found().items() if on.hurt.get(key, 0) < _TWICE]
    keys = sorted(key for key in found if not key.startswith(drawing.GUARDED.encode()))
    chosen, end = luck.sample(keys, min(len(keys), 150)), time.monotonic() + lasts
    on.note("strangers write")
    while chosen and time.monotonic() < end:
        some = [chosen.pop() for _ in range(min(len(chosen), luck.choice((1, 1, 1, 5))))]
        on.tampered |= {p.path(key) for key in some if (p := on.index.of(key)) is not None}
        for key in some:
            on.hurt[key] = on.hurt.get(key, 0) + 1
        on.hand.change({key: luck.choice((None, b"theirs")) for key in some})
        time.sleep(luck.uniform(0.0, 0.04))


def _take_rights(on: world.World, luck: random.Random, lasts: float) -> None:
    """Nobody but the owner of a password may read some nodes for a while."""
    root = luck.choice(drawing.ROOTS)
    paths = [f"{root}/s{luck.randrange(5)}" for _ in range(2)]
    paths += [f"{path}/n{luck.randrange(6)}" for path in paths]
    on.note(f"rights are taken: {' '.join(paths)}")
    client = on.owner()
    allowed = [kazoo.security.make_digest_acl("owner", "secret", all=True)]
    on.unreadable |= set(paths)
    for path in paths:
        world.set_rights(client, path, allowed)
    time.sleep(lasts)
    # Also those whose taking went unanswered; what fails here is done when all is healed.
    for path in paths:
        world.set_rights(client, path, kazoo.security.OPEN_ACL_UNSAFE)
    load.close(client)


def _rights_sweep(on: world.World, luck: random.Random, lasts: float) -> None:
    """A whole prefix belongs to somebody else for a while, its root too, and goes on changing. No
    event tells; what is called fresh must not be what was there before."""
    root = luck.choice(drawing.ROOTS)
    on.note(f"{root} is given to somebody else, as a whole")
    client = on.owner()
    allowed = [kazoo.security.make_digest_acl("owner", "secret", all=True)]
    with contextlib.suppress(*load.MISSED):
        paths = _paths(client, root)
        on.unreadable |= {root}
        swept = [world.set_rights(client, path, allowed) for path in paths]
        since = time.time()
        time.sleep(lasts)
        if swept[-1] and lasts > _NOTICED:
            _must_be_stale(on, root, since)
        for path in _paths(client, root):
            world.set_rights(client, path, kazoo.security.OPEN_ACL_UNSAFE)
    load.close(client)


def _paths(client: kazoo.client.KazooClient, root: str) -> list[str]:
    """What is at and below `root` now, that last."""
    below: list[str] = []
    for name in client.get_children_async(root).get(timeout=load.PATIENCE):
        with contextlib.suppress(kazoo.exceptions.NoNodeError):
            below += _paths(client, f"{root}/{name}")
    return [*below, root]


def _must_be_stale(on: world.World, root: str, since: float) -> None:
    """Nobody says that what may not be read is as new as after it could be read."""
    for supervisor, shard in on.shards_of(root):
        lag = shard["lag_seconds"]
        if lag is None or time.time() - lag < since + _NOTICED:
            continue
        if shard["phase"] == "following":
            text = f"{supervisor.address} says {lag:.1f} s, long after anybody could read it"
            on.violations.append(oracle.Violation("I7", "fresh", root, text))


def _no_space(on: world.World, _luck: random.Random, lasts: float) -> None:
    """etcd refuses every write until an operator has made room."""
    on.note("etcd runs out of space")
    number = 0
    while not on.hand.out_of_space() and number < 200:
        on.hand.write({b"driver/fill": b"%d" % number + b"." * 1_000_000})
        number += 1
    full = on.watcher.counted(on.hand.revision()) if on.hand.out_of_space() else 0
    time.sleep(lasts)
    _must_be_refused(on, full)
    on.hand.reclaim(on.watcher.revision)
    on.note("etcd has space again")


def _auth_off(on: world.World, _luck: random.Random, lasts: float) -> None:
    """etcd's authentication is off for a while: who has a login is served without it as well."""
    on.note(f"etcd asks for no login: {on.hand.ask_for_logins(False)}")
    time.sleep(lasts)
    on.note(f"etcd asks for a login again: {on.hand.ask_for_logins(True)}")


def _must_be_refused(on: world.World, full: int) -> None:
    """Whoever else writes is told that there is no room: so are we, and not only they. One that was
    put back meanwhile has room."""
    if full // watcher.ERA != on.watcher.counted(0) // watcher.ERA:
        return
    late = [
        event
        for event in list(on.watcher.events)
        if full
        and event.revision > full
        and event.value is not None
        and on.index.of(event.key) is not None
    ]
    if late:
        text = f"{len(late)} keys were put after etcd had told others that it is full"
        on.violations.append(oracle.Violation("I7", "quota", late[0].key.decode(), text))
