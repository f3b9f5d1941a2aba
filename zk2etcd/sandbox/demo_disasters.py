"""The two nights that nobody wants: etcd put back to a snapshot, and a ZooKeeper that lost all.

The one must be noticed and put right without a person, the other must not be put right without one.
"""

from __future__ import annotations

from typing import Any

from zk2etcd.sandbox import demo_stage

LOST = 50
REBUILT = ("/dubbo", "/services", "/settings")


def etcd_restored(stage: demo_stage.Stage) -> str:
    """What was mirrored after the snapshot is gone from etcd, and comes back by itself."""
    snapshot = stage.box.folder / "snapshot.db"
    stage.etcd.save(snapshot)
    for number in range(LOST):
        stage.writer.create(f"/dubbo/later-{number}", b"after the snapshot")
    demo_stage.until(
        lambda: stage.value(f"/dubbo/later-{LOST - 1}") is not None, 10, "the changes in etcd"
    )
    stage.etcd.kill()
    stage.etcd.restore(snapshot)
    stage.etcd.start()
    took = demo_stage.until(
        lambda: all(stage.value(f"/dubbo/later-{number}") for number in range(LOST)),
        15,
        "what the snapshot did not have",
    )
    stage.expect_equal()
    if took > 5:
        raise demo_stage.Broken(f"equal only {took:.1f} s after etcd was back")
    return f"{LOST} keys that the snapshot did not have are back {took:.1f} s after etcd is"


def zookeeper_wiped(stage: demo_stage.Stage) -> str:
    """An empty ensemble answers readily. Nothing goes until a person says that it is the right one,
    and then only what they were shown."""
    from zk2etcd_workers.commands import generate  # noqa: PLC0415

    before = sum(map(stage.keys, REBUILT))
    stage.zookeeper.stop()
    stage.zookeeper.wipe()
    stage.zookeeper.start()
    stage.reconnect()
    for root in REBUILT:
        stage.seed(generate.plain(root, 2, 2, 64))
    demo_stage.until(lambda: _held(stage), 60, "every shard held")
    if (after := sum(map(stage.keys, REBUILT))) != before:
        raise demo_stage.Broken(f"{before - after:,} of {before:,} keys are gone")
    code, text = stage.command("status")
    if code != 1 or "identity:" not in text:
        raise demo_stage.Broken(f"status exited {code} and said: {text.strip()}")
    releases = _release(stage)
    return (
        f"{before:,} keys stayed, status says why and exits 1; after {releases} releases etcd has"
        f" the {sum(map(stage.keys, REBUILT))} that ZooKeeper has now"
    )


def _held(stage: demo_stage.Stage) -> bool:
    return all(shard["guard"] for shard in _shards(stage))


def _release(stage: demo_stage.Stage) -> int:
    """How often a person had to say that it is right: this is our ZooKeeper, and what it lacks may
    go, as soon as each shard shows it."""
    releases = 0

    def equal() -> bool:
        nonlocal releases
        if any(shard["guard"] for shard in _shards(stage)):
            stage.command("release", "--yes", "--wait")
            releases += 1
            return False
        return stage.supervisor.following() and stage.command("diff")[0] == 0

    demo_stage.until(equal, 60, "equal after the releases", every=0.2)
    return releases


def _shards(stage: demo_stage.Stage) -> list[dict[str, Any]]:
    shards: list[dict[str, Any]] = stage.supervisor.status()["shards"]
    return shards
