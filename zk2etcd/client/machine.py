"""Facts about the machine, or container, in which we run, for a bug report."""

from __future__ import annotations

import os
import pathlib
import platform
import resource
import shutil
import sys
import tempfile
from typing import Any

import psutil

from zk2etcd import cpus

_CGROUP = pathlib.Path("/sys/fs/cgroup")
_LIMITS = (
    *("memory.max", "memory.current", "memory.events", "cpu.max", "cpu.stat", "pids.max"),
    *("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def facts() -> dict[str, Any]:
    """Plain data. Of the environment only the names of what concerns us, no values."""
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(tempfile.gettempdir())
    return {
        "python": sys.version,
        "executable": sys.executable,
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "cpus": {"machine": os.cpu_count(), "usable": cpus.usable(), "load": os.getloadavg()},
        "memory": {"total": memory.total, "available": memory.available},
        "temporary_folder": {"path": tempfile.gettempdir(), "free": disk.free},
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "cgroup": {name: text for name in _LIMITS if (text := _read(_CGROUP / name))},
        "user": os.getuid(),
        "variables": sorted(
            name for name in os.environ if name.startswith(("ZK2ETCD", "GRPC_", "PYTHON", "LC_"))
        ),
    }


def _read(file: pathlib.Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
