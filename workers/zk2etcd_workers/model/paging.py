"""Where a page of a long range of etcd ends, when nothing else tells the next keys. Pure.

A Range counts all keys up to its end, whatever its limit (90 ns each, 3.4.23 and 3.5.30), so pages
that all end where the whole range does cost the square of the keys. Here a page ends a few pages'
worth of keys ahead: at a place that the keys of the last one suggest. Nothing depends on how good
the guess is but the cost: a page that is cut by its limit goes on behind its last key, and one that
is not, even an empty one, at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_AHEAD = 16
"""A page may count so many times the keys of its limit; beyond that a nearer end is looked for."""

_PATIENT = 3
"""So many guesses in a row may find few keys; from then on they reach twice as far each time."""


class Pages:
    """The range [start, end) in pages: ask for [`start`, `stop`), tell what it `saw`, until `done`.

    Ends are guessed by prefixes, as in a trie: all keys that begin as the last one does, up to the
    byte in which the keys of its page begin to differ; and where these are used up, their
    neighbours, or one byte less.
    """

    def __init__(
        self, start: bytes, end: bytes, skip: Callable[[bytes], bytes] = lambda place: place
    ) -> None:
        """:param skip: from which place on there may be keys that are wanted, from this one on."""
        self.start, self.stop = start, end
        self._end = end
        self._skip = skip
        self._few = 0
        # Of the last page that was cut: its first key, and how many it had.
        self._first, self._full = end, 0

    @property
    def done(self) -> bool:
        return self.start >= self._end

    def saw(self, keys: Sequence[bytes], total: int, *, more: bool) -> None:
        """The keys of the page, of the `total` that [`start`, `stop`) holds; `more`: it was cut."""
        if more:
            self._cut(keys, total)
            return
        self.start = min(self._skip(self.stop), self._end)
        if not self.done:
            self._neighbour(len(keys))

    def _cut(self, keys: Sequence[bytes], total: int) -> None:
        self._first, self._full, self._few = keys[0], len(keys), 0
        self.start = min(self._skip(keys[-1] + b"\0"), self._end)
        if self.start >= self.stop:
            self._neighbour(len(keys))
        elif total > (_AHEAD + 1) * len(keys):
            self.stop = min(_beyond(self.start, _alike(keys[0], keys[-1])) or self.stop, self.stop)

    def _neighbour(self, keys: int) -> None:
        """All up to `start` is read, of which `keys` came last. What begins like the keys before
        `start`, and is as long, may be as many, if those filled a page, or nearly."""
        depth = len(self.start) - 1
        before = self.start[:depth] + bytes((max(self.start[depth] - 1, 0),))
        if 2 * keys >= self._full or self._first.startswith(before):
            self._few = 0
        else:
            self._few += 1
            depth -= 1 << max(0, self._few - _PATIENT)
        self.stop = min(_beyond(self.start, depth) or self._end, self._end)


def _alike(first: bytes, last: bytes) -> int:
    """How many bytes both begin with."""
    pairs = enumerate(zip(first, last, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(last)))


def _beyond(key: bytes, depth: int) -> bytes | None:
    """The first key behind all that begin with the first `depth` + 1 bytes of `key`; None if there
    is none."""
    depth = min(depth, len(key) - 1)
    while depth >= 0:
        if key[depth] < 0xFF:
            return key[:depth] + bytes((key[depth] + 1,))
        depth -= 1
    return None
