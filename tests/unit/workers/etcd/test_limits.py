"""What an etcd was found to take, and what follows from calls that were not answered."""

from __future__ import annotations

import pytest

from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd_workers.etcd import limits


def learned(**settings: float) -> limits.Learned:
    found = limits.Learned(connections.Etcd.model_validate(settings))
    found.up.room = found.down.room = 1_000_000
    return found


@pytest.mark.parametrize("failure", [errors.EtcdUnavailable, errors.AmbiguousWrite])
def test_nobody_knows_which_way_was_too_long_for_what_was_not_answered(
    failure: type[errors.EtcdError],
) -> None:
    found = learned()
    found.unanswered(failure("deadline exceeded"), 5.0, 100.0)
    assert found.up.room == found.down.room == 250_000


@pytest.mark.parametrize(
    ("failure", "took"),
    [(None, 5.0), (errors.NoSpace("full"), 5.0), (errors.EtcdUnavailable("refused"), 0.1)],
)
def test_a_refusal_or_an_early_end_says_nothing_of_the_line(
    failure: errors.EtcdError | None, took: float
) -> None:
    found = learned()
    found.unanswered(failure, took, 100.0)
    assert found.up.room == found.down.room == 1_000_000


def test_who_waits_for_long_still_keeps_the_line_free_for_its_lease() -> None:
    found = learned(request_timeout=60.0)
    found.unanswered(errors.EtcdUnavailable("cut off"), 3.0, 100.0)
    assert found.down.room == 250_000


def test_as_many_txns_as_are_configured_fit_on_a_line_that_is_no_bound() -> None:
    found = limits.Learned(connections.Etcd(txn_bytes=1_000_000, txn_in_flight=20))
    for number in range(60):
        found.up.take(number, found.up.room, 1.0)
        found.up.ended(number, found.up.room, 1.001)
    assert found.up.room == 20_000_000


def test_fewer_reads_are_never_none() -> None:
    found = learned()
    assert found.reads == 100
    assert found.fewer_reads(100)
    assert found.reads == 50
    assert not found.fewer_reads(1)
    assert found.reads == 1
