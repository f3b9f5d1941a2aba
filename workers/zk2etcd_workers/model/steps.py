"""What a worker does next about its mirrors: stop what is not wanted as it runs, and start what is
missing once that has let go, for a shard that comes back has the same owner key. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zk2etcd import messages
from zk2etcd.config import mirroring


class Running(NamedTuple):
    """A mirror that has not let go yet, and the settings that it was started with."""

    shard: messages.Shard
    sync: mirroring.Sync
    stopping: bool


class Steps(NamedTuple):
    """`stop` by id, some of them told before; `start` is None until nothing stops any more."""

    stop: Sequence[str]
    start: Sequence[messages.Shard] | None


def steps(target: messages.Assign, running: Mapping[str, Running], *, connected: bool) -> Steps:
    """:param connected: the connections are made as `target` has it; else no mirror may go on."""
    wanted = {shard.id: shard for shard in target.shards}
    sync = target.config.sync
    stop = [
        shard_id
        for shard_id, each in running.items()
        if not (connected and each.shard == wanted.get(shard_id) and _goes_on(each.sync, sync))
    ]
    if stop or any(each.stopping for each in running.values()):
        return Steps(stop, None)
    return Steps((), [shard for shard in wanted.values() if shard.id not in running])


def _goes_on(mine: mirroring.Sync, wanted: mirroring.Sync) -> bool:
    """No setting has changed that a mirror keeps to from its start."""
    return _kept(mine) == _kept(wanted)


def _kept(sync: mirroring.Sync) -> tuple[object, ...]:
    return sync.ephemeral, sync.ephemeral_grace, sync.deletes, sync.delete_guard, sync.drift
