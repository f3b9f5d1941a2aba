"""The keys of a shard as etcd has them, as one ascending stream at a pinned revision."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from zk2etcd import errors
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.model import mapping, plan

_FIRST_PAGE = 256
_LARGEST_PAGE = 5_000
_PAGE_BYTES = 4 * 1024 * 1024


def stream(
    client: etcd.Client, shard: mapping.Mapping, *, keys_only: bool = False
) -> Iterator[plan.Held]:
    """The target's own key, then all below it; foreign and excluded keys included, those of other
    buckets not.

    Pages adapt to the size of what they hold, and the next one is under way while one is used.
    If etcd compacted the revision, it goes on from the last key at a new one.

    :raises errors.EtcdError: a page was refused or not answered.
    """
    start, end = shard.below()
    own = client.range(shard.target)
    if start != shard.target:
        # For `to: /`, whose below-range is [/, 0), the range shows the key `/` itself.
        yield _own(own, shard)
    limit = _FIRST_PAGE
    options: dict[str, Any] = {"revision": own.revision, "keys_only": keys_only}
    ask = client.range_soon(start, end, limit=limit, **options)
    while True:
        try:
            page = ask()
        except errors.Compacted:
            options["revision"] = client.range(shard.target).revision
            ask = client.range_soon(start, end, limit=limit, **options)
            continue
        if page.more:
            start = shard.after(page.keys[-1])
            limit = _next_limit(page, limit)
            ask = client.range_soon(start, end, limit=limit, **options)
        yield _own(page, shard)
        if not page.more:
            return


def number(client: etcd.Client, shard: mapping.Mapping) -> int:
    """How many keys `stream` yields: for a bucket, as etcd itself can only count ranges."""
    return sum(len(page.keys) for page in stream(client, shard, keys_only=True))


def _own(page: wire.Page, shard: mapping.Mapping) -> plan.Held:
    """What of a page is this shard's."""
    if shard.buckets == 1:
        return plan.Held(page.keys, page.values)
    own = list(map(shard.owns_key, page.keys))
    keys, values = (list(itertools.compress(each, own)) for each in (page.keys, page.values))
    return plan.Held(keys, values)


def _next_limit(page: wire.Page, limit: int) -> int:
    fitting = _PAGE_BYTES * len(page.keys) // max(page.size, 1)
    return max(8, min(fitting, limit * 4, _LARGEST_PAGE))
