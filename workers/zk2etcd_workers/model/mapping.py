"""ZooKeeper paths to etcd keys and back, on bytes. Pure.

`/dubbo` means the node and what is below it, by path element: never `/dubbo2`. A key in the range
whose inverse is not a valid ZooKeeper path is foreign, and foreign keys are never touched.

A shard may be one bucket of a prefix: then only some children of the root are its own, by a hash of
their names. Those of the other buckets are to it as if they were excluded.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from zk2etcd import messages, patterns

RESERVED = b"/zookeeper"
"""ZooKeeper's own subtree (quotas, the ensemble's config) is never mirrored."""

# PathUtils.validatePath: control characters, surrogates (so all above U+FFFF, of which a server
# makes two of them) and private use, specials. 3.4 leaves out the ends of each range, and so takes
# U+001F, U+007F, U+009F, U+F8FF, U+FFF0 and U+FFFF; 3.5.0 and later refuse those too. What one of
# them takes is a path: its key would else be foreign, and stay for ever.
_REFUSED = re.compile("[\u0000-\u001e\u0080-\u009e\ud800-\uf8fe\ufff1-\ufffe\U00010000-\U0010ffff]")

_CONTROL = bytes(range(0x20))
_ODD = re.compile(rb"/[/.\n]")
_AT_ONCE = 512
"""Keys that are looked at together: some 100 KiB of them, for which no memory is asked anew."""


def is_below(path: bytes, root: bytes) -> bool:
    """True if `path` is `root` or below it, by path element."""
    if root == b"/":
        return path.startswith(b"/")
    return path == root or path.startswith(root + b"/")


def is_valid_path(path: bytes) -> bool:
    """The rules of any of ZooKeeper's releases for a path, on its UTF-8 form."""
    if path == b"/":
        return True
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if _REFUSED.search(text) or not text.startswith("/"):
        return False
    return not any(element in ("", ".", "..") for element in text[1:].split("/"))


@functools.lru_cache(maxsize=1 << 16)
def bucket(name: bytes, buckets: int) -> int:
    """The bucket of a child of the root, from 0, by its name; the root itself, with no name, is in
    the first. The same in every process and release, or a reload would move keys between shards."""
    if not name:
        return 0
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") % buckets


def siblings(shard: messages.Shard, shards: Sequence[messages.Shard]) -> int:
    """How many of these are buckets of the same prefix, this one too."""
    prefixes = [(each.source, each.target, each.buckets) for each in shards]
    return prefixes.count((shard.source, shard.target, shard.buckets))


class Mapping:
    """One shard's mapping. `source` and `target` are the config's `from` and `to`, `exclude` and
    `only` hold patterns (see `patterns`); it has the children that fall into `bucket` of `buckets`.

    `excluded` are the paths that are left out, with all below them, so far as they are known one by
    one; `leaves_out`, which may be None, knows the others. With `only`, nothing is mirrored but
    what matches; what leads there is walked. `picks`: the configuration leaves out some of the
    subtree; `narrows`: some are not its; `by_name`: etcd cannot count what is.
    """

    def __init__(
        self,
        source: str,
        target: str,
        exclude: Sequence[str] = (),
        bucket: int = 0,
        buckets: int = 1,
        only: Sequence[str] = (),
    ) -> None:
        self.source = source.encode()
        self.target = target.encode()
        self.bucket = bucket
        self.buckets = buckets
        self._source_base = b"" if self.source == b"/" else self.source
        self._target_base = self.target.removesuffix(b"/")
        self._cut = len(self._source_base)
        single = [text for text in exclude if patterns.is_concrete(text)]
        wild = [text for text in exclude if text not in single]
        excluded = [patterns.concrete(text).encode() for text in single]
        if is_below(RESERVED, self.source):
            excluded.append(RESERVED)
        self.excluded = tuple(sorted({path for path in excluded if is_below(path, self.source)}))
        self.leaves_out = patterns.Matcher(wild) if wild else None
        self.only = patterns.Matcher(only) if only else None
        self.by_name = bool(wild or only) or buckets > 1
        self.picks = bool(self.excluded or wild or only)
        self.narrows = self.picks or buckets > 1

    @classmethod
    def of(cls, shard: messages.Shard, above: bytes = b"") -> Mapping:
        """:param above: what its keys begin with, before `target`: those of its marks, say."""
        target = above.decode() + shard.target
        return cls(shard.source, target, shard.exclude, shard.bucket, shard.buckets, shard.only)

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

    def paths(self, keys: Sequence[bytes]) -> list[bytes]:
        """The paths of those of these keys, all at or below `target`, that are images."""
        found: list[bytes] = []
        for start in range(0, len(keys), _AT_ONCE):
            found += self._paths(keys[start : start + _AT_ONCE])
        return found

    def _paths(self, keys: Sequence[bytes]) -> Iterable[bytes]:
        if self.narrows or not self._target_base or not _are_plain(keys):
            return [path for path in map(self.path, filter(self.is_image, keys)) if path]
        if self.source == self.target:
            return keys
        base, cut = self._source_base, len(self._target_base)
        return [base + key[cut:] for key in keys]

    def is_excluded(self, path: bytes) -> bool:
        """Whether a path at or below `source` is not to be mirrored here: left out by the
        configuration, or another bucket's."""
        return not self.owns(path) or self._is_left_out(path)

    def is_closed(self, path: bytes) -> bool:
        """Whether neither it nor anything below it is: a walk does not go there."""
        if not self.is_excluded(path):
            return False
        leads = self.only is not None and self.only.leads(path)
        return not leads or not self.owns(path) or self._is_shut_out(path)

    def _is_left_out(self, path: bytes) -> bool:
        """By the configuration, whichever bucket's it is."""
        return self._is_shut_out(path) or (self.only is not None and not self.only(path))

    def _is_shut_out(self, path: bytes) -> bool:
        """The same, with all below it."""
        if any(is_below(path, root) for root in self.excluded):
            return True
        return self.leaves_out is not None and self.leaves_out(path)

    def leaves_out_key(self, key: bytes) -> bool:
        """Whether a key at or below `target` is that of a path which the configuration leaves out,
        whichever bucket's it is."""
        path = self.path(key)
        return path is not None and self._is_left_out(path)

    def owns(self, path: bytes) -> bool:
        """Whether a path at or below `source` lies in this shard's bucket."""
        return self.buckets == 1 or bucket(first(path, self._cut), self.buckets) == self.bucket

    def owns_key(self, key: bytes) -> bool:
        """The same of a key at or below `target`; of a foreign one too, so that each is one
        shard's to speak of."""
        name = first(key, len(self._target_base))
        return self.buckets == 1 or bucket(name, self.buckets) == self.bucket

    def runs(self, keys: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
        """Neighbours that are one bucket's, of ascending keys at or below `target`, all of them:
        (bucket, start, end). Faster than `owns_key` of each, where children have some below them.
        """
        cut, at = len(self._target_base) + 1, 0
        while at < len(keys):
            key, start = keys[at], at
            end = key.find(b"/", cut)
            at = at + 1 if end < 0 else bisect.bisect_left(keys, key[:end] + b"0", at)
            yield bucket(key[cut:] if end < 0 else key[cut:end], self.buckets), start, at

    def is_image(self, key: bytes) -> bool:
        """Whether a key at or below `target` is that of a path that is to be mirrored here."""
        if not self.owns_key(key):
            return False
        path = self.path(key)
        return path is not None and not self.is_excluded(path)

    def concerns(self, path: bytes) -> bool:
        """Whether a change of this path is of interest: of what only leads to what is mirrored it
        is, and of the root, which the first bucket alone mirrors, to all, since by the root they
        know the ensemble."""
        return not self.is_closed(path) or (self.bucket > 0 and path == self.source != b"/")

    def after(self, key: bytes) -> bytes:
        """Where the keys that may be this shard's go on after `key`, one at or below `target`."""
        return self.next(key + b"\0")

    def next(self, place: bytes) -> bytes:
        """The first key from `place` on that may be this shard's: it is passed over children of
        the target that are other buckets', as a whole."""
        end = place.find(b"/", len(self._target_base) + 1)
        if end < 0 or self.owns_key(place):
            return place
        return place[:end] + b"0"

    def below(self) -> tuple[bytes, bytes]:
        """The range [start, end) of the keys below the target's own key."""
        return self._target_base + b"/", self._target_base + b"0"

    def below_path(self, path: bytes) -> tuple[bytes, bytes]:
        """The range [start, end) of the keys below the key of `path`."""
        base = self.key(path).removesuffix(b"/")
        return base + b"/", base + b"0"


def _are_plain(paths: Sequence[bytes]) -> bool:
    """Whether all of these are valid paths that are easily seen to be: one look at many."""
    lines = b"\n".join((*paths, b""))
    if not lines.isascii() or len(lines.translate(None, _CONTROL)) < len(lines) - len(paths):
        return False
    return _ODD.search(lines) is None


def first(path: bytes, cut: int) -> bytes:
    """The first element of what is left of `path` after `cut` bytes, none below `/`: by it the
    bucket goes."""
    end = path.find(b"/", cut + 1)
    return path[cut + 1 :] if end < 0 else path[cut + 1 : end]
