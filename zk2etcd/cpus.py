"""How many CPUs this process may really use.

In a pod the machine's count is the wrong figure: affinity and the cgroup's quota are the truth,
and a worker for every core of a 64-core node would only fight over two.
"""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Iterator

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_SELF = pathlib.Path("/proc/self/cgroup")


def usable(affinity: int | None = None, quota: float | None = None) -> int:
    """CPUs that may be used, at least 1: the smaller of affinity and quota, a part counted whole.

    Both default to what the kernel says of this process.
    """
    cores = affinity if affinity is not None else len(os.sched_getaffinity(0))
    limit = quota if quota is not None else cgroup_quota()
    return max(1, cores if limit is None else min(cores, math.ceil(limit)))


def cgroup_quota(
    cgroups: pathlib.Path = _CGROUPS, membership: pathlib.Path = _SELF
) -> float | None:
    """The tightest CPU quota on the way from our cgroup to the root, None without any.

    Reads `cpu.max` (cgroup v2) and `cpu.cfs_quota_us` / `cpu.cfs_period_us` (v1).
    """
    quotas = [
        quota
        for folder in _folders(cgroups, membership)
        for quota in (_v2(folder), _v1(folder))
        if quota is not None
    ]
    return min(quotas, default=None)


def _folders(cgroups: pathlib.Path, membership: pathlib.Path) -> Iterator[pathlib.Path]:
    """Each cgroup folder that binds us, from ours upwards.

    In a cgroup namespace our own path is "/", and the mount's root is what binds.
    """
    for line in _read(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        inside = root / path.strip("/")
        while inside != root and root in inside.parents:
            yield inside
            inside = inside.parent
        yield root


def _v2(folder: pathlib.Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _v1(folder: pathlib.Path) -> float | None:
    return _ratio(
        _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
    )


def _ratio(quota: str, period: str) -> float | None:
    """CPUs, None for "max", -1 and anything that is not a pair of positive numbers."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _read(file: pathlib.Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
