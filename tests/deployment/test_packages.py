"""The wheel and the sdist: what is in them, and that they work where nothing else is."""

from __future__ import annotations

import json
import pathlib
import re
import sys
import tarfile
import zipfile

import pytest

from tests.deployment import packages
from zk2etcd.config import reference

pytestmark = pytest.mark.slow

_PACKAGES = ("zk2etcd", "workers/zk2etcd_workers")
_EVERY_MODULE = """
import importlib, pkgutil, zk2etcd, zk2etcd_workers
for package in (zk2etcd, zk2etcd_workers):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith(".__main__"):
            importlib.import_module(found.name)
print("all of them")
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    if not (packages.ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return packages.cloned(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def sdist(clone: pathlib.Path) -> pathlib.Path:
    return packages.built(clone, "sdist")


@pytest.fixture(scope="module")
def from_sdist(sdist: pathlib.Path) -> pathlib.Path:
    """The wheel that the sdist builds, where there is no git, neither folder nor program."""
    folder = sdist.parent.with_name("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    assert not (source / ".git").exists()
    return packages.built(source, "wheel", bare=True)


@pytest.fixture(scope="module")
def released(clone: pathlib.Path, sdist: pathlib.Path) -> pathlib.Path:
    """The wheel of a tagged commit; after the sdist, whose version would be the tag's."""
    assert sdist.exists()
    packages.git(clone, "tag", "v9.8.7")
    return packages.built(clone, "wheel")


def environment(wheel: pathlib.Path) -> packages.Environment:
    return packages.Environment(wheel.parent.with_name(f"{wheel.parent.name}-venv"), wheel)


def test_the_sdist_holds_the_whole_source(clone: pathlib.Path, sdist: pathlib.Path) -> None:
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert packages.tracked(clone) - found == set()
    assert "zk2etcd/_version.py" in found


def test_the_wheel_holds_the_packages_and_nothing_else(
    clone: pathlib.Path, released: pathlib.Path, from_sdist: pathlib.Path
) -> None:
    """Templates, static files and py.typed too; no tests, and no package called `workers`."""
    wanted = {name.removeprefix("workers/") for name in packages.tracked(clone, *_PACKAGES)}
    assert {"zk2etcd/py.typed", "zk2etcd_workers/py.typed"} <= wanted
    assert any(name.startswith("zk2etcd/admin/web/templates/") for name in wanted)
    for wheel in (released, from_sdist):
        names = zipfile.ZipFile(wheel).namelist()
        assert {name for name in names if ".dist-info/" not in name} == {
            *wanted,
            "zk2etcd/_version.py",
        }


def test_a_release_is_installed(clone: pathlib.Path, released: pathlib.Path) -> None:
    fresh = environment(released)
    assert fresh.pip("check").strip() == "No broken requirements found."
    found = json.loads(fresh.zk2etcd("version", "--json"))
    assert (found["version"], found["commit"]) == (
        "9.8.7",
        packages.git(clone, "rev-parse", "HEAD"),
    )
    assert "missing" not in found["dependencies"].values()
    assert fresh.zk2etcd("config", "default") == reference.render()
    assert packages.run(fresh.python, "-c", _EVERY_MODULE) == "all of them\n"
    tops = {path.name for path in fresh.site.iterdir()}
    assert {"zk2etcd", "zk2etcd_workers"} <= tops
    assert not tops & {"workers", "tests", "benchmarks"}


def test_the_wheel_of_an_sdist_knows_its_commit(
    clone: pathlib.Path, from_sdist: pathlib.Path
) -> None:
    fresh = environment(from_sdist)
    assert fresh.pip("check").strip() == "No broken requirements found."
    found = json.loads(fresh.zk2etcd("version", "--json"))
    commit = packages.git(clone, "rev-parse", "HEAD")
    assert found["commit"] == commit
    named = re.search(r"\+g([0-9a-f]{7,})$", found["version"])
    assert named is not None
    assert commit.startswith(named.group(1))
    assert found["built_at"] is not None
    assert found["python"] == sys.version.split()[0]
