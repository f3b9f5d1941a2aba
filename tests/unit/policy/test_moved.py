"""Why a shard came to us."""

from __future__ import annotations

import dataclasses

import pytest

from zk2etcd import census
from zk2etcd.policy import moved

HERE, THERE = census.Member("us"), census.Member("them")


def known(
    owner: str | None,
    *members: census.Member,
    offer: census.Offer | None = None,
) -> census.Census:
    owners = {} if owner is None else {"s": census.Owner(owner, 7)}
    names = {each.name: each for each in members or (HERE, THERE)}
    return census.Census(1, names, owners, {} if offer is None else {"s": offer})


def counted(*found: census.Census) -> dict[str, int]:
    moves, before = moved.Moves(), None
    for each in found:
        moves, before = moved.seen(moves, before, each, "us"), each
    assert not (before and before.owners.get("s") and moves.left)
    return {why: count for why, count in moves.counts.items() if count}


TAKEN = census.Offer("them", "us", 3, taken=True)
OFFERED = dataclasses.replace(TAKEN, taken=False)
DRAINING = dataclasses.replace(THERE, draining=True)
FAILING = dataclasses.replace(THERE, failing=frozenset({"s"}))


@pytest.mark.parametrize(
    ("last", "then", "why"),
    [
        (known("them", offer=TAKEN), known(None), "balance"),
        (known("them", HERE, DRAINING), known(None, HERE, DRAINING), "stop"),
        (known("them", HERE, DRAINING), known(None, HERE), "stop"),
        (known("them"), known(None, HERE, DRAINING), "stop"),
        (known("them"), known(None, HERE), "loss"),
        (known("them"), known(None), "loss"),
        (known("them", HERE, FAILING), known(None, HERE, FAILING), "error"),
        (known("them"), known(None, HERE, FAILING), "error"),
        (known("them", offer=OFFERED), known(None), "balance"),
        (known("them", offer=OFFERED), known(None, HERE), "loss"),
        (known("them", offer=dataclasses.replace(TAKEN, giver="third")), known(None), "loss"),
    ],
)
def test_who_takes_it_counts_why_its_owner_let_it_go(
    last: census.Census, then: census.Census, why: str
) -> None:
    assert counted(last, then, known("us")) == {why: 1}
    assert counted(last, known("us", *then.members.values())) == {why: 1}, "none between was seen"


def test_what_nobody_had_or_another_took_or_we_had_is_no_move_of_ours() -> None:
    assert counted(known(None), known("us")) == {}
    assert counted(known("us"), known("us")) == {}
    assert counted(known("them"), known(None), known("third")) == {}
    assert counted(known("us"), known(None), known("us")) == {}
    back = (known("them"), known(None), known("third"), known(None), known("us"))
    assert counted(*back) == {"loss": 1}
