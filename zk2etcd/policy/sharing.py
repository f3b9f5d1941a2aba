"""What a supervisor that shares its shards with others does next: pure, from one look to the next.

Leaderless. Every member decides for itself, by the census that it has; etcd compares each act with
what it was decided by. `tests/unit/policy/test_sharing_search.py` tries all orders of two members.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from zk2etcd import acts, census
from zk2etcd.policy import claiming, moving, situation


class Step(NamedTuple):
    """`failing` is what our own member key shall say. `wakes_at`: the next claim (monotonic), None
    if none is foreseen; what else only takes time may be looked at each second. `foreseen`: how
    many shards we shall most likely claim soon."""

    memory: situation.Memory
    acts: tuple[acts.Act, ...]
    failing: frozenset[str]
    wakes_at: float | None
    foreseen: int = 0


def step(
    before: situation.Memory,
    seen: census.Census,
    own: situation.Own,
    rules: situation.Rules,
    now: float,
) -> Step:
    """After a new census, after a change of our own, and when `wakes_at` has come."""
    memory = situation.remembered(before, seen, own, now)
    at = situation.Situation(seen, own, memory, rules, now)
    if own.draining or not at.is_old:
        at = dataclasses.replace(at, memory=moving.decided(at))
    leaving, failing = tuple(moving.leave(at)), moving.troubled(at)
    if own.draining or at.is_old:
        return Step(at.memory, leaving, failing, None)
    claims = claiming.claims(at)
    freed = (*leaving, *moving.withdraw(at))
    chosen = (*freed, *claims.acts, *moving.take(at), *moving.offer(at))
    memory = dataclasses.replace(at.memory, queue=claims.queue)
    return Step(memory, chosen, failing, claims.wakes_at, claiming.foreseen(at))
