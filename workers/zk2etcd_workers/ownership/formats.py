"""Which releases may take part: what `format` demands of who reads our keys."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable

from zk2etcd import errors, messages
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.model import mapping
from zk2etcd_workers.ownership import reads, records

READER = 2
"""The highest `min_reader` that this release satisfies. 2 knows ownership marks: without them it
would take what others wrote for its own."""


def ensure_format(
    client: etcd.Client,
    keys: records.Keys,
    written_by: str = "zk2etcd",
    reader: int = records.FORMAT,
) -> int:
    """Write `format` if it is absent; refuse to go on if it demands a newer reader. The etcd
    revision at which it was put: whoever compares it writes to no cluster but this one.

    :param reader: it is to demand this one at least; what it demands is never lowered.
    :raises errors.NewerReader: its `min_reader` is above ours.
    """
    return ensure(client, keys, written_by, reader)[0]


def ensure(
    client: etcd.Client, keys: records.Keys, written_by: str, reader: int
) -> tuple[int, int]:
    """`ensure_format`; and the reader that it demands."""
    key = keys.format()
    value = records.encode({"min_reader": reader, "written_by": written_by})
    found = client.range(key).kvs
    while True:
        for kv in found:
            if (demanded := check_format(kv.value, key)) >= reader:
                return kv.revision, demanded
        unmoved = wire.Compare(key, "mod", "=", found[0].revision if found else 0)
        answer = client.txn(wire.Txn([unmoved], [wire.Put(key, value)], [wire.Range(key)]))
        if answer.succeeded:
            return answer.revision, reader
        found = answer.kvs(0)


def reader_for(shards: Iterable[messages.Shard]) -> int:
    """The `min_reader` that these need."""
    return READER if any(shard.ownership == "marks" for shard in shards) else records.FORMAT


def marked(
    client: etcd.Client, keys: records.Keys, shards: Iterable[messages.Shard], demanded: int
) -> dict[str, errors.EtcdError]:
    """Of those that would take all of their range for their own, why they may not, by id: they were
    mirrored by marks, so others may have keys there; or another mirror has.

    :param demanded: by `format`: etcd is asked for nothing where there never were marks.
    :raises errors.EtcdError: etcd did not answer.
    """
    whole = [shard for shard in shards if shard.ownership == "range"]
    if not whole or demanded < READER:
        return {}
    known = marking(client, keys).values()
    own = {s.id: keys.owned(dataclasses.replace(s, ownership="marks")) for s in whole}
    # Before they are asked for by a configuration, a person may have had our own keys marked.
    asked = [
        (shard, base, each)
        for shard in whole
        for base in known
        for each in (
            [wire.Range(base, keys_only=True)]
            if base == own[shard.id]
            else below(mapping.Mapping.of(shard, base))
        )
    ]
    found = reads.Reads(client).all([each for _, _, each in asked]) if asked else ()
    refused = {}
    for (shard, base, _), there in zip(asked, found, strict=True):
        if there.kvs:
            whose = "it" if base == own[shard.id] else "another mirror's keys there"
            refused[shard.id] = errors.EtcdError(
                f"{shard.target} would go by range, and {whose} went by sync.ownership: marks, so "
                f"others may have keys there. If nobody has, delete {base.decode()} and what is "
                "below it"
            )
    return refused


def below(marks: mapping.Mapping) -> list[wire.Range]:
    """What shows whether there are any of these."""
    return [
        wire.Range(marks.target, keys_only=True),
        wire.Range(*marks.below(), limit=1, keys_only=True),
    ]


def marking(client: etcd.Client, keys: records.Keys) -> dict[str, bytes]:
    """The mirrors that have marks below our state prefix: what theirs begin with, by id.

    :raises errors.EtcdError: etcd did not answer.
    """
    start, end = keys.all_of("owned")
    found: dict[str, bytes] = {}
    place = start
    while place < end:
        page = client.range(place, end, limit=1, keys_only=True)
        if not page.keys:
            break
        name = page.keys[0][len(start) :].partition(b"/")[0]
        found[name.decode(errors="replace")] = start + name
        place = start + name + b"0"
    return found


def require_reader(client: etcd.Client, keys: records.Keys) -> int:
    """The etcd revision at which `format` was absent, or ours to read.

    :raises errors.NewerReader: it demands a newer reader than we are.
    """
    page = client.range(keys.format())
    for kv in page.kvs:
        check_format(kv.value, kv.key)
    return page.revision


@functools.lru_cache(maxsize=16)
def check_format(value: bytes, key: bytes) -> int:
    """The `min_reader` that it demands.

    :raises errors.NewerReader: this `format` demands a newer reader than we are.
    :raises errors.NewerFormat: it is nobody's."""
    try:
        found = json.loads(value)
        wanted = int(found["min_reader"])
    except (ValueError, TypeError, LookupError) as error:
        raise errors.NewerFormat(f"{key.decode()} in etcd is not ours: {value[:80]!r}") from error
    if wanted > READER:
        raise errors.NewerReader(
            f"{key.decode()} in etcd asks for a reader of format {wanted} (written by "
            f"{found.get('written_by', 'unknown')}); this release reads {READER}: upgrade zk2etcd, "
            "or give it a state.prefix of its own"
        )
    return wanted
