"""How far a base or a full sync is, as a worker reports it, against real servers."""

from __future__ import annotations

import pytest
import structlog.testing

from tests import polling
from tests.integration import mirroring
from zk2etcd import conditions, messages
from zk2etcd.logs import logger
from zk2etcd_workers.commands import generate
from zk2etcd_workers.walk import course
from zk2etcd_workers.zookeeper import protocol

SLOW = {"max_reads_per_second": 1000}


def seed(world: mirroring.World, parents: int, children: int) -> int:
    """A tree below the world's root; how many nodes it has, the root included."""
    with generate.Writer(world.zookeeper) as writer:
        writer.write(generate.plain(world.root, parents, children, 16))
    return 1 + parents + parents * children


def works(worker: mirroring.Worker, kind: conditions.WorkKind) -> list[messages.ShardReport]:
    """The reports made while a base or full sync ran."""
    found = [report.shards[0] for report in list(worker.reports) if report.shards]
    return [each for each in found if each.work is not None and each.work.kind == kind]


def test_a_slow_first_base_tells_how_far_it_is(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "ASK_AFTER", 0.2)
    monkeypatch.setattr(course, "SAY_EVERY", 0.5)
    nodes = seed(world, 20, 100)
    logger.set_level("info")
    with structlog.testing.capture_logs() as lines:
        worker = world.worker(zookeeper=SLOW)
        done = worker.follows()
    reports = works(worker, "base")
    assert len(reports) > 5
    steps = [report.work for report in reports if report.work is not None]
    assert all(step.read >= step.compared for step in steps)
    assert [step.compared for step in steps] == sorted(step.compared for step in steps)
    told = [report for report in reports if report.progress[1]]
    assert all(report.progress[0] <= report.progress[1] for report in told)
    assert told, "ZooKeeper did not tell how many nodes there are"
    assert {report.progress[1] for report in told} == {nodes}
    estimates = [step.remaining_seconds for step in steps if step.remaining_seconds is not None]
    assert estimates
    assert all(0 <= estimate < 20 for estimate in estimates)
    assert 100 < steps[-1].rate < 5000
    assert (done.work, done.progress, done.written) == (None, (nodes, nodes), nodes)
    said = [line for line in lines if line["event"] == "full sync under way"]
    assert said
    assert said[-1]["total"] == nodes
    assert said[-1]["shard"] == worker.shards[0].id


def test_a_server_that_hangs_up_on_the_count_is_not_asked_again(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "ASK_AFTER", 0.0)
    monkeypatch.setattr(protocol.CountBelow, "type", 199)
    nodes = seed(world, 10, 100)
    worker = world.worker(zookeeper=SLOW)
    worker.follows()
    assert len(world.equal()) == nodes
    assert worker.session.epoch > 1, "the server did not end the session"


def test_an_answer_out_of_turn_ends_the_connection_and_not_its_thread(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a server answers what it does not know, while it still works on what came before."""
    seed(world, 1, 1000)
    worker = world.worker()
    worker.follows()
    session = worker.session
    epoch = session.epoch
    paths = [world.path("parent-000000", f"child-{number:06d}") for number in range(1000)]
    monkeypatch.setattr(protocol.CountBelow, "type", 199)
    for _ in range(40):
        session.read([(protocol.GET_DATA, path.encode()) for path in paths], print, permits=0)
    session.count(world.root.encode(), print)
    polling.until(lambda: session.epoch > epoch + 1 and session.connected, 5, what="a connection")
    worker.follows()


def test_what_is_excluded_does_not_count(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "ASK_AFTER", 0.0)
    nodes = seed(world, 20, 100)
    exclude = [world.path("parent-000003"), world.path("parent-000005"), world.path("not-there")]
    worker = world.worker(zookeeper=SLOW, exclude=exclude)
    worker.follows()
    assert {each.progress[1] for each in works(worker, "base")} >= {nodes - 202}


def test_a_full_sync_of_what_is_equal_is_seen_to_move(world: mirroring.World) -> None:
    nodes = seed(world, 20, 100)
    worker = world.worker(zookeeper=SLOW)
    worker.follows()
    for child in range(100):
        world.etcd.put(world.path("parent-000002", f"child-{child:06d}"), b"tampered")
    done = worker.full_sync()
    reports = works(worker, "full_sync")
    assert {each.progress[1] for each in reports} == {nodes}
    assert len({each.work.compared for each in reports if each.work}) > 3
    assert reports[-1].work  # told now and then: what came last need not have been told yet
    assert 0 < reports[-1].work.written <= 100
    assert done.work is None
    assert done.written == nodes + 100


def test_keys_written_are_counted_over_all_of_a_mirrors_life(world: mirroring.World) -> None:
    seed(world, 1, 4)
    worker = world.worker()
    assert worker.follows().written == 6
    for value in (b"1", b"2"):
        world.zk.set(world.path("parent-000000"), value)
        world.equal()
    world.zk.delete(world.path("parent-000000", "child-000003"))
    world.equal()
    worker.wait(lambda report: report.written == 9, what="nine keys written")
