"""Faults of the data itself: keys tampered with, history compacted, rights taken, no space left."""

from __future__ import annotations

import random
import time

import kazoo.exceptions
import kazoo.security

from tests.faults import drawing, load, world

KINDS = (
    drawing.Kind("compact", 0.3, 2.0, 3),
    drawing.Kind("tamper", 0.1, 1.5, 4),
    drawing.Kind("take_rights", 0.5, 4.0, 3),
)
SMALL = (drawing.Kind("no_space", 1.0, 4.0, 3),)
"""Only with a small quota."""


def inject(on: world.World, fault: drawing.Fault) -> None:
    """Do it, wait, and undo it."""
    luck = random.Random(fault.luck)
    steps = {
        "compact": _compact,
        "tamper": _tamper,
        "take_rights": _take_rights,
        "no_space": _no_space,
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
    on.tampered |= {p.path(key) for key in touched for p in world.PREFIXES if p.has(key)}
    on.hand.write(puts, chosen[3:])
    time.sleep(lasts)


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


def _no_space(on: world.World, _luck: random.Random, lasts: float) -> None:
    """etcd refuses every write until an operator has made room."""
    on.note("etcd runs out of space")
    number = 0
    while not on.hand.out_of_space() and number < 200:
        on.hand.write({b"driver/fill": b"%d" % number + b"." * 1_000_000})
        number += 1
    time.sleep(lasts)
    on.hand.reclaim(on.watcher.revision)
    on.note("etcd has space again")
