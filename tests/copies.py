"""ZooKeeper servers whose data folders were copied while they ran, and are put back later."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence

from zk2etcd.sandbox import server_process


def copied(members: Sequence[server_process.Server], to: pathlib.Path) -> list[pathlib.Path]:
    """A copy of each one's data folder, as of one moment: all of them stand still meanwhile. Of
    copies that are seconds apart two may elect each other, and the third has more than they."""
    for each in members:
        each.freeze()
    try:
        return [copy(each, to / f"copy-{number}") for number, each in enumerate(members)]
    finally:
        for each in members:
            each.thaw()


def copy(member: server_process.Server, to: pathlib.Path) -> pathlib.Path:
    """A copy of its data, while it runs: files in the making come and go."""
    return pathlib.Path(shutil.copytree(member.data, to, ignore=shutil.ignore_patterns("*.tmp")))


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
