"""What a comparison of both sides yields, one by one."""

from __future__ import annotations

from collections.abc import Iterable

from zk2etcd_workers.model import plan


def each_of(found: Iterable[list[plan.Write] | plan.Extra]) -> list[plan.Write | plan.Extra]:
    """Its changes, in their order."""
    changes: list[plan.Write | plan.Extra] = []
    for each in found:
        changes += [each] if isinstance(each, plan.Extra) else each
    return changes
