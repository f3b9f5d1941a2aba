"""How much of what came from a tree goes into a report, a record in etcd, or a line for people.

Anyone who may create a znode chooses how long its path is, up to a million bytes, and a hundred of
those beside each other are more than a pipe, a key of etcd or a page will take. What travels is
shortened here, where it is made: its ends tell most of a path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from zk2etcd import conditions, text
from zk2etcd_workers.model import tree

LONGEST_PATH = 300
"""Characters of a path."""
LONGEST_TEXT = 1_000
"""Characters of a sentence, which may have a path in it."""
MOST_BYTES = 2 * 1024 * 1024
"""Of all that all shards of a worker say in one report; its pipe takes eight times as much."""
_FEWEST_BYTES = 1_000


def path(found: bytes) -> str:
    """A path, or a key, as it is shown: as `tree.shown`, and not longer than LONGEST_PATH."""
    if len(found) > 8 * LONGEST_PATH:  # of a long one only the ends are decoded
        found = found[: 4 * LONGEST_PATH] + found[-4 * LONGEST_PATH :]
    return text.shortened(tree.shown(found), LONGEST_PATH)


def room(shards: int) -> int:
    """Bytes that each of so many shards of a worker may take in a report."""
    return max(_FEWEST_BYTES, MOST_BYTES // max(shards, 1))


def unsyncable(entries: Iterable[tuple[bytes, str]], most: int) -> Iterator[conditions.Unsyncable]:
    """As many (path, reason) as go into so many bytes."""
    left = most
    for found, reason in entries:
        each = conditions.Unsyncable(path(found), text.shortened(reason, LONGEST_PATH))
        left -= _size(each.path) + _size(each.reason)
        if left < 0:
            return
        yield each


def started_over(last: conditions.StartedOver | None, most: int) -> conditions.StartedOver | None:
    """With a shorter reason, which may name a path."""
    if last is None:
        return None
    return dataclasses.replace(last, reason=sentence(last.reason, most) or "")


def guard(trip: conditions.Guard | None, most: int) -> conditions.Guard | None:
    """The trip with a shorter sample, and reason: it may be from another release."""
    if trip is None:
        return None
    reason = sentence(trip.reason, most)
    return dataclasses.replace(trip, sample=_some(trip.sample, most), reason=reason or "")


def kept(found: conditions.Kept | None, most: int) -> conditions.Kept | None:
    """With a shorter sample."""
    return found and dataclasses.replace(found, sample=_some(found.sample, most))


def drift(found: conditions.Drift | None, most: int) -> conditions.Drift | None:
    """With a shorter reason, and as many paths as go into so many bytes."""
    if found is None:
        return None
    return dataclasses.replace(found, why=sentence(found.why, most), paths=_some(found.paths, most))


def paths(found: Iterable[bytes], most: int) -> tuple[str, ...]:
    """As many of them as go into so many bytes."""
    return _some(map(path, found), most)


def _some(paths: Iterable[str], most: int) -> tuple[str, ...]:
    """The first of them, each shortened, as many as go into so many bytes."""
    left, some = most, list[str]()
    for each in paths:
        short = text.shortened(each, LONGEST_PATH)
        left -= _size(short)
        if left < 0:
            break
        some.append(short)
    return tuple(some)


def sentence(said: str | None, most: int) -> str | None:
    """An error, a reason, the name of an owner: shorter where many shards speak."""
    return None if said is None else text.shortened(said, min(LONGEST_TEXT, most // 8))


def _size(said: str) -> int:
    return len(said.encode("utf-8", "surrogatepass"))
