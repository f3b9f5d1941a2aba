"""The counters' files outlive a killed worker and are one set a slot; others need none of it."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from tests.unit import scraping
from zk2etcd import metrics


def test_counters_stay_monotonic_over_kill_9_in_the_same_slot(tmp_path: pathlib.Path) -> None:
    scraping.run_and_kill(tmp_path, "w0")
    before = scraping.scrape(tmp_path)
    scraping.run_and_kill(tmp_path, "w0")
    after = scraping.scrape(tmp_path)

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
        scraping.run_and_kill(tmp_path, slot)

    names = sorted(path.name for path in tmp_path.glob("*.db"))
    assert names == ["counter_w0.db", "counter_w1.db", "histogram_w0.db", "histogram_w1.db"]
    assert scraping.scrape(tmp_path)["zk2etcd_zk_conn_total"] == 3


def test_a_worker_starts_on_what_can_be_read_of_a_damaged_file(tmp_path: pathlib.Path) -> None:
    scraping.run_and_kill(tmp_path, "w0")
    scraping.damage(tmp_path / "counter_w0.db")
    scraping.run_and_kill(tmp_path, "w0")

    assert (tmp_path / "counter_w0.corrupt").exists()
    assert scraping.scrape(tmp_path)['zk2etcd_etcd_op_total{op="txn",status="success"}'] == 10
    assert scraping.scrape(tmp_path)["zk2etcd_zk_conn_total"] == 1, (
        "what lay behind the damage is lost"
    )


def test_null_instruments_need_no_prometheus() -> None:
    code = (
        "import sys; from zk2etcd import metrics; i = metrics.null(); i.etcd_op('put', 'x', 1.0);"
        "i.fixed('put'); assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_supervisor_prepares_a_private_folder_and_takes_it_away() -> None:
    code = (
        "import os; from zk2etcd import metrics; d = metrics.prepare_supervisor().where();"
        "assert os.environ['PROMETHEUS_MULTIPROC_DIR'] == d;"
        "print(d, oct(os.stat(d).st_mode & 0o777))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True)
    directory, mode = done.stdout.split()
    assert mode == "0o700"
    assert not pathlib.Path(directory).exists()


def test_slots_are_bound_through_a_module_attribute_that_still_exists() -> None:
    from prometheus_client import values  # noqa: PLC0415

    assert callable(values.MultiProcessValue)
    assert hasattr(values, "ValueClass")
    assert metrics.DIRECTORY == "PROMETHEUS_MULTIPROC_DIR"
