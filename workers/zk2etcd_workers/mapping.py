"""ZooKeeper paths to etcd keys and back, on bytes. Pure.

`/dubbo` means the node and what is below it, by path element: never `/dubbo2`. A key in the range
whose inverse is not a valid ZooKeeper path is foreign, and foreign keys are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from zk2etcd import messages

RESERVED = b"/zookeeper"
"""ZooKeeper's own subtree (quotas, the ensemble's config) is never mirrored."""

# PathUtils.validatePath of ZooKeeper: control characters, surrogates (so, in UTF-16, all above
# U+FFFF) and private use, specials.
_REFUSED = re.compile("[\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff\U00010000-\U0010ffff]")


def is_below(path: bytes, root: bytes) -> bool:
    """True if `path` is `root` or below it, by path element."""
    if root == b"/":
        return path.startswith(b"/")
    return path == root or path.startswith(root + b"/")


def is_valid_path(path: bytes) -> bool:
    """ZooKeeper's own rules for a path, on its UTF-8 form."""
    if path == b"/":
        return True
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if _REFUSED.search(text) or not text.startswith("/"):
        return False
    return not any(element in ("", ".", "..") for element in text[1:].split("/"))


class Mapping:
    """One shard's mapping. `source` and `target` are the config's `from` and `to`."""

    def __init__(self, source: str, target: str, exclude: Sequence[str] = ()) -> None:
        self.source = source.encode()
        self.target = target.encode()
        self._source_base = b"" if self.source == b"/" else self.source
        self._target_base = b"" if self.target == b"/" else self.target
        self._cut = len(self._source_base)
        excluded = [path.encode() for path in exclude]
        if is_below(RESERVED, self.source):
            excluded.append(RESERVED)
        self.excluded = tuple(sorted({path for path in excluded if is_below(path, self.source)}))

    @classmethod
    def of(cls, shard: messages.Shard) -> Mapping:
        return cls(shard.source, shard.target, shard.exclude)

    def key(self, path: bytes) -> bytes:
        """The etcd key of a path at or below `source`."""
        if path == self.source:
            return self.target
        return self._target_base + path[self._cut :]

    def path(self, key: bytes) -> bytes | None:
        """The ZooKeeper path of a key, or None if the key is foreign."""
        if key == self.target:
            return self.source
        if not key.startswith(self._target_base + b"/"):
            return None
        path = self._source_base + key[len(self._target_base) :]
        return path if is_valid_path(path) and self.key(path) == key else None

    def is_excluded(self, path: bytes) -> bool:
        return any(is_below(path, root) for root in self.excluded)

    def below(self) -> tuple[bytes, bytes]:
        """The range [start, end) of the keys below the target's own key."""
        return self._target_base + b"/", self._target_base + b"0"

    def below_path(self, path: bytes) -> tuple[bytes, bytes]:
        """The range [start, end) of the keys below the key of `path`."""
        base = self.key(path)
        if base == b"/":
            base = b""
        return base + b"/", base + b"0"
