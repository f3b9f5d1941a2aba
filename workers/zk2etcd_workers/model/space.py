"""Will what is to come fit into etcd? Pure.

Everything here is "about": what etcd needs for a key beside its bytes, how large the nodes are that
nobody has read yet. It leaves out that each later change is stored too, until a compaction.
"""

from __future__ import annotations

from typing import NamedTuple

KEY_BYTES = 120
"""What a key takes in etcd's file beside its name and value: two revisions, a version, the lengths,
its own key in there, and the part of each page that stays empty (tried with 3.4.23)."""

_CLOSE = 0.8


class Space(NamedTuple):
    """What a member may store, what its file takes, and how much of that is in use, in bytes."""

    quota: int
    stored: int
    used: int

    @property
    def free(self) -> int:
        """What can still be put. etcd refuses by the size of its file, but what is free in that is
        filled first; once the file is at the quota, only a defragmentation gives it back."""
        return 0 if self.stored >= self.quota else self.quota - self.used


class Seen(NamedTuple):
    """Some nodes, and the bytes of their keys and values."""

    nodes: int
    size: int

    def to_come(self, nodes: int) -> int:
        """Bytes in etcd for so many more of the same kind."""
        if nodes <= 0 or self.nodes <= 0:
            return 0
        return nodes * (self.size // self.nodes + KEY_BYTES)


def fits(space: Space, to_come: int) -> bool:
    return to_come <= space.free


def is_close(space: Space, to_come: int) -> bool:
    """It fits, but changes before the next compaction may be what it lacks room for."""
    return fits(space, to_come) and space.used + to_come > _CLOSE * space.quota
