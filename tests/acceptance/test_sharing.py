"""Supervisors of one configuration with `cluster.mode: share`: each mirrors its part."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import threading
import time
from collections.abc import Sequence
from concurrent import futures

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed, metrics_text
from zk2etcd import errors
from zk2etcd.sandbox import servers

LEASE_SECONDS = 10.0
COUNT = 30
NAMES = tuple(f"p{number:02}" for number in range(COUNT))

pytestmark = [pytest.mark.alone, pytest.mark.long]


class Owners:
    """Who has each shard, looked at again and again: for how long each had nobody, at most."""

    def __init__(self, sides: both_sides.Sides, state: str) -> None:
        self._sides, self._state = sides, state
        self._since: dict[bytes, float] = {}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="owners", daemon=True)
        self.longest: dict[bytes, float] = {}
        self.moved: set[bytes] = set()
        self._last: dict[bytes, str] = {}

    def __enter__(self) -> Owners:
        self._last = self.by_shard()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(10)

    def by_shard(self) -> dict[bytes, str]:
        found = self._sides.owners(self._state).items()
        return {key: str(json.loads(each.value)["instance"]) for key, each in found}

    def _run(self) -> None:
        while not self._ends.wait(0.05):
            now, owners = time.monotonic(), self.by_shard()
            for key, before in self._last.items():
                if key not in owners:
                    since = self._since.setdefault(key, now)
                    self.longest[key] = max(self.longest.get(key, 0.0), now - since)
                    continue
                self._since.pop(key, None)
                if owners[key] != before:
                    self.moved.add(key)
                    self._last[key] = owners[key]


def _made(
    mirrors: conftest.Mirrors, prefix: str, count: int, **cluster: object
) -> list[installed.Supervisor]:
    """So many of the same configuration, not started."""
    first = mirrors.made(
        prefix,
        *NAMES,
        nodes=3,
        state={"lease_ttl": f"{LEASE_SECONDS:g}s"},
        workers={"count": 1},
        cluster={"mode": "share", "move_after": "2s", **cluster},
    )
    return [first, *(mirrors.supervise(first.content) for _ in range(count - 1))]


def _mine(supervisor: installed.Supervisor) -> set[str]:
    """The prefixes that it has and that follow."""
    with contextlib.suppress(errors.Unreachable):
        shards = supervisor.shards().items()
        return {path for path, s in shards if s["owned"] and s["phase"] == "following"}
    return set()


def _moves(supervisors: Sequence[installed.Supervisor]) -> dict[str, float]:
    """What they count of shards that came to them, without what moved as they started."""
    found: collections.Counter[str] = collections.Counter()
    for each in supervisors:
        for sample, count in metrics_text.parse(each.ask("/metrics")[1]).items():
            if sample.startswith("zk2etcd_shard_moves_total{") and "balance" not in sample:
                found[sample.partition('"')[2].partition('"')[0]] += int(count)
    return {reason: count for reason, count in found.items() if count}


def _have_all(supervisors: Sequence[installed.Supervisor]) -> bool:
    return sum(len(_mine(each)) for each in supervisors) == COUNT


def _start(supervisors: Sequence[installed.Supervisor]) -> None:
    """All at once."""
    with futures.ThreadPoolExecutor(len(supervisors)) as pool:
        list(pool.map(lambda each: each.start(), supervisors))


def _wait_shared(supervisors: Sequence[installed.Supervisor], *, timeout: float = 90.0) -> None:
    def shared() -> bool:
        loads = sorted(len(_mine(each)) for each in supervisors)
        return sum(loads) == COUNT and loads[-1] - loads[0] <= 1

    what = f"{len(supervisors)} supervisors share {COUNT} shards"
    polling.until(shared, timeout, every=0.1, what=what)


@pytest.fixture
def three(mirrors: conftest.Mirrors, prefix: str) -> list[installed.Supervisor]:
    """They have a third each."""
    found = _made(mirrors, prefix, 3)
    _start(found)
    _wait_shared(found)
    return found


def test_three_share_thirty_prefixes_and_each_shows_all(
    three: list[installed.Supervisor], sides: both_sides.Sides, prefix: str
) -> None:
    assert [len(_mine(each)) for each in three] == [10, 10, 10]
    names = {str(each.status()["instance"]) for each in three}
    owners = Owners(sides, f"zk2etcd{prefix}").by_shard()
    assert collections.Counter(owners.values()) == dict.fromkeys(names, 10)
    for each in three:
        assert each.status()["state"] == "ready"
        assert each.ask("/readyz")[0] == 200
        samples = metrics_text.parse(each.ask("/metrics")[1])
        assert (samples["zk2etcd_members"], samples["zk2etcd_shards_owned"]) == (3, 10)
        assert samples["zk2etcd_members_differing"] == 0
        for shard in each.shards().values():
            assert shard["error"] is None
            if not shard["owned"]:
                assert shard["phase"] == "waiting"
                assert shard["holder"] in names
    sides.wait_equal(*(f"{prefix}/{name}" for name in NAMES))


def test_any_of_them_takes_orders_for_all_and_shows_how_all_do(
    three: list[installed.Supervisor],
) -> None:
    one, two, three_ = three
    path = min(_mine(two))
    shard = one.shard_id(path)
    asked = installed.run("pause", shard, "--wait", "--url", one.url)
    assert (asked.returncode, asked.stdout) == (0, f"{shard}: paused\n"), asked.stderr
    assert two.shards()[path]["phase"] == "paused"
    shown = json.loads(installed.run("status", "--json", "--url", three_.url).stdout)
    found = {each["id"]: each for each in shown["shards"]}
    assert found[shard]["phase"] == "paused"
    assert "@" in found[shard]["pause"]["by"]
    assert " by way of 127.0.0.1" in found[shard]["pause"]["by"]
    assert sum(each["phase"] == "following" for each in shown["shards"]) == COUNT - 1
    asked = installed.run("resume", "--yes", "--wait", "--url", three_.url)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.splitlines()[1:] == [f"{shard}: resumed"]
    asked = installed.run("full-sync", "--wait", "--url", one.url, timeout=120.0)
    assert asked.returncode == 0, asked.stderr
    assert len(asked.stdout.splitlines()) == COUNT
    two.signal(signal.SIGSTOP)  # it owns its shards still, and answers nobody
    try:
        asked = installed.run("pause", shard, "--url", one.url)
        assert asked.returncode == 3
        assert f"{shard} is owned by " in asked.stderr
        assert f" at {two.url}, which does not answer" in asked.stderr
    finally:
        two.signal(signal.SIGCONT)


def test_what_a_killed_one_had_is_mirrored_by_the_others_within_its_lease(
    three: list[installed.Supervisor],
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
) -> None:
    gone, *others = three
    lost = min(_mine(gone))
    kept = {each.url: _mine(each) for each in others}
    with both_sides.Load(zookeeper.address, lost):
        gone.kill()
        killed_at = time.monotonic()
        polling.until(lambda: _have_all(others), LEASE_SECONDS + 10, what="the others have all")
        took = time.monotonic() - killed_at
    assert took < LEASE_SECONDS + 3
    assert _moves(others) == {"loss": 10}
    assert all(kept[each.url] <= _mine(each) for each in others), "nothing else has moved"
    sides.wait_equal(lost)


def test_one_that_stops_hands_its_part_over_at_once(
    three: list[installed.Supervisor],
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    prefix: str,
) -> None:
    gone, *others = three
    lost = min(_mine(gone))
    with (
        Owners(sides, f"zk2etcd{prefix}") as owners,
        both_sides.Load(zookeeper.address, lost),
    ):
        code, _ = gone.stop_with(signal.SIGTERM)
        stopped_at = time.monotonic()
        polling.until(lambda: _have_all(others), what="the others have all")
        took = time.monotonic() - stopped_at
    assert code == 0
    assert took < 2.0
    assert len(owners.moved) == 10
    assert _moves(others) == {"stop": 10}
    assert max(owners.longest.values(), default=0.0) < 1.0
    sides.wait_equal(lost)


def test_who_joins_gets_its_part_after_a_while_and_nothing_else_moves(
    mirrors: conftest.Mirrors, sides: both_sides.Sides, prefix: str
) -> None:
    *both, new = _made(mirrors, prefix, 3)
    _start(both)
    _wait_shared(both)
    before = {each.url: _mine(each) for each in both}
    with Owners(sides, f"zk2etcd{prefix}") as owners:
        new.start()
        _wait_shared([*both, new], timeout=90.0)
        polling.until(lambda: _have_all([*both, new]), what="all are mirrored")
    assert len(owners.moved) == 10
    assert all(_mine(each) <= before[each.url] for each in both)
    away = sorted(owners.longest.values())
    assert away[len(away) // 2] < 1.0
    assert away[-1] < LEASE_SECONDS / 3, "nobody waits for a lease"
    sides.wait_equal(*(f"{prefix}/{name}" for name in NAMES))


def test_one_that_is_frozen_loses_its_part_and_is_given_one_again(
    three: list[installed.Supervisor], sides: both_sides.Sides, prefix: str
) -> None:
    frozen, *others = three
    family = installed.family(frozen)
    frozen.signal(signal.SIGSTOP)
    for process in family:
        process.suspend()
    what = "the others have all"
    polling.until(lambda: _have_all(others), LEASE_SECONDS + 20, every=0.1, what=what)
    for process in family:
        process.resume()
    frozen.signal(signal.SIGCONT)
    _wait_shared(three, timeout=90.0)
    sides.wait_equal(*(f"{prefix}/{name}" for name in NAMES))
