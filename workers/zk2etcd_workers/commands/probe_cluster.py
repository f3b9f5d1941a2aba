"""What `check` says of the cluster that the etcd endpoints belong to: is it one, and is it ours?"""

from __future__ import annotations

from collections.abc import Iterator

from zk2etcd import errors
from zk2etcd_workers.commands import both_sides, finding
from zk2etcd_workers.etcd import verdict

_SIDE = finding.Side("etcd")


def facts(both: both_sides.Sides) -> Iterator[finding.Fact]:
    """One about all endpoints that answer; none where our own keys may not be read.

    :raises errors.EtcdError: a login failed.
    """
    both.client.authenticate()
    found = both.client.cluster.survey(everyone=True)[0]
    if not found:
        return
    settings = both.settings.etcd
    try:
        ours = verdict.ours(found, len(settings.endpoints), settings.cluster_id or "", fixed=True)
    except errors.OtherCluster as error:
        yield _SIDE.fail(str(error), "no shard is mirrored as long as that is so")
        return
    strangers = [each for each in found if each.cluster != ours]
    for each in strangers:
        yield _SIDE.fail(
            f"{each.endpoint} is of cluster {each.cluster}, the mirror is in {ours}",
            "take it out of etcd.endpoints: nothing is ever written there",
        )
    if not strangers:
        yield _SIDE.ok(f"its cluster is {ours} (etcd.cluster_id)")
    before = next((each.kept for each in found if each.cluster == ours and each.kept), ours)
    if before != ours:
        yield _SIDE.note(
            f"cluster {ours} is a copy of {before}, restored from a backup",
            "see that no endpoint of that one is left; both sides are compared at the next start",
        )
