"""`check`: what the patterns of `exclude` and `only` match below a prefix, as ZooKeeper is now."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence

from zk2etcd import messages, patterns
from zk2etcd_workers.commands import both_sides, finding, probe_zookeeper
from zk2etcd_workers.model import pacing, tree
from zk2etcd_workers.zookeeper import protocol as protocols

_SECONDS = 5.0
_AT_ONCE = 100


@dataclasses.dataclass
class _Matching:
    """What matches a pattern. `whole`: all that may match was looked at."""

    nodes: int = 0
    whole: bool = True


def facts(both: both_sides.Sides, shard: messages.Shard) -> Iterator[finding.Fact]:
    """How many nodes each matches; one that matches none; an exclude that was a name until now.

    :raises errors.ZooKeeperError: the session broke off.
    """
    for pattern in shard.only:
        yield _counted(both, shard, f"only {pattern}", pattern, "mirrors")
    for pattern in shard.exclude:
        if pattern == patterns.escaped(shard.source):
            continue  # nothing is mirrored, which is said by itself
        yield _counted(both, shard, f"exclude {pattern}", pattern, "leaves out")
        if not patterns.is_concrete(pattern) and _is_name(both, pattern):
            yield probe_zookeeper.SIDE.note(
                f"{pattern} is a node too, which alone it left out before `*` was a wildcard",
                f"write {patterns.escaped(pattern)} if that node is meant",
            )


def _counted(
    both: both_sides.Sides, shard: messages.Shard, what: str, pattern: str, does: str
) -> finding.Fact:
    found = _matching(both, pattern, shard.source)
    if found.whole and not found.nodes:
        return probe_zookeeper.SIDE.note(
            f"{what} matches nothing below {shard.source}",
            "correct it if something is meant that is there already",
        )
    some = "" if found.whole else "at least "
    count = f"{some}{found.nodes:,} {'node' if found.nodes == 1 else 'nodes'}"
    return probe_zookeeper.SIDE.ok(
        f"{what} {does} {count} at or below {shard.source}, with all below"
    )


def _is_name(both: both_sides.Sides, pattern: str) -> bool:
    (node,) = probe_zookeeper.read(both, [(protocols.GET_DATA, pattern.encode())])
    return isinstance(node, tree.Node)


def _matching(both: both_sides.Sides, pattern: str, source: str) -> _Matching:
    """Those that match, but for those below them; level by level, and for some seconds at most."""
    matcher, found = patterns.Matcher([pattern]), _Matching()
    start = max(patterns.starts(pattern), source, key=len).encode()
    if matcher(start):
        start = start[: start.rindex(b"/")] or b"/"
    until, level = time.monotonic() + _SECONDS, [start]
    at_once = probe_zookeeper.few(_AT_ONCE, both.settings.zookeeper)
    while level:
        paths, level = level, []
        for at in range(0, len(paths), at_once):
            if time.monotonic() > until:
                found.whole = False
                return found
            for path in _children(both, paths[at : at + at_once], found):
                if matcher(path):
                    found.nodes += 1
                elif matcher.leads(path):
                    level.append(path)
    return found


def _children(both: both_sides.Sides, paths: Sequence[bytes], found: _Matching) -> Iterator[bytes]:
    """Of those of them that are there and may be listed without harm."""
    nodes = probe_zookeeper.read(both, [(protocols.GET_DATA, path) for path in paths])
    parents = []
    for path, node in zip(paths, nodes, strict=True):
        if not isinstance(node, tree.Node):
            found.whole = found.whole and node is tree.Miss.NO_NODE
        elif node.children > pacing.DANGEROUS_LISTING:
            found.whole = False
        elif node.children:
            parents.append(path)
    if not parents:
        return
    listings = probe_zookeeper.read(both, [(protocols.GET_CHILDREN, path) for path in parents])
    for parent, names in zip(parents, listings, strict=True):
        if isinstance(names, tree.LISTINGS):
            yield from (tree.join(parent, name) for name in names)
        else:
            found.whole = found.whole and names is tree.Miss.NO_NODE
