"""A bare full sync, in a process of its own: bulk-read the tree, write it in nested Txns, end.

python -m benchmarks.bare_sync ZOOKEEPER ETCD FROM TO
"""

from __future__ import annotations

import sys

from benchmarks import bare_etcd, bare_zookeeper


def main(zookeeper: str, etcd: str, source: str, target: str) -> None:
    cut, to = len(source.encode()), target.encode()
    opened = bare_etcd.channel(etcd)
    client = bare_zookeeper.connect(zookeeper)
    puts = bare_etcd.Puts(opened)
    for nodes in bare_zookeeper.walk(client, source.encode()):
        puts.add([(to + path[cut:], value) for path, value in nodes])
    puts.flush()
    bare_zookeeper.disconnect(client)


if __name__ == "__main__":
    main(*sys.argv[1:5])
