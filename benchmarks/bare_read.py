"""Bulk-read both sides, bare, and time it: the floor of a full sync that finds nothing.

The two sides are read side by side, as a plain good script would; nothing is compared.

    python -m benchmarks.bare_read ZOOKEEPER ETCD FROM TO
"""

from __future__ import annotations

import sys
import threading
import time

from benchmarks import bare_etcd, bare_zookeeper


def main(zookeeper: str, etcd: str, source: str, target: str) -> None:
    opened = bare_etcd.channel(etcd)
    client = bare_zookeeper.connect(zookeeper)
    bare_etcd.count(opened, target.encode())
    sizes = [0, 0]

    def read_etcd() -> None:
        for page in bare_etcd.pages(opened, target.encode()):
            sizes[1] += len([(kv.key, kv.value) for kv in page])

    started = time.monotonic()
    reader = threading.Thread(target=read_etcd)
    reader.start()
    for nodes in bare_zookeeper.walk(client, source.encode()):
        sizes[0] += len(nodes)
    reader.join()
    print(time.monotonic() - started, *sizes)
    bare_zookeeper.disconnect(client)


if __name__ == "__main__":
    main(*sys.argv[1:5])
