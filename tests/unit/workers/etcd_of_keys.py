"""An etcd that is a list of keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zk2etcd.config import connections
from zk2etcd_workers.etcd import limits, wire


class Etcd:
    """Pages of `keys`, whose values are their own names; `sent` counts the keys that it
    handed out, `sizes` are the pages' bytes."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = sorted(keys)
        self.sent = 0
        self.sizes: list[int] = []
        self.learned = limits.Learned(connections.Etcd())
        self.learned.down.room = 8 * 1024 * 1024

    def most_keys(self, keys: int) -> int:
        return keys

    def rest_after(self, _keys: int) -> float:
        return 0.0

    def range_soon(
        self, key: bytes, end: bytes = b"", *, limit: int = 0, **_: Any
    ) -> Callable[[], wire.Page]:
        found = [each for each in self.keys if (key <= each < end if end else each == key)]
        page = found[:limit] if limit else found
        self.sent += len(page)
        size = 100 * len(page)
        self.sizes.append(size)
        return lambda: wire.Page(page, page, 7, len(page) < len(found), len(found), size, 0.0, None)

    def range(self, key: bytes, end: bytes = b"", **options: Any) -> wire.Page:
        return self.range_soon(key, end, **options)()
