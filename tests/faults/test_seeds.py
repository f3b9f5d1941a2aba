"""A short run of the whole suite for `make test`, with a fresh seed.

`make faults` has the long ones. A failure's message names its seed.
"""

from __future__ import annotations

import random
import sys

import pytest

from tests.faults import drawing, run, servers

SECONDS = 8.0
FRESH = random.SystemRandom().randrange(1000, 1_000_000)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "seed", [pytest.param(1, marks=pytest.mark.long), FRESH], ids=["1", "fresh"]
)
def test_nothing_that_is_promised_breaks(seed: int) -> None:
    sys.stdout.write(f"seed {seed}\n")
    run.run(seed, SECONDS).check()


def test_a_plan_follows_from_its_seed() -> None:
    made_of = run.scene(5)
    assert run.plan(5, 30.0, made_of) == run.plan(5, 30.0, made_of)
    assert run.plan(5, 30.0, made_of) != run.plan(6, 30.0, made_of)


def test_every_kind_of_fault_is_drawn_within_ten_seeds() -> None:
    """Seeds 1 to 10 of a minute are what a release is judged by."""
    drawn: set[str] = set()
    known: set[str] = set()
    for seed in range(1, 11):
        made_of = run.scene(seed)
        known |= {kind.name for kinds in run.lanes(made_of).values() for kind in kinds}
        drawn |= {f.kind for lane in run.plan(seed, 60.0, made_of).lanes.values() for f in lane}
    assert drawn == known


def test_the_servers_of_a_seed_keep_the_releases_that_were_asked_for() -> None:
    asked = servers.Servers(zookeeper_classpath="/x/zookeeper.jar", etcd_binary="/x/etcd")
    sizes = set()
    for seed in range(3):
        made_of = run.scene(seed, asked)
        assert made_of.zookeeper_classpath == "/x/zookeeper.jar"
        assert made_of.etcd_binary == "/x/etcd"
        sizes.add((made_of.zookeepers, made_of.etcds))
    assert sizes == {(1, 1), (1, 3), (3, 1)}


def test_operations_and_faults_are_within_the_time() -> None:
    plan = run.plan(4, 10.0, servers.Servers())
    assert len(plan.operations) == 10 * drawing.RATE
    assert all(0 <= each.at < 10 for each in plan.operations)
    assert all(f.at + f.lasts <= 10.01 for lane in plan.lanes.values() for f in lane)
