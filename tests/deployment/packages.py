"""Wheels and sdists of the checkout as it is, and virtual environments that hold one of them.

A package is installed with what its own metadata ask for, and nothing else: those distributions
are borrowed from the environment of the tests, so no network is needed, and a dependency that
setup.cfg forgot is missing.
"""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import shutil
import sys
import venv
from collections.abc import Iterator

from packaging import requirements

from tests import processes

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command: str, cwd: pathlib.Path | None = None, bare: bool = False) -> str:
    """What the command wrote to stdout; AssertionError with all it said if it failed. `bare`:
    with no program on its PATH."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if bare:
        environment["PATH"] = str(pathlib.Path(sys.executable).parent)
    done = processes.run(command, cwd=cwd, env=environment, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def git(repository: pathlib.Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    return run("git", "-C", str(repository), *identity, *arguments).strip()


def cloned(folder: pathlib.Path) -> pathlib.Path:
    """A clean clone, whose last commit holds also what is not committed here yet."""
    clone = folder / "clone"
    git(ROOT, "clone", "--quiet", "--shared", str(ROOT), str(clone))
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, clone / name)
        else:
            (clone / name).unlink()
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "As it is")
    return clone


def tracked(clone: pathlib.Path, *under: str) -> set[str]:
    return set(git(clone, "ls-files", "-z", *under).strip("\0").split("\0"))


def built(source: pathlib.Path, kind: str, bare: bool = False) -> pathlib.Path:
    """The wheel or the sdist of `source`."""
    target = source.with_name(f"{source.name}-{kind}")
    command = (sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir")
    run(*command, str(target), str(source), cwd=source.parent, bare=bare)
    (package,) = target.iterdir()
    return package


class Environment:
    """A virtual environment with this package and what it asks for."""

    def __init__(self, folder: pathlib.Path, package: pathlib.Path) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self.python = str(folder / "bin" / "python")
        self.command = str(folder / "bin" / "zk2etcd")
        (self.site,) = folder.glob("lib/python*/site-packages")
        self.pip("install", "--quiet", "--no-deps", "--no-index", str(package))
        for name in sorted(_needed(self.site)):
            self._borrow(name)

    def pip(self, *arguments: str) -> str:
        quiet = "--disable-pip-version-check"
        return run(sys.executable, "-m", "pip", "--python", self.python, quiet, *arguments)

    def zk2etcd(self, *arguments: str) -> str:
        return run(self.command, *arguments, cwd=self.site)

    def _borrow(self, name: str) -> None:
        files = importlib.metadata.files(name) or ()
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            place = self.site / top
            if not place.is_symlink():
                origin = importlib.metadata.distribution(name).locate_file(top)
                place.symlink_to(pathlib.Path(str(origin)))


def _needed(site: pathlib.Path) -> set[str]:
    """The distributions that the zk2etcd in `site` needs, directly or not."""
    (ours,) = importlib.metadata.distributions(name="zk2etcd", path=[str(site)])
    found: set[str] = set()
    waiting = list(_asked(ours))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _asked(importlib.metadata.distribution(name))
    return found


def _asked(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    for line in distribution.requires or ():
        requirement = requirements.Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
