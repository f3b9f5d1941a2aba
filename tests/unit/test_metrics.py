"""The counters' files outlive a killed worker, and a damaged one blinds nobody."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.unit import views
from zk2etcd import messages, metrics
from zk2etcd.view import exposition

COUNT = """
import os, signal, sys
from zk2etcd import metrics
instruments = metrics.for_worker(sys.argv[1], sys.argv[2])
for _ in range(5):
    instruments.etcd_op("txn", "success", 0.002)
instruments.etcd_count("put", "success", 640)
instruments.fixed("delete", 2)
instruments.zk_connected()
instruments.lag(-3.0)
instruments.full_sync(1.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run_and_kill(directory: pathlib.Path, slot: str) -> None:
    """A worker in `slot` counts, and dies by kill -9."""
    command = [sys.executable, "-c", COUNT, str(directory), slot]
    done = subprocess.run(command, check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL


def scrape(directory: pathlib.Path) -> dict[str, float]:
    """Every sample of an exposition by its name and labels as they are written."""
    text = exposition.Aggregator(str(directory), views.view).text().decode()
    return samples(text)


def samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_counters_stay_monotonic_over_kill_9_in_the_same_slot(tmp_path: pathlib.Path) -> None:
    run_and_kill(tmp_path, "w0")
    before = scrape(tmp_path)
    run_and_kill(tmp_path, "w0")
    after = scrape(tmp_path)

    assert before['zk2etcd_etcd_op_total{op="txn",status="success"}'] == 5
    assert after['zk2etcd_etcd_op_total{op="txn",status="success"}'] == 10
    assert after['zk2etcd_etcd_op_total{op="put",status="success"}'] == 1280
    assert after['zk2etcd_etcd_op_duration_seconds_count{op="txn",status="success"}'] == 10
    assert after['zk2etcd_fixed_total{type="delete"}'] == 4
    assert after['zk2etcd_fixed_total{type="put"}'] == 0
    assert after["zk2etcd_zk_conn_total"] == 2
    assert after["zk2etcd_zk_connect_total"] == 0
    assert after['zk2etcd_replication_lag_seconds_bucket{le="0.001"}'] == 2
    assert after["zk2etcd_full_sync_duration_seconds_sum"] == 3.0


def test_a_slot_has_one_set_of_files_however_often_it_restarts(tmp_path: pathlib.Path) -> None:
    for slot in ("w0", "w0", "w1"):
        run_and_kill(tmp_path, slot)

    names = sorted(path.name for path in tmp_path.glob("*.db"))
    assert names == ["counter_w0.db", "counter_w1.db", "histogram_w0.db", "histogram_w1.db"]
    assert scrape(tmp_path)["zk2etcd_zk_conn_total"] == 3


def test_a_damaged_file_is_passed_over_and_its_last_good_reading_stands_in(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for slot in ("w0", "w1"):
        run_and_kill(tmp_path, slot)
    aggregator = exposition.Aggregator(str(tmp_path), views.view)
    before = samples(aggregator.text().decode())
    damage(tmp_path / "counter_w0.db")

    for _ in range(2):
        after = samples(aggregator.text().decode())
        assert after["zk2etcd_zk_conn_total"] == before["zk2etcd_zk_conn_total"] == 2
    assert capfd.readouterr().err.count("its last good reading") == 1
    assert scrape(tmp_path)["zk2etcd_zk_conn_total"] == 1, "a new supervisor sees the other slot"


def test_a_worker_starts_on_what_can_be_read_of_a_damaged_file(tmp_path: pathlib.Path) -> None:
    run_and_kill(tmp_path, "w0")
    damage(tmp_path / "counter_w0.db")
    run_and_kill(tmp_path, "w0")

    assert (tmp_path / "counter_w0.corrupt").exists()
    assert scrape(tmp_path)['zk2etcd_etcd_op_total{op="txn",status="success"}'] == 10
    assert scrape(tmp_path)["zk2etcd_zk_conn_total"] == 1, "what lay behind the damage is lost"


def damage(path: pathlib.Path) -> None:
    """Spoil the entry of zk2etcd_zk_conn, and so all behind it."""
    content = bytearray(path.read_bytes())
    at = content.index(b'["zk2etcd_zk_conn",')
    content[at - 4 : at] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)


NOISE = random.Random(7).randbytes(99)


@pytest.mark.parametrize("content", [b"", b"\x00" * 65536, b"\x08", b"\xff" * 4096, NOISE])
def test_no_content_of_a_file_fails_a_scrape(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "counter_w0.db").write_bytes(content)

    assert scrape(tmp_path)['zk2etcd_worker_up{slot="w0"}'] == 1


def test_null_instruments_need_no_prometheus() -> None:
    code = (
        "import sys; from zk2etcd import metrics; i = metrics.null(); i.etcd_op('put', 'x', 1.0);"
        "i.fixed('put'); assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_supervisor_prepares_a_private_folder_and_takes_it_away() -> None:
    code = (
        "import os; from zk2etcd import metrics; d = metrics.prepare_supervisor();"
        "assert os.environ['PROMETHEUS_MULTIPROC_DIR'] == d; assert os.listdir(d) == [];"
        "print(d, oct(os.stat(d).st_mode & 0o777))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True)
    directory, mode = done.stdout.split()
    assert mode == "0o700"
    assert not pathlib.Path(directory).exists()


def test_a_full_sync_that_runs_is_never_said_to_be_over() -> None:
    work = messages.Work("full_sync", 9, 9, 0, 1.0, None)
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
    )
    dead = views.worker("w1", pid=None, state="backoff", restarts=4, resident_bytes=None)
    view = views.view(shards=shards, workers=(views.worker(), dead), reloads={"error": 2})
    found = samples(exposition.Aggregator(str(tmp_path), lambda: view).text().decode())

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
    run_and_kill(tmp_path, "w0")
    text = exposition.Aggregator(str(tmp_path), views.view).text().decode()
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
    run_and_kill(tmp_path, "w0")
    text = exposition.Aggregator(str(tmp_path), views.view).text()
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, check=False, input=text, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_slots_are_bound_through_a_module_attribute_that_still_exists() -> None:
    from prometheus_client import values  # noqa: PLC0415

    assert callable(values.MultiProcessValue)
    assert hasattr(values, "ValueClass")
    assert metrics.DIRECTORY == "PROMETHEUS_MULTIPROC_DIR"
