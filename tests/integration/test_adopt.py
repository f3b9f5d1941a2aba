"""`zk2etcd adopt` on real servers: what becomes ours, and what does not."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from tests import polling, proxy
from tests.integration import commands, mirroring, observing
from zk2etcd import messages
from zk2etcd_workers.mirror import full_sync

MARKS = {"ownership": "marks"}


def _base(world: mirroring.World, source: str, target: str) -> str:
    return f"{world.state}/owned/{messages.shard_id(source, target)}"


def _mirrored(world: mirroring.World) -> None:
    """As an older tool left it: equal, but for one value, one key of its own, and a missing one."""
    names = [f"n{number:03d}" for number in range(100)]
    observing.seed(world.zk, [(world.root, b""), *((world.path(name), b"v") for name in names)])
    world.etcd.put_many(world.wanted().items())
    world.etcd.put(world.path("n007"), b"older")
    world.etcd.put(world.path("gone"), b"v")
    world.etcd.delete(world.path("n008"))


def test_what_is_equal_becomes_ours(world: mirroring.World, adopt: commands.Command) -> None:
    _mirrored(world)
    before = world.etcd.below(world.root)
    assert adopt().code == 2, "it asks, and this is no terminal"
    outcome = adopt("--yes")
    assert outcome.code == 0, outcome
    assert "99 keys are equal" in outcome.out
    assert "1 have other values, and are left alone" in outcome.out
    assert "99 of 99 keys marked" in outcome.out
    assert world.etcd.below(world.root) == before, "no key was written"
    shard = commands_shard(world)
    worker = world.worker(shards=[shard])
    assert worker.follows().conflicts == 1
    polling.until(lambda: world.etcd.value(world.path("n008")) == b"v")
    for name in ("n001", "n002"):
        world.zk.set(world.path(name), b"new")
    world.zk.delete(world.path("n003"))
    polling.until(lambda: world.etcd.value(world.path("n002")) == b"new")
    polling.until(lambda: world.etcd.value(world.path("n003")) is None)
    assert world.etcd.value(world.path("n007")) == b"older"
    assert world.etcd.value(world.path("gone")) == b"v"
    base = _base(world, world.root, world.root)
    assert world.etcd.value(f"{base}{world.path('n003')}") is None, "its mark went too"
    # Beside a mirror that runs: its next full sync knows.
    world.etcd.put(world.path("n007"), b"v")
    assert "1 of 1 keys marked" in adopt("--yes").out
    worker.full_sync()
    worker.wait(lambda report: report.conflicts == 0)
    world.zk.set(world.path("n007"), b"new")
    polling.until(lambda: world.etcd.value(world.path("n007")) == b"new")
    assert "nothing to mark" in adopt("--yes").out


def commands_shard(world: mirroring.World) -> messages.Shard:
    shard = mirroring.shard(world.root, world.root)
    return messages.Shard(
        messages.shard_id(world.root, world.root), shard.source, shard.target, ownership="marks"
    )


def test_another_mirror_s_keys_are_its_own_until_it_is_named(
    world: mirroring.World, adopt: commands.Command
) -> None:
    one, other, to = world.path("one"), world.path("other"), world.path("to")
    world.zk.create(world.root, b"")
    for source in (one, other):
        observing.seed(world.zk, [(source, b""), (f"{source}/a", b"v"), (f"{source}/b", b"v")])
    former = messages.Shard(messages.shard_id(one, to), one, to, ownership="marks")
    worker = world.worker(shards=[former])
    worker.follows()
    worker.drain()
    adopt.configure(sync={"prefixes": [{"from": other, "to": to}], **MARKS})
    said = adopt("--yes").out
    assert f"3 are marked as those of {former.id}, and left to it" in said
    assert "nothing to mark" in said
    unknown = adopt("--yes", "--from", "nobody")
    assert unknown.code == 2
    assert former.id in unknown.err
    assert "3 of 3 keys marked" in adopt("--yes", "--from", former.id).out
    names = world.etcd.values(_base(world, one, to))
    assert list(names) == [_base(world, one, to).encode()], "the former marks are gone"
    heir = messages.Shard(messages.shard_id(other, to), other, to, ownership="marks")
    worker = world.worker(shards=[heir])
    assert worker.follows().conflicts == 0
    world.zk.delete(f"{other}/a")
    polling.until(lambda: world.etcd.value(f"{to}/a") is None)


def test_what_another_mirror_had_and_has_changed_since(
    world: mirroring.World, adopt: commands.Command
) -> None:
    """Of its keys only those are taken over that are still its own, and equal."""
    one, other, to = world.path("one"), world.path("other"), world.path("to")
    names = [f"n{number}" for number in range(6)]
    world.zk.create(world.root, b"")
    for source in (one, other):
        observing.seed(world.zk, [(source, b""), *((f"{source}/{name}", b"v") for name in names)])
    former = messages.Shard(messages.shard_id(one, to), one, to, ownership="marks")
    worker = world.worker(shards=[former])
    worker.follows()
    worker.drain()
    world.zk.set(f"{other}/n0", b"other")  # differs
    world.zk.delete(f"{other}/n1")  # no node
    world.etcd.delete(f"{to}/n2")  # no key
    for name in ("n3", "n4"):  # a stranger's by now; of one the mark is gone too
        world.etcd.delete(f"{to}/{name}")
        world.etcd.put(f"{to}/{name}", b"v")
    world.etcd.delete(f"{_base(world, one, to)}{to}/n4")
    before = world.etcd.below(to)
    adopt.configure(sync={"prefixes": [{"from": other, "to": to}], **MARKS})
    said = adopt("--yes", "--from", former.id).out
    assert "2 keys are equal" in said
    assert "1 have other values, and are left alone" in said
    assert "2 of 2 keys marked" in said, "the root and n5"
    assert world.etcd.below(to) == before
    mine = world.etcd.values(_base(world, other, to))
    base = _base(world, other, to)
    assert {key.decode().removeprefix(base) for key in mine} - {""} == {to, f"{to}/n5"}
    left = world.etcd.values(_base(world, one, to))
    base = _base(world, one, to)
    kept = {f"{to}/{name}" for name in ("n0", "n1", "n2", "n3")}
    assert {key.decode().removeprefix(base) for key in left} - {""} == kept
    # What is equal and nobody's is adopted without a name.
    assert "2 of 2 keys marked" in adopt("--yes").out, "n3 and n4"
    shard = messages.Shard(messages.shard_id(other, to), other, to, ownership="marks")
    worker = world.worker(shards=[shard])
    report = worker.follows()
    assert report.conflict_paths == (f"{other}/n0",)
    assert world.etcd.value(f"{to}/n1") == b"v"
    assert world.etcd.value(f"{to}/n2") == b"v"


def test_our_own_id_is_no_other_mirror(world: mirroring.World, adopt: commands.Command) -> None:
    _mirrored(world)
    assert adopt("--yes").code == 0
    shard = commands_shard(world)
    refused = adopt("--yes", "--from", shard.id)
    assert refused.code == 2
    assert "is this mirror's own" in refused.err


def test_what_a_mirror_with_another_state_prefix_has_is_its_own(
    world: mirroring.World, adopt: commands.Command
) -> None:
    """As two ensembles have that share a range; unless it is named, since it was given up."""
    observing.seed(world.zk, [(world.root, b""), (world.path("a"), b"v"), (world.path("b"), b"v")])
    worker = world.worker(shards=[commands_shard(world)])
    worker.follows()
    worker.drain()
    world.etcd.delete(world.path("b"))
    world.etcd.put(world.path("b"), b"v")
    former = _base(world, world.root, world.root)
    settings = {"prefixes": [world.root], **MARKS}
    adopt.configure(state={"prefix": f"{world.state}-new"}, sync=settings)
    said = adopt("--yes").out
    assert f"2 are marked as those of {former}, and left to it" in said
    assert "1 of 1 keys marked" in said, "b is nobody's"
    refused = adopt("--yes", "--from", "nobody")
    assert refused.code == 2
    assert former in refused.err
    assert "2 of 2 keys marked" in adopt("--yes", "--from", former).out
    left = set(world.etcd.values(former)) - {former.encode()}
    assert left == {f"{former}{world.path('b')}".encode()}, "it says nothing of b"
    world.state += "-new"
    worker = world.worker(shards=[commands_shard(world)])
    assert worker.follows().conflicts == 0


def test_a_full_sync_meanwhile_leaves_what_is_adopted(
    world: mirroring.World, adopt: commands.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger has made a key anew, with our value: our mark says nothing of it. A full sync is
    about to delete that mark while a person has the key adopted."""
    observing.seed(world.zk, [(world.root, b""), (world.path("a"), b"v")])
    shard = commands_shard(world)
    worker = world.worker(shards=[shard])
    worker.follows()
    world.etcd.delete(world.path("a"))
    world.etcd.put(world.path("a"), b"v")
    plain, said = full_sync.FullSync._collect, list[str]()

    def late(self: full_sync.FullSync, of: Any, orphans: Any) -> None:
        assert len(orphans) == 1
        monkeypatch.setattr(full_sync.FullSync, "_collect", plain)
        found = subprocess.run(
            [sys.executable, "-m", "zk2etcd", "adopt", "-c", str(adopt.path), "--yes"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        said.append(found.stdout)
        plain(self, of, orphans)

    monkeypatch.setattr(full_sync.FullSync, "_collect", late)
    worker.full_sync(60)
    assert "1 of 1 keys marked" in said[0]
    assert worker.full_sync().conflicts == 0
    world.zk.set(world.path("a"), b"new")
    polling.until(lambda: world.etcd.value(world.path("a")) == b"new")


def test_each_bucket_adopts_its_own(world: mirroring.World, adopt: commands.Command) -> None:
    _mirrored(world)
    adopt.configure(
        sync={"prefixes": [{"from": world.root, "to": world.root, "buckets": 3}], **MARKS}
    )
    said = adopt("--yes").out
    counts = [int(each) for each in re.findall(r"(\d+) of \d+ keys marked", said)]
    assert len(counts) == 3
    assert sum(counts) == 99
    assert "nothing to mark" in adopt("--yes").out
    worker = world.worker(shards=[commands_shard(world)])
    assert worker.follows().conflicts == 1


def test_a_server_that_is_away_is_3(world: mirroring.World, adopt: commands.Command) -> None:
    _mirrored(world)
    adopt.configure(
        etcd={"endpoints": ["http://127.0.0.1:1"]}, sync={"prefixes": [world.root], **MARKS}
    )
    assert adopt("--yes").code == 3


def test_killed_half_way_and_run_again(world: mirroring.World, adopt: commands.Command) -> None:
    """What is marked stays so, and is not asked about again."""
    names = [world.path(f"n{number:04d}") for number in range(1_500)]
    observing.seed(world.zk, [(world.root, b""), *((name, b"v") for name in names)])
    world.etcd.put_many(world.wanted().items())
    before = world.etcd.below(world.root)
    base = _base(world, world.root, world.root)
    with proxy.Proxy(world.etcd_address) as way:
        way.delay(0.05)
        settings = {"prefixes": [world.root], **MARKS}
        adopt.configure(etcd={"endpoints": [f"http://{way.address}"]}, sync=settings)
        command = [sys.executable, "-m", "zk2etcd", "adopt", "-c", str(adopt.path), "--yes"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as one:
            try:
                polling.until(lambda: len(world.etcd.below(base)) >= 120, 60)
            finally:
                one.kill()
    marked = len(world.etcd.below(base))
    assert 120 <= marked < 1_501, "it was killed too late"
    adopt.configure(sync={"prefixes": [world.root], **MARKS})
    said = adopt("--yes").out
    rest = 1_501 - len(world.etcd.below(base))
    assert rest == 0
    found = re.search(r"([\d,]+) of ([\d,]+) keys marked", said)
    assert found is not None
    assert found[1] == found[2]
    assert int(found[1].replace(",", "")) <= 1_501 - marked
    assert world.etcd.below(world.root) == before
    worker = world.worker(shards=[commands_shard(world)])
    assert worker.follows().conflicts == 0
