"""Which zk2etcd this is: read from what the build left, never from git at run time.

setuptools-scm writes `_version.py` at the build (`version`, `commit_id`, `built_at`). Without it
the installed metadata tell the version; its local part names the commit of an unreleased build.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import platform
import re

UNKNOWN = "0+unknown"


@dataclasses.dataclass(frozen=True)
class Info:
    """`commit` and `built_at` (RFC 3339 UTC) are None when the build did not leave them."""

    version: str
    commit: str | None
    built_at: str | None
    python: str


@functools.cache
def info() -> Info:
    """The facts about this installation."""
    generated = _generated()
    version = generated.get("version") or _installed() or UNKNOWN
    local = re.search(r"\+(?:.*\.)?g([0-9a-f]{7,40})", version)
    commit = generated.get("commit_id", "").removeprefix("g") or (local and local.group(1))
    return Info(version, commit or None, generated.get("built_at"), platform.python_version())


def dependencies() -> dict[str, str]:
    """The distributions zk2etcd needs at run time and their installed versions, by name."""
    found = {}
    for requirement in importlib.metadata.requires("zk2etcd") or () if _installed() else ():
        if "extra ==" not in requirement:
            name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
            found[name] = _version_of(name) or "missing"
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _generated() -> dict[str, str]:
    try:
        module = importlib.import_module("zk2etcd._version")
    except ModuleNotFoundError:
        return {}
    names = ("version", "commit_id", "built_at")
    return {name: str(getattr(module, name)) for name in names if getattr(module, name, None)}


def _installed() -> str | None:
    return _version_of("zk2etcd")


def _version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
