"""What came where something went: a rollout is not a wipe. Pure.

While nobody looked, every instance of a service may have been replaced. What is lost is judged by
place: subtrees that went are counted at the parent of their topmost node, and so are subtrees that
came. What came elsewhere excuses nothing, and one large subtree stands for one that went, not for
many: services that are lost are not replaced by a new one with as many instances.
"""

from __future__ import annotations

MOST_PLACES = 100_000
"""Places that are remembered of each side. Beyond them what goes counts as lost, and what comes as
no replacement."""


class Side:
    """Nodes that went, or that came, by place. `total` counts all of them, `tops` the topmost ones
    of their subtrees."""

    def __init__(self) -> None:
        self.total = 0
        self.places: dict[bytes, int] = {}
        self.tops: dict[bytes, int] = {}
        self._open: list[bytes] = []

    def saw(self, path: bytes) -> None:
        """One more. They come in the byte order of their keys, parents before their children."""
        self.total += 1
        top = self._top(path)
        place = top.rpartition(b"/")[0]
        known = self.places.get(place)
        if known is not None or len(self.places) < MOST_PLACES:
            self.places[place] = (known or 0) + 1
            self.tops[place] = self.tops.get(place, 0) + (top == path)

    def _top(self, path: bytes) -> bytes:
        """The topmost node of its subtree: itself, if none above it was seen. `/a-b` sorts before
        `/a/x`, so those above a path are not always the last ones that were seen."""
        above = self._open
        while above and path >= above[-1] + b"0":
            above.pop()
        for top in above:
            if path.startswith(top + b"/"):
                return top
        above.append(path)
        return path


def replaced(went: Side, came: Side) -> int:
    """How many of those that went have been replaced by one that came in the same place: at most
    the share that as many subtrees hold as came."""
    return sum(
        min(nodes, came.places[place], nodes * came.tops[place] // went.tops[place])
        for place, nodes in went.places.items()
        if place in came.places
    )


def beside(went: Side, came: Side) -> int:
    """How many came in the places where something went."""
    return sum(came.places.get(place, 0) for place in went.places)
