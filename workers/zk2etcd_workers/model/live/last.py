"""The last key below a folder, which stays where its node goes and the folder's does not: which of
those that went it is, and what is remembered of it. Pure: times are wall clock, and arguments.

What counts is what etcd has when it is asked, less what is on its way out of it. So two that go one
after the other are never each other's reason to go, however many Txns are under way.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Container, Iterable, Sequence

from zk2etcd import conditions
from zk2etcd_workers.model import told

MOST = 100_000
"""Paths that are remembered by name; of those beyond, the hashes of their folders."""

_SAMPLE = 20
_UNSURE = 64


def folder_of(path: bytes) -> bytes:
    """The path of its parent; that of `/` is `/`."""
    return path.rpartition(b"/")[0] or b"/"


def child_of(folder: bytes, path: bytes) -> bytes:
    """The child of `folder` that `path`, which lies below it, is or lies below."""
    end = path.find(b"/", len(folder) + (folder != b"/"))
    return path if end < 0 else path[:end]


class Going:
    """Paths whose deletes were decided and are not answered: nobody may rely on their keys."""

    def __init__(self) -> None:
        self._paths: set[bytes] = set()
        self._below = collections.Counter[bytes]()

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def below(self, folder: bytes) -> int:
        """How many of them are its children."""
        return self._below[folder]

    def add(self, path: bytes) -> None:
        if path not in self._paths:
            self._paths.add(path)
            self._below[folder_of(path)] += 1

    def discard(self, path: bytes) -> None:
        if path in self._paths:
            self._paths.remove(path)
            self._below[folder := folder_of(path)] -= 1
            if not self._below[folder]:
                del self._below[folder]


class Folder:
    """One of which some children went: does a key stay there without theirs? Told of those that
    `goes`, then, in their order, of all keys that it `saw` below it, until one of them `stays`.

    What lies below a child that went is no key that stays: it goes as well.
    """

    def __init__(self, path: bytes, is_mirrored: Callable[[bytes], bool]) -> None:
        """:param is_mirrored: whether this path may have a key."""
        self.path = path
        self._is_mirrored = is_mirrored
        self._went: dict[bytes, bool] = {}
        """And whether something lies below the key."""
        self._keys: set[bytes] = set()
        self.stays: bytes | None = None
        """A key that does, by its path."""
        self.unsure: dict[bytes, None] = {}
        """Children without a key, but with keys below: those stay if the child is there. It went,
        and they are about to, or it is one that etcd does not take."""

    def __len__(self) -> int:
        return len(self._went)

    def goes(self, path: bytes) -> None:
        """Later ones went later."""
        self._went.pop(path, None)
        self._went[path] = False

    def saw(self, paths: Iterable[bytes], going: Container[bytes]) -> None:
        for path in paths:
            if path == self.path:
                continue
            child = child_of(self.path, path)
            if child in going:
                continue
            if child in self._went:
                if path == child:
                    self._keys.add(path)
                else:
                    self._went[child] = True
            elif path == child or not self._is_mirrored(child):
                self.stays = path
                return
            elif len(self.unsure) < _UNSURE:
                self.unsure[child] = None

    @property
    def last(self) -> bytes | None:
        """Of those that went and have a key, the one that did so last; all others may go."""
        if self.stays is not None:
            return None
        return next((path for path in reversed(self._went) if path in self._keys), None)

    @property
    def has_more(self) -> bool:
        """Something lies below that key."""
        return self.last is not None and self._went[self.last]


class Kept:
    """The keys of one shard that stay so, one a folder at most. Used by the shard's thread; it
    outlives starts of the shard, until a base says anew which they are."""

    def __init__(self) -> None:
        self._names: dict[bytes, bytes] = {}
        """By their folders."""
        self._others: set[int] = set()
        self._told: conditions.Kept | None = None
        self._is_told = True
        self.most = 0
        """So many were told of under the present name: a release is for no more."""

    def __len__(self) -> int:
        return len(self._names) + len(self._others)

    def __contains__(self, path: bytes) -> bool:
        return self._names.get(folder_of(path)) == path

    @property
    def paths(self) -> Sequence[bytes]:
        return list(self._names.values())

    def of(self, folder: bytes) -> bytes | None:
        """The one below this folder, if it is known by name."""
        return self._names.get(folder)

    def add(self, path: bytes) -> None:
        folder = folder_of(path)
        if folder in self._names or len(self._names) < MOST:
            self._is_told = self._is_told and self._names.get(folder) == path
            self._names[folder] = path
        elif hash(folder) not in self._others:
            self._others.add(hash(folder))
            self._is_told = False

    def discard(self, path: bytes) -> None:
        if path in self:
            del self._names[folder_of(path)]
            self._is_told = False

    def forgets(self, folder: bytes) -> bool:
        """Whether there is one below it that is not known by name; afterwards there is none."""
        if hash(folder) not in self._others:
            return False
        self._others.discard(hash(folder))
        self._is_told = False
        return True

    def replace(self, paths: Iterable[bytes]) -> None:
        """A base has ended: these they are."""
        self._names.clear()
        self._others.clear()
        for path in paths:
            self.add(path)
        self._is_told = False

    def tell(self, now: float, name: str) -> conditions.Kept | None:
        """What there is to say of them. It goes by another `name` once there are more of them than
        ever before under the last one."""
        if self._is_told:
            return self._told
        self._is_told = True
        count, before = len(self), self._told
        if not count:
            self._told, self.most = None, 0
            return None
        if before is None or count > self.most:
            since = now if before is None else before.since
            before, self.most = conditions.Kept(name, count, (), since), count
        first = itertools.islice(self._names.values(), _SAMPLE)
        some = tuple(told.path(path) for path in first)
        self._told = dataclasses.replace(before, deletes=count, sample=some)
        return self._told
