"""The dashboard by itself: what users of the older tool look for, and a form Grafana can import."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.deployment import examples

KNOWN = {
    "etcd put and delete rate": r'rate\(zk2etcd_etcd_op_total\{.*op=~"put\|delete".*success',
    "failures by status and op": r'sum by \(op, status\).*zk2etcd_etcd_op_total\{.*status!="succ',
    "p95 of etcd": r"quantile\(0\.95, sum by \(le, op\).*zk2etcd_etcd_op_duration_seconds_bucket",
    "p99 of etcd": r"quantile\(0\.99, sum by \(le, op\).*zk2etcd_etcd_op_duration_seconds_bucket",
    "p95 of zk": r"quantile\(0\.95, sum by \(le, op\).*zk2etcd_zk_op_duration_seconds_bucket",
    "p99 of zk": r"quantile\(0\.99, sum by \(le, op\).*zk2etcd_zk_op_duration_seconds_bucket",
    "zk requests by op": r"sum by \(op\) \(rate\(zk2etcd_zk_op_total",
    "fixes by type": r"sum by \(type\) \(increase\(zk2etcd_fixed_total",
    "lag": r"zk2etcd_replication_lag_seconds_bucket",
    "phases": r"sum by \(phase\).*zk2etcd_shard_phase",
    "restarts": r"zk2etcd_worker_restarts_total",
    "guard": r"zk2etcd_delete_guard_trips_total",
}


@pytest.mark.parametrize("what", KNOWN)
def test_what_users_look_for_is_there(what: str) -> None:
    assert any(re.search(KNOWN[what], query) for query in examples.queries())


def test_each_panel_asks_the_chosen_source_about_the_chosen_supervisors() -> None:
    for panel in examples.panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            selectors = re.findall(r"\{(.*?)\}", target["expr"])
            assert selectors
            for selector in selectors:
                assert selector.startswith('job=~"$job", instance=~"$instance"'), panel["title"]


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = examples.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
        assert one["x"] + one["w"] <= 24
