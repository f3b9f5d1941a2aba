"""Dashboard and alerts against what a real supervisor tells and a real Prometheus understands."""

from __future__ import annotations

import functools

import pytest

from tests import polling
from tests.acceptance import both_sides, installed, metrics_text
from tests.deployment import conftest, examples, prometheus
from zk2etcd.sandbox import servers


@pytest.fixture(scope="module")
def scraper(
    session_sandbox: servers.Sandbox, supervisor: installed.Supervisor
) -> prometheus.Prometheus:
    folder = session_sandbox.subfolder("prometheus")
    server = prometheus.Prometheus(folder, [supervisor.address], examples.ALERTS)
    server = session_sandbox.adopt(server)
    server.start()
    return server


def test_every_metric_that_is_asked_for_is_in_a_live_scrape(
    supervisor: installed.Supervisor,
) -> None:
    samples = metrics_text.parse(supervisor.ask("/metrics")[1])
    there = {metrics_text.base(sample) for sample in samples}
    asked = [*examples.queries(), *(rule["expr"] for rule in examples.rules())]
    named = {name for query in asked for name in examples.metrics(query)}
    assert len(named) > 25
    assert named <= there


@prometheus.needed
def test_promtool_finds_nothing_to_say_about_our_metrics(supervisor: installed.Supervisor) -> None:
    said = prometheus.promtool("check", "metrics", stdin=supervisor.ask("/metrics")[1])
    assert not said.strip()


@prometheus.needed
def test_prometheus_answers_every_query_with_data(
    scraper: prometheus.Prometheus,
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
) -> None:
    # What went wrong has no series before it does; no worker was started again.
    quiet = [query for query in examples.queries() if "!=" in query or query.endswith("> 0")]
    assert len(quiet) == 3
    expected = [query for query in examples.queries() if query not in quiet]
    for query in quiet:
        assert scraper.query(query) == []
    with both_sides.Load(zookeeper.address, conftest.PREFIX):
        for query in expected:
            answer = functools.partial(scraper.query, query)
            polling.until(answer, 30, every=0.3, what=query)
    sides.wait_equal(conftest.PREFIX)


@prometheus.needed
def test_the_dashboard_sees_what_was_written(
    scraper: prometheus.Prometheus, zookeeper: servers.ZooKeeper
) -> None:
    """Not only are there series: the rate of puts is one, under a load it is above 0."""
    (puts,) = (query for query in examples.queries() if 'op=~"put|delete"' in query)

    def rate() -> float:
        found = {each["metric"]["op"]: float(each["value"][1]) for each in scraper.query(puts)}
        return found.get("put", 0.0)

    with both_sides.Load(zookeeper.address, conftest.PREFIX):
        polling.until(rate, 30, every=0.3, what="puts in the dashboard")


@prometheus.needed
def test_no_alert_fires_on_a_mirror_that_is_well_and_each_can_be_evaluated(
    scraper: prometheus.Prometheus,
) -> None:
    def evaluated() -> bool:
        return all(rule["health"] == "ok" for rule in scraper.rules())

    polling.until(evaluated, 30, every=0.3, what="all rules evaluated")
    found = {rule["name"]: rule["state"] for rule in scraper.rules()}
    assert list(found) == [rule["alert"] for rule in examples.rules()]
    assert set(found.values()) == {"inactive"}, found
