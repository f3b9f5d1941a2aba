"""`zk2etcd diff` and `zk2etcd check` on a world, called as the entry point calls them."""

from __future__ import annotations

import json
import pathlib
from typing import Any, NamedTuple

import pytest
import yaml

from tests.acceptance import installed
from tests.integration import mirroring
from zk2etcd.cli import main
from zk2etcd.config import loader
from zk2etcd.policy import sharding

QUICK = ("--round-interval", "50ms")
"""What keeps the rounds of a `diff` short."""


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Command:
    """One subcommand with a configuration file for a world; call it with further arguments."""

    def __init__(
        self,
        name: str,
        world: mirroring.World,
        folder: pathlib.Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._name = name
        self._world = world
        self._capsys = capsys
        self.path = folder / "config.yaml"
        self.configure()

    def configure(self, **sections: dict[str, Any]) -> None:
        """Write the file again, with these keys over the world's."""
        world = self._world
        content: installed.Settings = {
            "zookeeper": {"hosts": [world.zookeeper]},
            "etcd": {"endpoints": [f"http://{world.etcd_address}"]},
            "state": {"prefix": world.state},
            "sync": {"prefixes": [world.root]},
        }
        self.path.write_text(yaml.safe_dump(installed.laid_over(content, **sections)), "utf-8")

    @property
    def shard(self) -> str:
        """The id of the first shard."""
        return sharding.shards(loader.load([str(self.path)]).config)[0].id

    def __call__(self, *arguments: str) -> Outcome:
        self._capsys.readouterr()
        code = main.run([self._name, "-c", str(self.path), *arguments])
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)
