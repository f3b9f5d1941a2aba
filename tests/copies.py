"""ZooKeeper servers whose data folders were copied while they ran, and are put back later."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence

from zk2etcd.sandbox import server_process


def copied(members: Sequence[server_process.Server], to: pathlib.Path) -> list[pathlib.Path]:
    """A copy of each one's data folder, while it runs."""
    return [copy(each, to / f"copy-{number}") for number, each in enumerate(members)]


def copy(member: server_process.Server, to: pathlib.Path) -> pathlib.Path:
    """A copy of its data as of one moment: the server stands still meanwhile. A log that is copied
    before the last of it is written, and the next one after that, would leave a hole between them,
    which ZooKeeper does not notice."""
    member.freeze()
    try:
        made = shutil.copytree(member.data, to, ignore=shutil.ignore_patterns("*.tmp"))
    finally:
        member.thaw()
    return pathlib.Path(made)


def put_back(members: Sequence[server_process.Server], saved: Sequence[pathlib.Path]) -> None:
    """All of them stop, get their copies, and start again."""
    for each in members:
        each.stop()
    for each, one in zip(members, saved, strict=True):
        each.wipe()
        shutil.copytree(one, each.data)
    for each in members:
        each.launch()
    for each in members:
        each.wait_ready()
