"""What a machine that has little time does to many shards that start."""

from __future__ import annotations

import pytest

from tests import polling, starving
from tests.acceptance import conftest, installed

MANY, SHARE, PATIENCE = 120, 0.08, 100.0


@pytest.mark.long
def test_many_shards_start_on_a_machine_that_has_little_time(
    mirrors: conftest.Mirrors, prefix: str
) -> None:
    """Workers under a container's limit of 80 millicores each. What they have begun, they end;
    their loop turns meanwhile, so that nobody kills them, and none of them begins again."""
    supervisor = mirrors.made(
        prefix, *(f"p{number:03d}" for number in range(MANY)), nodes=1, workers={"count": 2}
    )
    supervisor.launch()
    polling.until(lambda: len(supervisor.events("worker runs")) == 2, 30, what="the workers")
    family = installed.family(supervisor)
    pids = [each.pid for each in family if "zk2etcd worker" in " ".join(each.cmdline())]

    def done() -> bool:
        return len(supervisor.events("base done")) >= MANY

    assert len(pids) == 2
    with starving.starving(lambda: pids, SHARE):
        polling.until(done, PATIENCE, every=0.5, what="all bases")
    assert supervisor.events("killing worker") == []
    assert len(supervisor.events("base done")) == MANY
    supervisor.wait_following(30)
