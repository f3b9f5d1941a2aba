"""The commands in the documents, run as they stand there by bash, on servers of their own.

Only the names of the servers are replaced, in the commands and in the files that they write.
`tests.documents` says how a block is marked.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests import documents, polling
from tests.acceptance import both_sides, installed
from zk2etcd.sandbox import server_process, servers

Scene = Callable[[both_sides.Sides], None]
STOPPED = "; the mirror stops"


def _readme(sides: both_sides.Sides) -> None:
    sides.seed("/dubbo", 10)


def _nothing(sides: both_sides.Sides) -> None:
    """The commands themselves make, and look at, all there is."""


def _with_etcdctl(sides: both_sides.Sides) -> None:
    if shutil.which("etcdctl") is None:
        pytest.skip("no etcdctl here: apt-get install etcd-client")
    sides.seed("/dubbo", 10)


def _migrating(sides: both_sides.Sides) -> None:
    """The older tool mirrored /dubbo, missed one change and one delete; /services is new."""
    sides.seed("/dubbo", 10)
    sides.zk.create("/dubbo/config", b"excluded")
    sides.seed("/services", 10)
    sides.zk.create("/services/cart", b"1")
    for number in range(10):
        sides.etcd.put(f"/dubbo/n{number}", b"v%d" % number)
    sides.etcd.put("/dubbo", b"")
    sides.etcd.put("/dubbo/n3", b"an older value")
    sides.etcd.put("/dubbo/left-behind", b"")


def _migrated(sides: both_sides.Sides) -> None:
    assert sides.etcd.value("/dubbo/n3") == b"v3"
    assert sides.etcd.value("/dubbo/left-behind") is None
    assert sides.etcd.value("/dubbo/config") is None
    assert sides.etcd.value("/services/cart") == b"1", "an exclude deletes nothing"
    assert sides.equal("/services")


SCENES: dict[str, tuple[Scene, Scene]] = {
    "readme": (_readme, lambda sides: sides.wait_equal("/dubbo")),
    "migrating": (_migrating, _migrated),
    "quickstart": (_nothing, _nothing),
    "configuration": (_nothing, _nothing),
    "etcd": (_with_etcdctl, _nothing),
}
"""What is there before, and what must be true after."""
LONG = ("migrating",)


class Terminal:
    """Runs blocks in one folder; the supervisor that one of them started lives on."""

    def __init__(self, folder: pathlib.Path, names: Mapping[str, str], address: str) -> None:
        self._folder, self._names, self._address = folder, names, address
        self._mirror: subprocess.Popen[bytes] | None = None
        self._said = ""

    def run(self, block: documents.Block) -> None:
        if STOPPED in block.mark:
            self.close()
        if block.shown is not None:
            unlike = documents.unlike(block.text, self._said)
            assert not unlike, f"{block}\n{unlike}\nin\n{self._said}"
        if block.scene is None:
            return
        if block.mark.endswith("; in the background"):
            self._start(block)
            return
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._named(block.text)],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == block.exit_code, f"{block}\n{done.stdout}\n{done.stderr}"
        self._said = self._unnamed(done.stdout + done.stderr)
        for path in self._folder.glob("*.yaml"):
            path.write_text(self._named(path.read_text("utf-8")), "utf-8")

    def close(self) -> None:
        if self._mirror is not None:
            self._mirror.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._mirror.wait(20)
            self._mirror.kill()
            self._mirror.wait()
            self._mirror = None

    def _start(self, block: documents.Block) -> None:
        self.close()
        with (self._folder / "mirror.log").open("ab") as log:
            self._mirror = subprocess.Popen(
                ["bash", "-c", f"exec {self._named(block.text)}"],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        polling.until(self._settled, 30, what=f"the mirror of {block} to be done with its base")

    def _settled(self) -> bool:
        """Every shard is held, or follows for long enough to know its lag: a reader types the next
        command some seconds later."""
        shards = self._status().get("shards", ())
        return bool(shards) and all(
            shard["phase"] == "guarded"
            or (shard["phase"] == "following" and shard["lag_seconds"] is not None)
            for shard in shards
        )

    def _status(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=2)
        try:
            connection.request("GET", "/status")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
            return found
        except (OSError, http.client.HTTPException):
            return {}
        finally:
            connection.close()

    def _named(self, text: str) -> str:
        for name, address in self._names.items():
            text = re.sub(re.escape(name) + r"(?!\d)", address, text)
        return text

    def _unnamed(self, text: str) -> str:
        """What was said, with the addresses that a reader has."""
        for name, address in reversed([*self._names.items()]):
            text = text.replace(address, name)
        return text

    def _environment(self) -> dict[str, str]:
        programs = str(pathlib.Path(installed.command()).parent)
        # Not the width of a terminal that the test runner says it has.
        ours = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        return {**ours, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def opened(
    fresh_zookeeper: servers.ZooKeeper, fresh_etcd: servers.Etcd, tmp_path: pathlib.Path
) -> Iterator[tuple[Terminal, both_sides.Sides]]:
    address = f"127.0.0.1:{server_process.free_port()}"
    names = {
        "127.0.0.1:9180": address,
        "zookeeper:2181": fresh_zookeeper.address,
        "127.0.0.1:2181": fresh_zookeeper.address,
        "etcd:2379": fresh_etcd.address,
        "127.0.0.1:2379": fresh_etcd.address,
    }
    sides = both_sides.Sides(fresh_zookeeper.address, fresh_etcd.address)
    terminal = Terminal(tmp_path, names, address)
    yield terminal, sides
    terminal.close()
    sides.close()


def _scenes() -> list[tuple[pathlib.Path, str]]:
    found = []
    for path in documents.documents():
        if path.name == "README.zh-CN.md":  # block for block that of README.md: test_readmes
            continue
        scenes = dict.fromkeys(block.scene for block in documents.blocks(path) if block.scene)
        found += [(path, scene) for scene in scenes]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "scene"),
    [
        pytest.param(*each, marks=(pytest.mark.long,) if each[1] in LONG else ())
        for each in _scenes()
    ],
    ids=lambda part: getattr(part, "name", part),
)
def test_the_commands_do_what_the_document_says(
    path: pathlib.Path, scene: str, opened: tuple[Terminal, both_sides.Sides]
) -> None:
    terminal, sides = opened
    before, after = SCENES[scene]
    before(sides)
    for block in documents.blocks(path):
        if scene in (block.scene, block.shown) or STOPPED in block.mark:
            terminal.run(block)
    after(sides)


def test_each_scene_is_played() -> None:
    assert {scene for _, scene in _scenes()} == set(SCENES)
