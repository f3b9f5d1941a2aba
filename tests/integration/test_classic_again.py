"""Without recursive watches: a shard that starts again over a connection that stands, on which what
changed meanwhile was told to nobody, or to one that left it out."""

from __future__ import annotations

import time

import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages

CLASSIC = {"protocol": "classic"}


@pytest.fixture
def grown(world: mirroring.World) -> mirroring.World:
    observing.seed(
        world.zk,
        [
            (world.root, b""),
            *((world.path(name), b"") for name in ("a", "b")),
            (world.path("b/x"), b""),
        ],
    )
    return world


def shard(world: mirroring.World, name: str, *exclude: str) -> messages.Shard:
    return mirroring.shard(world.path(name), world.path(name), exclude)


def knows(worker: mirroring.Worker, path: str) -> bool:
    """Whether a child of that name is no news over its connection."""
    standing = worker.session._standing
    assert standing is not None
    return path.encode() in standing.watches.known


def follows(worker: mirroring.Worker, *shards: messages.Shard) -> None:
    """These are its shards now, and mirrored."""
    generation = worker.reports[-1].generation
    worker.assign({}, list(shards))
    polling.until(lambda: worker.reports[-1].generation > generation)
    worker.follows()


def test_what_came_and_went_while_it_was_left_out_is_new_when_it_comes_back(
    grown: mirroring.World,
) -> None:
    world, (a, b) = grown, (shard(grown, "a"), shard(grown, "b"))
    worker = world.worker(shards=[a, b], zookeeper=CLASSIC)
    worker.follows()
    epoch = worker.session.epoch
    follows(worker, a, shard(world, "b", world.path("b/x")))
    world.zk.create(world.path("b/x/node"))
    polling.until(lambda: knows(worker, world.path("b/x/node")), what="it is listed")
    world.zk.delete(world.path("b/x/node"))
    follows(worker, a, b)
    world.zk.create(world.path("b/x/node"), b"again")
    world.equal(source=world.path("b"), target=world.path("b"))
    assert worker.session.epoch == epoch


def test_what_ended_while_nobody_mirrored_it_is_new_when_it_comes_back(
    grown: mirroring.World,
) -> None:
    """The only watch of an ephemeral is used up by a change."""
    world, (a, b) = grown, (shard(grown, "a"), shard(grown, "b"))
    world.zk.create(world.path("b/x/node"), ephemeral=True)
    worker = world.worker(shards=[a, b], zookeeper=CLASSIC)
    worker.follows()
    epoch = worker.session.epoch
    follows(worker, a)
    world.zk.set(world.path("b/x/node"), b"changed")
    world.zk.delete(world.path("b/x/node"))
    polling.until(lambda: not knows(worker, world.path("b/x/node")), what="it is told of")
    follows(worker, a, b)
    world.zk.create(world.path("b/x/node"), b"again", ephemeral=True)
    world.equal(source=world.path("b"), target=world.path("b"))
    assert worker.session.epoch == epoch


def test_it_is_fresh_when_it_comes_back(grown: mirroring.World) -> None:
    """A list that changed while nobody mirrored it, of a node that is gone by now, is not waited
    for."""
    world, (a, b) = grown, (shard(grown, "a"), shard(grown, "b"))
    worker = world.worker(shards=[a, b], zookeeper=CLASSIC)
    worker.follows()
    epoch = worker.session.epoch
    follows(worker, a)
    world.zk.set(world.path("b/x"), b"changed")
    world.zk.create(world.path("b/x/node"))
    world.zk.delete(world.path("b/x"), recursive=True)
    polling.until(lambda: not knows(worker, world.path("b/x")), what="it is told of")
    follows(worker, a, b)
    now = time.time()
    worker.wait(lambda each: (each.synced_at or 0) > now, 8, number=1)
    assert worker.session.epoch == epoch
    world.equal(source=world.path("b"), target=world.path("b"))
