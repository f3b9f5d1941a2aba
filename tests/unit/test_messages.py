"""What supervisor and workers tell each other of shards that are shared."""

from __future__ import annotations

import pickle

from zk2etcd import acts, census, messages


def _census(shards: int, members: int) -> census.Census:
    names = [f"zk2etcd-{number}-1a2b3c4d" for number in range(members)]
    ids = [
        messages.shard_id(f"/services/{number}", f"/services/{number}") for number in range(shards)
    ]
    present = {name: census.Member(name, frozenset(ids)) for name in names}
    owners = {each: census.Owner(names[at % members], at + 1) for at, each in enumerate(ids)}
    return census.Census(shards + 1, present, owners)


def test_all_of_it_is_the_same_at_the_other_end() -> None:
    member = census.Member("a", frozenset({"x", "y"}), 2, draining=True, label="one")
    offers = acts.MakeOffer("x", "b", 7, 9), acts.TakeOffer("y", 3), acts.Withdraw("z", 4)
    for told in (
        messages.Standing(member, "0" * 12, "1.2"),
        messages.Offers(offers),
        messages.Gathered(_census(5, 2), 0.25, 3),
        messages.Report("w0", 1, 1, (), (), 0.0, True, let_go={"x": 7}, untold="no answer"),
    ):
        assert pickle.loads(pickle.dumps(told)) == told


def test_a_census_of_a_thousand_shards_is_small() -> None:
    """It is told at each change, some times a second at most."""
    said = messages.Gathered(_census(1000, 8), 0.0, 1)
    assert len(pickle.dumps(said)) < 128 * 1024
