"""What a worker's connections begin with."""

from __future__ import annotations

import contextlib

import pytest

from tests.integration import mirroring
from zk2etcd import messages
from zk2etcd.config import models
from zk2etcd.sandbox import servers
from zk2etcd_workers import sides


@pytest.mark.parametrize(
    ("incarnation", "rate", "may"), [(1, None, True), (2, None, False), (1, 1_000, False)]
)
def test_a_worker_in_the_place_of_one_that_ended_takes_no_values_for_small(
    etcd: servers.Etcd, incarnation: int, rate: int | None, *, may: bool
) -> None:
    """The one before may have ended of the memory that they took. Nor does one with a rate: it says
    itself how many may be read."""
    settings = models.Config.model_validate(
        {
            "zookeeper": {"max_reads_per_second": rate},
            "etcd": {"endpoints": [etcd.url]},
            "sync": {"prefixes": ["/a"]},
        }
    )
    identity = messages.Identity("host-1-00000000", "w0", incarnation)
    spec = messages.WorkerSpec(identity, settings, "", "error", dry_run=True)
    with contextlib.closing(sides.Sides(settings, spec, mirroring.Counting(), "")) as made:
        assert made.session.may_trust is may
