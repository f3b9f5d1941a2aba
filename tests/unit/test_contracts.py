"""The contracts of `.importlinter` are no ornament: each wrong import is named by the one meant."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests import documents

WRONG = {
    "The rooms of the control plane": ("zk2etcd/policy/handover.py", "zk2etcd.view.health"),
    "The rooms of the data plane": ("walk/etcd_keys.py", "zk2etcd_workers.shard.apply"),
    "The data plane stands on": ("ownership/member.py", "zk2etcd.policy.schedule"),
    "Workers unpickle a configuration": ("ownership/lineage.py", "zk2etcd.config.loader"),
    "Neither end of the admin address": ("zk2etcd/admin/routes.py", "zk2etcd.policy.lifecycle"),
    "A child process knows": ("zk2etcd/process/spawned.py", "zk2etcd.backoff"),
    "Of the control plane, only": ("zk2etcd/client/support.py", "zk2etcd_workers.model.tree"),
    "kazoo is imported": ("walk/sizing.py", "kazoo.client"),
    "etcd3 and grpc": ("ownership/records.py", "grpc"),
    "The web framework": ("zk2etcd/client/machine.py", "flask"),
    "Policy and model are pure": ("model/guard.py", "time"),
    "The configuration knows": ("zk2etcd/config/checks.py", "subprocess"),
    "The status document": ("zk2etcd/view/status.py", "prometheus_client"),
    "etcd's side and our own keys": ("etcd/limits.py", "zk2etcd_workers.model.tree"),
    "Trees are plain": ("model/tree.py", "zk2etcd_workers.model.progress"),
    "The queue of dirty paths": ("shard/dirty_paths.py", "zk2etcd_workers.model.plan"),
    "A mirror is given": ("mirror/base.py", "multiprocessing"),
}
"""By the first words of the contract: what is imported where it must not be."""


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of both packages and their contracts."""
    for package in ("zk2etcd", "workers"):
        skipped = shutil.ignore_patterns("__pycache__", "static", "templates")
        shutil.copytree(documents.ROOT / package, tmp_path / package, ignore=skipped)
    shutil.copy(documents.ROOT / ".importlinter", tmp_path)
    return tmp_path


def verdicts(tree: pathlib.Path) -> dict[str, bool]:
    """Each contract's name, and whether it is kept."""
    command = [str(pathlib.Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": f"{tree}:{tree / 'workers'}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line.partition(" (")[0].split() for line in done.stdout.splitlines()]
    ended = [line for line in lines if line and line[-1] in ("KEPT", "BROKEN")]
    assert ended, done.stdout + done.stderr
    return {" ".join(line[:-1]): line[-1] == "KEPT" for line in ended}


def test_the_source_keeps_all(tree: pathlib.Path) -> None:
    assert [name for name, kept in verdicts(tree).items() if not kept] == []


@pytest.mark.parametrize("contract", WRONG)
def test_a_wrong_import_is_noticed(contract: str, tree: pathlib.Path) -> None:
    place, module = WRONG[contract]
    root = tree if place.startswith("zk2etcd/") else tree / "workers" / "zk2etcd_workers"
    with (root / place).open("a") as file:
        file.write(f"\nimport {module}\n")
    (broken,) = [name for name, kept in verdicts(tree).items() if not kept]
    assert broken.startswith(contract)


def test_each_contract_has_its_wrong_import(tree: pathlib.Path) -> None:
    names = verdicts(tree)
    assert len(names) == len(WRONG)
    assert all(any(name.startswith(words) for name in names) for words in WRONG)


def test_a_room_that_nobody_placed_is_noticed(tree: pathlib.Path) -> None:
    (tree / "zk2etcd" / "attic.py").write_text('"""Nobody knows where it belongs."""\n')
    assert verdicts(tree)["The rooms of the control plane, high to low"] is False
