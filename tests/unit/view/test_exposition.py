"""What /metrics shows: counters of all workers, also of damaged files, and gauges of the view."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import re
import shutil
import subprocess

import pytest
from prometheus_client import parser

from tests.unit import scraping, views
from zk2etcd import conditions
from zk2etcd.view import exposition


def test_a_damaged_file_is_passed_over_and_its_last_good_reading_stands_in(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for slot in ("w0", "w1"):
        scraping.run_and_kill(tmp_path, slot)
    aggregator = exposition.Aggregator(lambda: str(tmp_path), views.view)
    before = scraping.samples(aggregator.text().decode())
    scraping.damage(tmp_path / "counter_w0.db")

    for _ in range(2):
        after = scraping.samples(aggregator.text().decode())
        assert after["zk2etcd_zk_conn_total"] == before["zk2etcd_zk_conn_total"] == 2
    assert capfd.readouterr().err.count("its last good reading") == 1
    assert scraping.scrape(tmp_path)["zk2etcd_zk_conn_total"] == 1, (
        "a new supervisor sees the other slot"
    )


NOISE = random.Random(7).randbytes(99)


@pytest.mark.parametrize("content", [b"", b"\x00" * 65536, b"\x08", b"\xff" * 4096, NOISE])
def test_no_content_of_a_file_fails_a_scrape(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "counter_w0.db").write_bytes(content)

    assert scraping.scrape(tmp_path)['zk2etcd_worker_up{slot="w0"}'] == 1


def test_a_full_sync_that_runs_is_never_said_to_be_over() -> None:
    work = conditions.Work("full_sync", 9, 9, 0, 1.0, None)
    for progress, expected in (((1, 4), 0.25), ((9, 9), 0.99), ((7, 0), 0.0)):
        running = views.report(progress=progress, work=work, full_sync_running=True)
        assert exposition.progress(running) == expected
    rates = {row.name: row.value for row in exposition._SHARD_GAUGES if "full_sync_r" in row.name}
    working = views.report(work=dataclasses.replace(work, remaining_seconds=4.5))
    assert {name: value(working) for name, value in rates.items()} == {
        "shard_full_sync_rate": 1.0,
        "shard_full_sync_remaining_seconds": 4.5,
    }
    assert [value(views.report()) for value in rates.values()] == [0.0, None]
    assert exposition.progress(views.report(progress=(0, 9), full_sync_running=True)) == 0
    assert exposition.progress(views.report(progress=(9, 9))) == 1


def test_gauges_follow_the_view(tmp_path: pathlib.Path) -> None:
    shards = (
        views.shard("a"),
        views.shard("b", phase="full_sync", owned=False, progress=(1, 4), synced_at=None),
        views.shard("c", phase="waiting", last_full_sync=None, unsyncable_total=7, pending=3),
        views.shard("d", drift=conditions.Drift(None, 9, 2, ("/a", "/b"))),
        views.shard("e", drift=conditions.Drift("it is away", 0, 0, ())),
    )
    dead = views.worker("w1", pid=None, state="backoff", restarts=4, resident_bytes=None)
    view = views.view(shards=shards, workers=(views.worker(), dead), reloads={"error": 2})
    found = scraping.samples(
        exposition.Aggregator(lambda: str(tmp_path), lambda: view).text().decode()
    )

    assert found['zk2etcd_shard_owned{shard="a"}'] == 1
    assert found['zk2etcd_shard_owned{shard="b"}'] == 0
    assert found['zk2etcd_shard_phase{phase="full_sync",shard="b"}'] == 1
    assert found['zk2etcd_shard_phase{phase="following",shard="b"}'] == 0
    assert found['zk2etcd_shard_full_sync_progress_ratio{shard="a"}'] == 1
    assert found['zk2etcd_shard_full_sync_progress_ratio{shard="b"}'] == 0.25
    assert found['zk2etcd_shard_full_sync_progress_ratio{shard="c"}'] == 0
    assert found['zk2etcd_shard_synced_timestamp_seconds{shard="a"}'] == views.NOW - 1
    assert 'zk2etcd_shard_synced_timestamp_seconds{shard="b"}' not in found
    assert 'zk2etcd_shard_full_sync_last_success_timestamp_seconds{shard="c"}' not in found
    assert found['zk2etcd_shard_unsyncable{shard="c"}'] == 7
    assert found['zk2etcd_contested{shard="a"}'] == 0
    assert 'zk2etcd_drift_watched{shard="a"}' not in found
    assert found['zk2etcd_contested{shard="d"}'] == 2
    assert found['zk2etcd_drift_watched{shard="d"}'] == 1
    assert found['zk2etcd_drift_watched{shard="e"}'] == 0
    assert found['zk2etcd_shard_pending{shard="c"}'] == 3
    assert found['zk2etcd_worker_up{slot="w1"}'] == 0
    assert found['zk2etcd_worker_restarts_total{slot="w1"}'] == 4
    assert 'zk2etcd_worker_resident_memory_bytes{slot="w1"}' not in found
    assert found['zk2etcd_worker_cpu_seconds_total{slot="w0"}'] == 1.25
    assert found['zk2etcd_config_reloads_total{result="error"}'] == 2
    assert found['zk2etcd_config_reloads_total{result="ok"}'] == 0
    assert found["zk2etcd_config_last_reload_successful"] == 1
    assert any(name.startswith("zk2etcd_build_info{") for name in found)
    assert found["process_resident_memory_bytes"] > 0


def test_the_names_users_have_on_their_dashboards_stay(tmp_path: pathlib.Path) -> None:
    scraping.run_and_kill(tmp_path, "w0")
    text = exposition.Aggregator(lambda: str(tmp_path), views.view).text().decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))

    for name, kind in {
        "zk2etcd_etcd_op_total": "counter",
        "zk2etcd_etcd_op_duration_seconds": "histogram",
        "zk2etcd_zk_op_total": "counter",
        "zk2etcd_zk_op_duration_seconds": "histogram",
        "zk2etcd_fixed_total": "counter",
        "zk2etcd_zk_conn_total": "counter",
        "zk2etcd_zk_connect_total": "counter",
        "zk2etcd_replication_lag_seconds": "histogram",
        "zk2etcd_delete_guard_trips_total": "counter",
    }.items():
        assert types[name] == kind


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say(tmp_path: pathlib.Path) -> None:
    scraping.run_and_kill(tmp_path, "w0")
    text = exposition.Aggregator(lambda: str(tmp_path), views.view).text()
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, check=False, input=text, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_lines_of_shards_are_those_that_the_library_would_write(tmp_path: pathlib.Path) -> None:
    odd = views.shard('a"b\\c\nd', phase="error", synced_at=1764425678.123, keys=3)
    new = views.shard("new", last_full_sync=None, synced_at=None, phase="waiting")
    whole = exposition.Aggregator(lambda: str(tmp_path), lambda: views.view(shards=(odd, new)))
    families = {
        family.name: family
        for family in parser.text_string_to_metric_families(whole.text().decode())
    }
    rows = {f"zk2etcd_{row.name}": row for row in exposition._SHARD_GAUGES}
    for name, row in rows.items():
        found = {each.labels["shard"]: each.value for each in families[name].samples}
        wanted = {each.id: row.value(each.report) for each in (odd, new)}
        assert found == {name: value for name, value in wanted.items() if value is not None}
        assert (families[name].type, families[name].documentation) == ("gauge", row.documentation)
    phases = families["zk2etcd_shard_phase"].samples
    ones = {(each.labels["shard"], each.labels["phase"]) for each in phases if each.value}
    assert ones == {('a"b\\c\nd', "error"), ("new", "waiting")}
    assert len(phases) == 2 * len(exposition._PHASES)
