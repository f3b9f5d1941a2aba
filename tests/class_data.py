"""What the JVMs of the tests' ZooKeepers share: their classes, loaded and checked once.

Hundreds of them start in `make test`, each for seconds; with an archive of its classes a start
needs a third less (JEP 350, Java 13 and later). Where none can be made, or another class path does
not fit it, a JVM starts as ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile

import kazoo.client

from zk2etcd.sandbox import servers

_OPTIONS = "JDK_JAVA_OPTIONS"
"""Read by the `java` launcher, see its manual."""


def share() -> None:
    """From now on the JVMs that we start share what is archived; made first if it is not there."""
    with contextlib.suppress(Exception):  # it is for speed alone: nothing may fail for it
        archive = _archive()
        if archive is not None and (archive.exists() or _made(archive)):
            before = os.environ.get(_OPTIONS, "")
            os.environ[_OPTIONS] = f"{before} -XX:SharedArchiveFile={archive}".strip()


def _archive() -> pathlib.Path | None:
    """Where it belongs; another one for another Java, or other jars."""
    java = shutil.which("java")
    if java is None or servers.missing():
        return None
    files = [pathlib.Path(java).resolve(), *sorted(servers.JAVA_FOLDER.glob("*.jar"))]
    said = "\n".join(f"{each} {each.stat().st_mtime_ns}" for each in files if each.exists())
    cache = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache")
    name = f"zookeeper-{hashlib.sha256(said.encode()).hexdigest()[:12]}.jsa"
    return pathlib.Path(cache) / "zk2etcd" / name


def _made(archive: pathlib.Path) -> bool:
    """Whether a JVM that had served a client left one behind."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder, servers.opened() as sandbox:
        draft = pathlib.Path(folder) / archive.name
        jvm = (*servers.QUICK_JVM, f"-XX:ArchiveClassesAtExit={draft}")
        server = sandbox.zookeeper(durable=False, jvm=jvm)
        server.stop_seconds = 60.0  # the archive is written then
        server.start()
        client = kazoo.client.KazooClient(server.address)
        client.start()
        client.create("/a", b"value")
        client.get_children("/")
        client.stop()
        client.close()
        server.stop()
        draft.replace(archive)
    return archive.exists()
