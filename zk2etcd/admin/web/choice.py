"""Which shards the page shows: all of few; of many those that one looks for, or that stand out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from zk2etcd.view import status

MANY = 100
_LONGEST = 200


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a person typed: part of a prefix, id, worker, phase or error, in any case; `everything`:
    those too that only follow, however many they are."""

    find: str = ""
    everything: bool = False

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> Wanted:
        """From the page's address."""
        return cls(arguments.get("find", "").strip()[:_LONGEST], bool(arguments.get("all")))


@dataclasses.dataclass(frozen=True)
class Shown:
    """The shards that are shown, in their order; how many of `total` are `left` out, of those that
    were looked for; whether there is a search at all."""

    wanted: Wanted
    shards: Sequence[Mapping[str, Any]]
    left: int
    total: int
    searched: bool


def shown(found: Mapping[str, Any], wanted: Wanted) -> Shown:
    """Of the shards of a status document."""
    shards = found["shards"]
    words = wanted.find.casefold().split()
    met = [shard for shard in shards if all(word in _text(shard) for word in words)]
    chosen = met
    if len(met) > MANY and not wanted.everything:
        out = [shard for shard in met if status.stands_out(shard)]
        chosen = (out if not words else met)[:MANY]
    many = len(shards) > MANY or bool(words)
    return Shown(wanted, chosen, len(met) - len(chosen), len(shards), many)


def _text(shard: Mapping[str, Any]) -> str:
    told = (status.source(shard), shard["to"], shard["id"], shard["worker"], shard["phase"])
    return " ".join(str(part) for part in (*told, shard["error"] or "")).casefold()
