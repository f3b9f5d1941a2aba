"""The keys of a shard as etcd has them, as one ascending stream at a pinned revision."""

from __future__ import annotations

from collections.abc import Iterator

from zk2etcd import errors
from zk2etcd_workers import etcd, mapping, plan

_FIRST_PAGE = 256
_LARGEST_PAGE = 5_000
_PAGE_BYTES = 4 * 1024 * 1024


def stream(client: etcd.Client, shard: mapping.Mapping) -> Iterator[plan.Held]:
    """The target's own key, then all below it; foreign and excluded keys included.

    Pages adapt to the size of what they hold, and the next one is under way while one is used.
    If etcd compacted the revision, it goes on from the last key at a new one.

    :raises errors.EtcdError: a page was refused or not answered.
    """
    start, end = shard.below()
    own = client.range(shard.target)
    if start != shard.target:
        # For `to: /`, whose below-range is [/, 0), the range shows the key `/` itself.
        yield plan.Held(own.keys, own.values)
    revision = own.revision
    limit = _FIRST_PAGE
    ask = client.range_soon(start, end, limit=limit, revision=revision)
    while True:
        try:
            page = ask()
        except errors.Compacted:
            revision = client.range(shard.target).revision
            ask = client.range_soon(start, end, limit=limit, revision=revision)
            continue
        if page.more:
            start = page.keys[-1] + b"\0"
            limit = _next_limit(page, limit)
            ask = client.range_soon(start, end, limit=limit, revision=revision)
        yield plan.Held(page.keys, page.values)
        if not page.more:
            return


def _next_limit(page: etcd.Page, limit: int) -> int:
    fitting = _PAGE_BYTES * len(page.keys) // max(page.size, 1)
    return max(8, min(fitting, limit * 4, _LARGEST_PAGE))
