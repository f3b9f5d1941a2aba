"""The product as files: its packages, their rooms, and the modules in them."""

from __future__ import annotations

import functools
import pathlib

from tests import documents

PACKAGES = (documents.ROOT / "zk2etcd", documents.ROOT / "workers" / "zk2etcd_workers")


@functools.cache
def files() -> tuple[pathlib.Path, ...]:
    return tuple(sorted(path for package in PACKAGES for path in package.rglob("*.py")))


@functools.cache
def modules() -> dict[str, pathlib.Path]:
    """By what the architecture calls them, such as `supervisor/fleet` and `mirror/base`."""
    found: dict[str, pathlib.Path] = {}
    for package in PACKAGES:
        for path in sorted(package.rglob("[!_]*.py")):
            name = path.relative_to(package).with_suffix("").as_posix()
            assert name not in found, f"both packages have {name}: which one does a table mean?"
            found[name] = path
    return found


@functools.cache
def rooms() -> dict[str, pathlib.Path]:
    """The `__init__` of each room, which is a package within one of the two: by its name, such as
    `supervisor` and `admin/web`."""
    return {
        path.parent.relative_to(package).as_posix(): path
        for package in PACKAGES
        for path in sorted(package.rglob("__init__.py"))
        if path.parent != package
    }
