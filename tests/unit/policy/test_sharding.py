from __future__ import annotations

import collections
import hashlib
import random
import re
import string

from hypothesis import given, strategies as st

from tests.unit import settings
from zk2etcd import messages
from zk2etcd.config import models
from zk2etcd.policy import sharding

IDS = st.sets(st.text(string.ascii_lowercase, min_size=1, max_size=6), max_size=30)
COUNTS = st.integers(1, 9)


def slots(count: int) -> list[str]:
    return [f"w{index}" for index in range(count)]


def loads(assignment: dict[str, str]) -> collections.Counter[str]:
    return collections.Counter(assignment.values())


@given(IDS, COUNTS, st.randoms(use_true_random=False))
def test_bounded_complete_and_independent_of_order(
    ids: set[str], count: int, rng: random.Random
) -> None:
    assignment = sharding.assign(ids, slots(count), {})
    assert assignment.keys() == ids
    assert all(load <= -(-len(ids) // count) for load in loads(assignment).values())
    shuffled = list(ids)
    rng.shuffle(shuffled)
    assert sharding.assign(shuffled, list(reversed(slots(count))), {}) == assignment


@given(IDS, IDS, IDS, COUNTS, COUNTS)
def test_a_reload_keeps_what_the_bound_allows(
    stay: set[str], gone: set[str], new: set[str], before: int, after: int
) -> None:
    current = sharding.assign(stay | gone, slots(before), {})
    wanted = (stay | new) - (gone - stay)
    bound = -(-len(wanted) // after)
    assignment = sharding.assign(wanted, slots(after), current)
    for slot in slots(after):
        here = {shard for shard in wanted if current.get(shard) == slot}
        kept = {shard for shard in here if assignment[shard] == slot}
        assert len(kept) == min(len(here), bound)


@given(IDS, COUNTS)
def test_assigning_again_moves_nothing(ids: set[str], count: int) -> None:
    assignment = sharding.assign(ids, slots(count), {})
    assert sharding.assign(ids, slots(count), assignment) == assignment


def test_the_hash_is_the_same_in_every_process() -> None:
    assert sharding.assign(["a", "b", "c", "d", "e"], slots(3), {}) == {
        "a": "w1",
        "b": "w0",
        "c": "w0",
        "d": "w1",
        "e": "w2",
    }


def test_an_id_is_a_slug_and_a_digest() -> None:
    digest = hashlib.sha256(b"/a b/\xc3\xbc\0/x\0" + b"2/4").hexdigest()[:8]
    assert messages.shard_id("/a b/ü", "/x", 2, 4) == f"a-b-{digest}"
    assert messages.shard_id("/", "/").startswith("root-")
    assert messages.shard_id("/dubbo", "/dubbo") != messages.shard_id("/dubbo", "/other")


@given(st.text(), st.text())
def test_an_id_is_safe_in_urls_and_labels(source: str, target: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9-]{10,49}", messages.shard_id("/" + source, target))


def test_a_shard_takes_the_excludes_that_concern_it() -> None:
    cfg = settings.configured(
        ["/dubbo", {"from": "/services", "to": "/m/s", "exclude": ["/services/config"]}],
        sync={"exclude": ["/dubbo/config", "/dubbo2/x", "/services/tmp"]},
    )
    dubbo, services = sharding.shards(cfg)
    assert (dubbo.source, dubbo.target, dubbo.exclude) == ("/dubbo", "/dubbo", ("/dubbo/config",))
    assert services.exclude == ("/services/config", "/services/tmp")


def test_an_exclude_above_a_prefix_leaves_nothing_of_it() -> None:
    excluded = sharding._excluded("/dubbo/x", ["/dubbo", "/dubbo/xy"])
    assert excluded == ("/dubbo/x",)
    assert sharding._excluded("/", ["/a", "/b/c"]) == ("/a", "/b/c")


def test_slots_are_named_by_their_number() -> None:
    cfg = settings.configured(workers={"count": 3})
    assert sharding.slots(cfg, _not_asked) == ("w0", "w1", "w2")


def test_auto_asks_for_the_cpus_and_takes_so_many_slots_at_most() -> None:
    cfg = settings.configured()
    assert sharding.slots(cfg, lambda: 2) == ("w0", "w1")
    assert len(sharding.slots(cfg, lambda: 64)) == models.MOST_WORKERS


def _not_asked() -> int:
    raise AssertionError("a fixed count needs no look at the machine")
