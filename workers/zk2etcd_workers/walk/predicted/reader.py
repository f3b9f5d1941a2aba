"""What such a walk asks ZooKeeper for: windows of paths, single lists, and whole subtrees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zk2etcd_workers.model import tree
from zk2etcd_workers.walk import directories, glance
from zk2etcd_workers.walk.predicted import window
from zk2etcd_workers.zookeeper.servers import protocol_choice


class Reader(glance.Reader):
    """As the one of any walk, which reads what it finds; but not what its root has, if it
    `predicts`."""

    predicts = False

    @property
    def may_predict(self) -> bool:
        """All values are known to be small, so those in etcd are: it bounds a page by the number of
        its keys alone. And a node may be read without its list; the classic protocol's watches
        hang on both."""
        return self._known and self._session.protocol != protocol_choice.CLASSIC

    @property
    def is_idle(self) -> bool:
        """All that is to be read was asked for."""
        return not self._frontier

    @property
    def is_full(self) -> bool:
        """Nothing more is asked for until some is used."""
        nodes, size = self._most_held
        return self.held >= nodes or self._held_bytes >= size

    def ask(self, paths: Sequence[bytes]) -> window.Window:
        """Have these read, none of them listed."""
        asked = window.Window(paths)
        self._frontier.add([(paths[0], asked)])
        return asked

    def list(self, path: bytes, count: int) -> directories.Dir:
        """Have a node of so many children listed, and no more."""
        listed = directories.Dir(path, count)
        listed.is_list = True
        self._frontier.add([(tree.join(path, b""), listed)])
        return listed

    def _list(self, directory: directories.Dir, result: tree.Listing | tree.Miss) -> None:
        if self.predicts and directory.path == self._mapping.source:
            directory.is_list = True
        super()._list(directory, result)

    def wait_for(self, listed: Iterable[directories.Dir]) -> None:
        """Until their lists are there."""
        for each in listed:
            while each.names is None:
                self.pump()

    def folders(self, paths: Sequence[bytes]) -> Sequence[tuple[bytes, int]]:
        """Those of these nodes that have children, and how many."""
        if not paths:
            return ()
        asked, found = self.ask(paths), list[tuple[bytes, int]]()
        while not asked.is_read or asked.has_some:
            if not asked.has_some:
                self.pump()
            stretch = asked.take()
            found += stretch.folders
            self.used(stretch.read, stretch.size)
        return found

    def read_whole(self, paths: Sequence[bytes]) -> directories.Dir:
        """Have these nodes read, and all that is below them."""
        made = directories.Dir(b"", len(paths), is_whole=True)
        made.names, made.found = paths, [None] * len(paths)
        self._frontier.add([(paths[0], made)])
        return made
