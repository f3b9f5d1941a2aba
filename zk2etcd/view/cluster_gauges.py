"""What is measured of supervisors that share: who is there, who has how much, what nobody has, and
what came to us for which reason. Whoever does not share has none of it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import metrics_core

from zk2etcd.view import published

_Gauge, _Counter = metrics_core.GaugeMetricFamily, metrics_core.CounterMetricFamily


def of(view: published.View) -> Iterator[metrics_core.Metric]:
    """All of them, out of one view."""
    if (cluster := view.cluster) is None:
        return
    owned = sum(shard.report.owned for shard in view.shards)
    yield _Gauge("zk2etcd_shards_owned", "Shards that this supervisor has, where shared.", owned)
    moves = _Counter(
        "zk2etcd_shard_moves_total",
        "Shards that came here from another supervisor, by why it let go of them.",
        labels=["reason"],
    )
    for reason, count in cluster.moves.items():
        moves.add_metric([reason], count)
    yield moves
    if cluster.untold is not None:  # what was so then may be so no more
        return
    yield _Gauge("zk2etcd_members", "Supervisors that are there.", len(cluster.members))
    yield _Gauge(
        "zk2etcd_members_differing",
        "Supervisors that share with another configuration, or release, than this one.",
        len(cluster.differing(view.instance)),
    )
    unowned = _Gauge(
        "zk2etcd_shard_unowned_seconds",
        "For how long no supervisor is known to have the shard; 0 if one has.",
        labels=["shard"],
    )
    for shard in view.shards:
        unowned.add_metric([shard.id], round(cluster.unowned.get(shard.id, 0.0), 3))
    yield unowned
