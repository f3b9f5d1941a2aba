"""The commands that look at, and ask, a running supervisor; data on stdout, the rest on stderr."""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

import psutil
import pytest
import yaml

from tests import polling
from tests.acceptance import both_sides, conftest, installed, metrics_text
from zk2etcd.sandbox import server_process, servers

TOP = {"schema_version", "version", "instance", "pid", "started_at", "state", "config", "workers"}
CONFIG = {"path", "loaded_at", "sha256", "error"}
WORKER = {
    *("slot", "pid", "state", "restarts", "last_exit"),
    *("heartbeat_age_seconds", "resident_bytes", "shards"),
}
SHARD = {
    *("id", "from", "to", "worker", "phase", "holder", "protocol", "progress", "keys", "pending"),
    *("zxid", "lag_seconds", "unsyncable", "guard", "last_full_sync", "next_full_sync_at", "error"),
}
COUNTERS = {
    *("zk2etcd_etcd_op_total", "zk2etcd_zk_op_total", "zk2etcd_fixed_total"),
    *("zk2etcd_zk_conn_total", "zk2etcd_zk_connect_total", "zk2etcd_delete_guard_trips_total"),
    *("zk2etcd_worker_restarts_total", "zk2etcd_config_reloads_total"),
    *("zk2etcd_missed_events_total", "zk2etcd_drift_repaired_total"),
}
HISTOGRAMS = {
    *("zk2etcd_etcd_op_duration_seconds", "zk2etcd_zk_op_duration_seconds"),
    *("zk2etcd_replication_lag_seconds", "zk2etcd_full_sync_duration_seconds"),
}
GAUGES = {
    *("zk2etcd_shard_owned", "zk2etcd_shard_phase", "zk2etcd_shard_keys", "zk2etcd_shard_pending"),
    *(
        "zk2etcd_shard_unsyncable",
        "zk2etcd_shard_conflicts",
        "zk2etcd_shard_kept_last",
        "zk2etcd_shard_full_sync_progress_ratio",
    ),
    "zk2etcd_shard_full_sync_rate",
    "zk2etcd_shard_full_sync_last_success_timestamp_seconds",
    *("zk2etcd_shard_synced_timestamp_seconds", "zk2etcd_worker_up"),
    *("zk2etcd_worker_resident_memory_bytes", "zk2etcd_zk_connected"),
    *("zk2etcd_config_last_reload_successful", "zk2etcd_build_info", "zk2etcd_metrics_folder_ok"),
}
TOKEN = "a-token-nobody-shall-see"
PASSWORD = "a-password-nobody-shall-see"


@pytest.fixture(scope="module")
def running(mirrors_module: conftest.Mirrors) -> installed.Supervisor:
    """Two prefixes on two workers, with every kind of secret."""
    digest = {"scheme": "digest", "credentials": "user:${ZK2ETCD_TEST_PASSWORD}"}
    supervisor = mirrors_module.made(
        *("/commands", "a", "b"),
        nodes=30,
        sync={"prefixes": ["/commands/a", {"from": "/commands/b", "to": "/mirrored/b"}]},
        http={"token": TOKEN},
        zookeeper={"auth": [digest]},
    )
    supervisor.variables = {"ZK2ETCD_TEST_PASSWORD": PASSWORD}
    supervisor.start()
    supervisor.wait_following()
    return supervisor


def _ask(
    supervisor: installed.Supervisor, *arguments: str, token: str | None = TOKEN
) -> subprocess.CompletedProcess[str]:
    env = {"ZK2ETCD_TOKEN": token} if token else {}
    done = installed.run(*arguments, "--url", supervisor.url, env=env)
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done


def test_status_as_json_has_the_schema_and_the_truth(running: installed.Supervisor) -> None:
    done = _ask(running, "status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["schema_version"] == 1
    assert found.keys() >= TOP
    assert found["config"].keys() >= CONFIG
    assert found["state"] == "ready"
    assert found["pid"] == running.pid
    assert found["config"]["path"] == str(running.config)
    assert [worker["slot"] for worker in found["workers"]] == ["w0", "w1"]
    for worker in found["workers"]:
        assert worker.keys() >= WORKER
        assert worker["state"] == "running"
        assert worker["heartbeat_age_seconds"] < 5
    for shard in found["shards"]:
        _assert_shard(shard)
    assert {(shard["from"], shard["to"]) for shard in found["shards"]} == {
        ("/commands/a", "/commands/a"),
        ("/commands/b", "/mirrored/b"),
    }


def _assert_shard(shard: dict[str, Any]) -> None:
    assert shard.keys() >= SHARD
    assert shard["phase"] == "following"
    assert shard["protocol"] == "bulk"
    assert shard["keys"] == 31
    assert shard["last_full_sync"].keys() >= {"at", "took_seconds", "put", "delete"}
    assert shard["last_full_sync"]["at"].endswith("Z")
    assert shard["guard"] is None
    assert shard["unsyncable"] == []


def test_memory_and_cpu_are_those_of_the_workers(running: installed.Supervisor) -> None:
    """Measured once a second: right after a start the figures are those of a process that grows."""

    def is_true(worker: dict[str, Any]) -> bool:
        size = psutil.Process(worker["pid"]).memory_info().rss
        return bool(worker["resident_bytes"] == pytest.approx(size, rel=0.3))

    polling.until(
        lambda: all(map(is_true, running.status()["workers"])), what="true sizes of both workers"
    )
    for worker in running.status()["workers"]:
        assert worker["resident_bytes"] > 20_000_000
        used = sum(psutil.Process(worker["pid"]).cpu_times()[:2])
        assert 0 < worker["cpu_seconds"] < used + 0.01


def test_the_lag_is_true_of_a_quiet_prefix(running: installed.Supervisor) -> None:
    polling.until(
        lambda: all((s["lag_seconds"] or 9) < 2.5 for s in running.shards().values()),
        what="fresh within seconds",
    )


def test_status_as_text_names_every_shard_and_worker(running: installed.Supervisor) -> None:
    done = _ask(running, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "READY" in done.stdout
    for word in (
        "/commands/a",
        "/mirrored/b",
        "w0",
        "w1",
        "following",
        running.shard_id("/commands/a"),
    ):
        assert word in done.stdout
    assert "\x1b" not in done.stdout, "no colours where there is no terminal"


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["status", "--json"], ["full-sync"], ["reload"], ["log", "--level", "info"]],
)
def test_no_supervisor_is_exit_3_and_says_where(arguments: list[str]) -> None:
    address = f"http://127.0.0.1:{server_process.free_port()}"
    done = installed.run(*arguments, "--url", address)
    assert (done.returncode, done.stdout) == (3, "")
    assert address in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_full_sync_is_asked_for_and_waited_for(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    shard = running.shards()["/commands/b"]["id"]
    before = running.shards()
    sides.etcd.put("/mirrored/b/n1", b"tampered with")
    done = _ask(running, "full-sync", "--wait", shard)
    assert (done.returncode, done.stderr) == (0, "")
    assert shard in done.stdout
    assert "1 put" in done.stdout
    assert sides.equal("/commands/b", "/mirrored/b")
    after = running.shards()
    assert after["/commands/a"]["last_full_sync"] == before["/commands/a"]["last_full_sync"]
    unknown = _ask(running, "full-sync", "no-such-shard")
    assert unknown.returncode == 2
    assert "no-such-shard" in unknown.stderr


def test_asking_needs_the_token(running: installed.Supervisor) -> None:
    for arguments in (["full-sync"], ["reload"], ["log", "--level", "debug"]):
        done = _ask(running, *arguments, token=None)
        assert (done.returncode, done.stdout) == (2, "")
        assert "ZK2ETCD_TOKEN" in done.stderr
        assert _ask(running, *arguments, token="wrong").returncode == 2
    assert running.status()["log_level"] == "info"
    by_file = installed.run(
        "full-sync", "-c", str(running.config), env={"ZK2ETCD_TEST_PASSWORD": PASSWORD}
    )
    assert by_file.returncode == 0, by_file.stderr


def test_the_log_level_can_be_changed(running: installed.Supervisor) -> None:
    done = _ask(running, "log", "--level", "debug")
    assert (done.returncode, done.stdout) == (0, "")
    assert running.status()["log_level"] == "debug"
    assert _ask(running, "log", "--level", "info").returncode == 0
    assert running.status()["log_level"] == "info"


def test_metrics_have_the_promised_names_and_types(running: installed.Supervisor) -> None:
    code, text = running.ask("/metrics")
    assert code == 200
    types = metrics_text.help_and_types(text)
    assert {name for name, kind in types.items() if kind == "counter"} >= COUNTERS
    assert {name for name, kind in types.items() if kind == "histogram"} >= HISTOGRAMS
    assert {name for name, kind in types.items() if kind == "gauge"} >= GAUGES
    samples = metrics_text.parse(text)
    for source, shard in running.shards().items():
        label = f'{{shard="{shard["id"]}"}}'
        assert samples[f"zk2etcd_shard_keys{label}"] == 31, source
        assert samples[f"zk2etcd_shard_owned{label}"] == 1
        phase = f'zk2etcd_shard_phase{{phase="following",shard="{shard["id"]}"}}'
        assert samples[phase] == 1
    for slot in ("w0", "w1"):
        assert samples[f'zk2etcd_worker_up{{slot="{slot}"}}'] == 1
        assert samples[f'zk2etcd_zk_connected{{slot="{slot}"}}'] == 1
    assert samples["zk2etcd_zk_conn_total"] == 2, "over both workers"
    assert samples['zk2etcd_etcd_op_total{op="put",status="success"}'] >= 62


def test_live_changes_are_counted_and_their_lag_observed(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    name = "zk2etcd_replication_lag_seconds_count"
    before = metrics_text.parse(running.ask("/metrics")[1])[name]
    for source, target in (("/commands/a", "/commands/a"), ("/commands/b", "/mirrored/b")):
        sides.zk.set(f"{source}/n2", b"live")
        polling.until(lambda s=source, t=target: sides.equal(s, t))  # type: ignore[misc]
    polling.until(
        lambda: metrics_text.parse(running.ask("/metrics")[1])[name] >= before + 2,
        what="both lags were observed",
    )


def test_health_is_plain(running: installed.Supervisor) -> None:
    for path in ("/livez", "/healthz", "/readyz"):
        assert running.ask(path) == (200, "ok\n")
    assert running.shard_id("/commands/a") in running.ask("/readyz?verbose")[1]


def test_no_secret_is_shown_anywhere(running: installed.Supervisor) -> None:
    pids = [running.pid, *running.worker_pids().values()]
    shown = {f"cmdline of {pid}": pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in pids}
    shown |= {path: running.ask(path)[1] for path in ("/status", "/metrics", "/", "/readyz")}
    shown["log"] = running.log.read_text("utf-8")
    env = {"ZK2ETCD_TEST_PASSWORD": PASSWORD}
    for arguments in (["config", "show"], ["check"], ["status"], ["diff"]):
        done = installed.run(*arguments, "-c", str(running.config), env=env)
        shown[" ".join(arguments)] = done.stdout + done.stderr
    for where, text in shown.items():
        assert text, where
        assert PASSWORD not in text, where
        assert TOKEN not in text, where


def test_config_show_is_the_configuration_in_effect(running: installed.Supervisor) -> None:
    done = installed.run(
        *("config", "show", "-c", str(running.config), "--set", "sync.full_sync_interval=1m"),
        env={"ZK2ETCD_TEST_PASSWORD": PASSWORD},
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = yaml.safe_load(done.stdout)
    assert found["sync"]["full_sync_interval"] in ("1m", "1m0s", "60s")
    assert found["sync"]["prefixes"][1]["to"] == "/mirrored/b"


def test_config_default_is_a_configuration_and_the_schema_knows_it(
    tmp_path: pathlib.Path,
) -> None:
    default = installed.run("config", "default")
    assert (default.returncode, default.stderr) == (0, "")
    path = tmp_path / "default.yaml"
    path.write_text(default.stdout, "utf-8")
    assert installed.run("config", "show", "-c", str(path)).returncode == 0
    schema = installed.run("config", "schema")
    assert schema.returncode == 0
    assert set(yaml.safe_load(default.stdout)) == set(json.loads(schema.stdout)["properties"])


def test_check_looks_at_both_sides(
    running: installed.Supervisor, zookeeper: servers.ZooKeeper, tmp_path: pathlib.Path
) -> None:
    env = {"ZK2ETCD_TEST_PASSWORD": PASSWORD}
    done = installed.run("check", "-c", str(running.config), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("ZooKeeper", "etcd", "3."):
        assert word in done.stdout
    away = f"127.0.0.1:{server_process.free_port()}"
    path = tmp_path / "away.yaml"
    path.write_text(
        f"zookeeper: {{hosts: ['{zookeeper.address}']}}\n"
        f"etcd: {{endpoints: ['http://{away}'], request_timeout: 1s}}\n"
        "sync: {prefixes: [/a]}\n",
        "utf-8",
    )
    done = installed.run("check", "-c", str(path))
    assert done.returncode == 3, done.stdout + done.stderr
    assert away in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert installed.run("check", "--offline", "-c", str(path)).returncode == 0


def test_version_as_json(running: installed.Supervisor) -> None:
    done = installed.run("version", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found.keys() >= {"version", "commit", "built_at", "python", "dependencies"}
    assert found["version"] == running.status()["version"]
    assert {"kazoo", "grpcio", "prometheus-client"} <= found["dependencies"].keys()


def test_diff_agrees_names_the_tampered_path_and_has_it_repaired(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    env = {"ZK2ETCD_TEST_PASSWORD": PASSWORD}
    arguments = ("diff", "-c", str(running.config), "--rounds", "1", "--round-interval", "50ms")
    assert installed.run(*arguments, env=env).returncode == 0
    sides.etcd.put("/mirrored/b/n3", b"tampered with")
    done = installed.run(*arguments, env=env)
    assert done.returncode == 1
    assert "n3" in done.stdout
    assert installed.run(*arguments, "--fix", env=env).returncode == 0
    assert sides.equal("/commands/b", "/mirrored/b")


@pytest.mark.long
def test_genzk_writes_nodes(zookeeper: servers.ZooKeeper, sides: both_sides.Sides) -> None:
    shape = ("--path", "/genzk-test", "--parents", "3", "--children", "5", "--value-size", "10")
    done = installed.run("genzk", "--hosts", zookeeper.address, *shape)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sides.expected("/genzk-test")) == 1 + 3 + 15
    away = f"127.0.0.1:{server_process.free_port()}"
    done = installed.run("genzk", "--hosts", away, *shape)
    assert done.returncode == 3
    assert done.stderr == f"zk2etcd: ZooKeeper at {away} does not answer\n"


def test_nothing_is_logged_to_stdout(running: installed.Supervisor) -> None:
    """stdout and stderr share the file here: so every line must be one of the log's."""
    lines = running.log.read_text("utf-8").splitlines()
    assert lines
    assert all(json.loads(line)["event"] for line in lines)
