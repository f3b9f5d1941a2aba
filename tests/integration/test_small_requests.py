"""A ZooKeeper that takes small requests only (jute.maxbuffer): whatever is asked of it fits."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests import polling
from tests.integration import mirroring
from zk2etcd.sandbox import servers

LONG = "x" * 200
PREFIXES = 60


@pytest.fixture
def narrow(sandbox: servers.Sandbox, etcd: servers.Etcd, prefix: str) -> Iterator[mirroring.World]:
    server = sandbox.zookeeper(durable=False, jvm=(*servers.QUICK_JVM, "-Djute.maxbuffer=4096"))
    server.start()
    with mirroring.World(server.address, etcd.address, prefix) as made:
        yield made


def test_the_roots_of_many_prefixes_are_not_asked_for_in_one(narrow: mirroring.World) -> None:
    """They come to more than it takes: those who ask for them learn that, as walks do."""
    roots = [narrow.path(f"{number:02}{LONG}") for number in range(PREFIXES)]
    narrow.zk.create(narrow.root)
    for root in roots:
        narrow.zk.create(root)
        narrow.zk.create(f"{root}/child")
    worker = narrow.worker(targets={root: root for root in roots})
    worker.follows(40)
    polling.until(lambda: worker.session.request_size.most < 4096, 30)
    worker.follows(40)
    epoch, now = worker.session.epoch, time.time()
    for number in range(PREFIXES):
        worker.wait(lambda each: (each.synced_at or 0) > now + 4, 40, number=number)
    assert worker.session.epoch == epoch, "a connection ended once more"
    narrow.zk.set(f"{roots[-1]}/child", b"live")
    polling.until(lambda: narrow.etcd.value(f"{roots[-1]}/child") == b"live")
