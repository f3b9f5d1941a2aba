"""Which of the etcd clusters that answer is ours. Pure: from what each endpoint said.

A cluster is at home where it holds its own id, which we keep in it; one that holds another id is a
copy: restored from a backup, which is right, or a member of old that was started by itself, which
is wrong. So a copy counts only where most of the configured endpoints belong to it, and a cluster
that holds nothing of ours only where nothing says that ours is elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd import errors


class Found(NamedTuple):
    """What one endpoint said: the id of its cluster (hexadecimal), whether our `format` is in it,
    and which id is kept there, "" for none."""

    endpoint: str
    cluster: str
    ours: bool
    kept: str


def kept(value: bytes) -> str:
    """The id in the value of our `cluster` key."""
    try:
        return str(json.loads(value)["id"])
    except (ValueError, LookupError, TypeError):
        return ""


def ours(found: Sequence[Found], total: int, known: str, *, fixed: bool) -> str:
    """The id of our cluster.

    :param total: how many endpoints are configured, but for those that are no members at all.
    :param known: the id until now, "" at the first contact.
    :param fixed: it stands in the configuration.
    :raises errors.OtherCluster: none of them is, or nobody can tell which.
    """
    clusters = {each.cluster: [e for e in found if e.cluster == each.cluster] for each in found}
    if known in clusters:
        return known
    if known:
        copies = [at for at, each in clusters.items() if any(e.ours for e in each)]
        if not fixed and len(clusters) == len(copies) == 1 and _most(clusters[copies[0]], total):
            return copies[0]
        where = "configured as etcd.cluster_id" if fixed else "which is mirrored to"
        raise errors.OtherCluster(
            f"no endpoint that answers is of the etcd cluster {known}, {where}: {_told(found)}; "
            f"nothing is written to it; correct etcd.endpoints{_way_out([*clusters])}"
        )
    home = [at for at, each in clusters.items() if any(e.kept == at for e in each)]
    if len(home) == 1:
        return home[0]
    if len(clusters) > 1:
        raise errors.OtherCluster(
            f"the endpoints belong to different etcd clusters: {_told(found)}; nothing is written; "
            "correct etcd.endpoints, or say which one with etcd.cluster_id"
        )
    return _first(found, total)


def _first(found: Sequence[Found], total: int) -> str:
    """At the first contact with one cluster that is not known to be ours."""
    cluster = found[0].cluster
    is_copy = any(each.kept for each in found)
    if is_copy and not _most(found, total):
        raise errors.OtherCluster(
            f"{_told(found)}, restored from {found[0].kept}, and {len(found)} of {total} endpoints "
            "say so: not enough to believe it; if it is right, set etcd.cluster_id"
        )
    if not any(each.ours for each in found) and 2 * len(found) < total:
        raise errors.OtherCluster(
            f"{_told(found)}, which holds nothing of ours, and only {len(found)} of {total} "
            "endpoints answer: waiting for more of them; if it is right, set etcd.cluster_id"
        )
    return cluster


def _way_out(clusters: Sequence[str]) -> str:
    """What a person does who has set etcd up anew, or restored it; a reload is enough."""
    new = f": {next(iter(clusters))}" if len(clusters) == 1 else ""
    return f", or, if it was set up anew or restored, etcd.cluster_id{new}"


def _most(found: Sequence[Found], total: int) -> bool:
    return 2 * len(found) > total


def _told(found: Sequence[Found]) -> str:
    return ", ".join(f"{each.endpoint} is of cluster {each.cluster}" for each in found)
