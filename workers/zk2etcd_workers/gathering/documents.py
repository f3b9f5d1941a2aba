"""What member keys and offers say, and the names of what members can serve.

Fields are only ever added. A member key without `shares` is of a release, or of a configuration,
that takes what is free and gives nothing away.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from zk2etcd import census, errors, messages
from zk2etcd.config import addresses
from zk2etcd_workers.ownership import records

PART = 256 * 1024
"""Bytes of one key that lists shards, about."""
_LONGEST = 500
_PLAIN = re.compile(r"https?://[A-Za-z0-9_.:%\[\]-]+")
"""What no shell takes for more; the zone of an IPv6 address may be any text."""
MOST_CAPACITY = 1 << 20
"""Far above what a configuration takes; what is computed with it stays a number of usual size."""


@functools.lru_cache(maxsize=8)
def digest(shards: frozenset[str]) -> str:
    """The name of just these shards. No id holds a line's end."""
    return hashlib.sha256("\n".join(sorted(shards)).encode()).hexdigest()[:32]


def parts(shards: Iterable[str]) -> Sequence[bytes]:
    """What the keys of these shards' digest hold, in order; at least one."""
    told: list[list[str]] = [[]]
    size = 0
    for shard in sorted(shards):
        size += len(shard) + 3
        if size > PART:
            told.append([])
            size = len(shard)
        told[-1].append(shard)
    return [records.encode({"shards": each}) for each in told]


def listed(values: Iterable[bytes], key: bytes) -> frozenset[str]:
    """The shards of such parts.

    :raises errors.NewerFormat: one cannot be read.
    """
    found: list[str] = []
    for value in values:
        with records.decoded(value, key) as document:
            found += map(str, document["shards"])
            "".join(found).encode()  # no text is a ValueError
    return frozenset(found)


def member(
    identity: messages.Identity, standing: messages.Standing, shards: str, *, healthy: bool
) -> bytes:
    """What our member key shall say; `shards` is their digest."""
    ours = standing.member
    return records.encode(
        {
            **records.of_worker(identity),
            "name": ours.label,
            "shares": ours.shares,
            "capacity": ours.capacity,
            "shards": shards,
            "draining": ours.draining,
            "healthy": healthy,
            "failing": sorted(ours.failing),
            "config": standing.config,
            "version": standing.version,
        }
    )


def said(value: bytes, key: bytes) -> Mapping[str, Any]:
    """What a key says; nothing, if only a newer release can read it."""
    try:
        return records.decode(value, key)
    except errors.NewerFormat:
        return {}


def read_member(
    name: str, document: Mapping[str, Any], shards_of: Callable[[str], frozenset[str]]
) -> census.Member:
    """Who a member key is about; one that cannot be read shares nothing."""
    stranger = census.Member(name, shares=False, url=_address(text(document, "admin")))
    if document.get("shares") is not True:
        return stranger
    try:
        return dataclasses.replace(
            stranger,
            shares=True,
            shards=shards_of(str(document["shards"])),
            capacity=max(1, min(int(document["capacity"]), MOST_CAPACITY)),
            draining=bool(document["draining"]),
            healthy=bool(document["healthy"]),
            failing=frozenset(map(str, document["failing"])),
            label=_label(str(document["name"])),
            config=text(document, "config"),
            version=text(document, "version"),
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return stranger


def _label(found: str) -> str:
    """As it is: what is meant for whom hangs on it.

    :raises ValueError: none of ours says so.
    """
    if len(found.encode()) > _LONGEST:
        raise ValueError("too long a name")
    return found


def _address(found: str) -> str:
    """Where one can be asked, "" if that is no address: it is a part of commands that people copy,
    and whoever may write into etcd has chosen it."""
    try:
        url = addresses.advertised(found)
    except ValueError:
        return ""
    return url if _PLAIN.fullmatch(url) else ""


def text(document: Mapping[str, Any], key: str) -> str:
    """A short text. In JSON there may stand what is no text, and ends whoever encodes it."""
    return str(document.get(key) or "")[:_LONGEST].encode("utf-8", "replace").decode()


def offer(giver: str, taker: str, *, taken: bool) -> bytes:
    return records.encode({"giver": giver, "taker": taker, "taken": taken})


def read_offer(document: Mapping[str, Any], revision: int) -> census.Offer | None:
    """None if it is none that this release can read."""
    try:
        giver, taker = str(document["giver"]), str(document["taker"])
    except LookupError:
        return None
    return census.Offer(giver, taker, revision, document.get("taken") is True)
