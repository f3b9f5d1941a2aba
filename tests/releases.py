"""Other releases of the servers than the installed ones, as scripts/other-releases.sh unpacks them.

A test that asks for one which cannot be had is skipped, with the reason; it never passes without
having met it.
"""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess

import pytest

_SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "other-releases.sh"
_SECONDS = 300
_JARS = (
    # jute first: the manifest of zookeeper.jar names the installed one by its full path.
    *("zookeeper-jute", "zookeeper", "slf4j-api", "slf4j-simple", "log4j-1.2"),
    *("netty-buffer", "netty-codec", "netty-common", "netty-handler", "netty-resolver"),
    *("netty-transport", "netty-transport-native-epoll", "netty-transport-native-unix-common"),
    *("snappy-java", "metrics-core", "commons-cli", "commons-io", "findbugs-annotations"),
    *("jackson-annotations", "jackson-core", "jackson-databind"),
    *("jetty9-http", "jetty9-io", "jetty9-security", "jetty9-server", "jetty9-servlet"),
    "jetty9-util",
    "servlet-api",
)
_INSTALLED = pathlib.Path("/usr/share/java")

ZOOKEEPER_3_4 = ETCD_3_3 = "bullseye"
ETCD_3_5_16 = "trixie"
ZOOKEEPER_3_9 = ETCD_3_5_30 = "sid"
"""The suites that carry them; sid moves on, and the newest release is what it is here for."""


def class_path(suite: str) -> str:
    """For `Sandbox.zookeeper(class_path=...)`; skips the test if the release is not to be had."""
    jars = [unpacked(suite) / "usr/share/java" / f"{name}.jar" for name in _JARS]
    if not jars[-1].exists():  # unpacked before it was asked for; an interface, no code
        jars[-1] = _INSTALLED / jars[-1].name
    return os.pathsep.join(str(jar) for jar in jars if jar.exists())


def etcd(suite: str) -> str:
    """For `Sandbox.etcd(binary=...)`; skips the test if the release is not to be had."""
    return str(unpacked(suite) / "usr/bin/etcd")


def missing(suite: str) -> str | None:
    """Why the suite's packages cannot be had; None if they are there."""
    folder, why = _fetched(suite)
    return why if folder is None else None


def unpacked(suite: str) -> pathlib.Path:
    """The root of the suite's unpacked packages; skips the test if they cannot be had."""
    folder, why = _fetched(suite)
    if folder is None:
        pytest.skip(f"no other releases out of {suite}: {why}")
    return folder


@functools.cache
def _fetched(suite: str) -> tuple[pathlib.Path | None, str]:
    """The folder, or None and why not. Asked once a run: offline, each attempt takes a while."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache")
    folder = pathlib.Path(cache) / "zk2etcd" / "releases" / suite
    if (folder / ".complete").exists():
        return folder, ""
    try:
        run = subprocess.run(
            [str(_SCRIPT), suite], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, f"not fetched within {_SECONDS} s"
    return (folder, "") if run.returncode == 0 else (None, run.stderr.strip()[-500:])
