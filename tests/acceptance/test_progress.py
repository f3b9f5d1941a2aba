"""How far a slow base is: in /status and /metrics, on a terminal, and in a pipe."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess

import pytest

from tests import polling, terminal
from tests.acceptance import conftest, installed, metrics_text
from zk2etcd.sandbox import server_process, servers
from zk2etcd_workers.commands import generate

CHILDREN = 3000
NODES = 1 + 1 + CHILDREN


@pytest.fixture
def slow(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> installed.Supervisor:
    """Not started. Its base takes some 5 seconds."""
    with generate.Writer(zookeeper.address) as writer:
        writer.write(generate.plain(prefix, 1, CHILDREN, 16))
    limited = {"max_reads_per_second": 600}
    return supervise(installed.settings(zookeeper, etcd, [prefix], zookeeper=limited))


def test_a_slow_base_is_seen_to_advance(
    slow: installed.Supervisor, prefix: str, tmp_path: pathlib.Path
) -> None:
    said = tmp_path / "said"
    watch = [installed.command(), "status", "--watch", "--url", slow.url]
    documents, aside = tmp_path / "documents", tmp_path / "aside"
    with said.open("wb") as out, documents.open("wb") as data, aside.open("wb") as err:
        watching = subprocess.Popen(watch, stdout=out, stderr=out)
        as_json = subprocess.Popen([*watch, "--json"], stdout=data, stderr=err)
    try:
        polling.until(lambda: b"state=away" in said.read_bytes(), 10)
        slow.start()
        _advances(slow, prefix)
        polling.until(lambda: b"state=ready" in said.read_bytes(), 10)
    finally:
        for each in (watching, as_json):
            each.send_signal(signal.SIGINT)
            assert each.wait(10) == 130
    found = [json.loads(line) for line in documents.read_text().splitlines()]
    assert "base" in [each["shards"][0]["progress"]["kind"] for each in found]
    assert aside.read_text().count("asking on") == 1
    lines = said.read_text().splitlines()
    assert any(" kind=base " in line for line in lines)
    assert len(lines) < 12
    assert b"\x1b" not in said.read_bytes()
    assert all(line[:2] == "20" and "=" in line for line in lines), lines


def _advances(slow: installed.Supervisor, prefix: str) -> None:
    """Its base does, and the last look is right."""
    seen: list[tuple[installed.Document, float]] = []

    def look() -> bool:
        shard = slow.shards()[prefix]
        at = shard["progress"]
        if at["kind"] is not None and at["total"]:
            samples = metrics_text.parse(slow.ask("/metrics")[1])
            of = f'{{shard="{shard["id"]}"}}'
            seen.append((at, samples[f"zk2etcd_shard_full_sync_progress_ratio{of}"]))
            assert samples[f"zk2etcd_shard_full_sync_rate{of}"] >= 0
        return bool(shard["phase"] == "following")

    polling.until(look, 30, every=0.05)
    assert len(seen) > 3
    steps = [at for at, _ in seen]
    assert {at["kind"] for at in steps} == {"base"}
    assert {at["total"] for at in steps} == {NODES}
    assert [at["compared"] for at in steps] == sorted(at["compared"] for at in steps)
    assert any(100 < at["rate"] < 2000 and 0 < at["remaining_seconds"] < 20 for at in steps)
    assert all(0 < ratio <= 0.99 for _, ratio in seen)
    shard = slow.shards()[prefix]
    assert (shard["progress"]["kind"], shard["written"]) == (None, NODES)
    (base,) = [entry for entry in slow.events("base done") if entry["shard"] == shard["id"]]
    assert steps[0]["trace_id"] == base["trace_id"]


@pytest.mark.long
def test_watching_on_a_terminal(slow: installed.Supervisor) -> None:
    command = [installed.command(), "status", "--watch", "--url", slow.url]
    with terminal.Terminal(command, columns=110) as screen:
        screen.until(r"AWAY .*has not answered")
        slow.start()
        screen.until(r"1 full sync; full sync \d+%.*━ +\d+% +[\d,]+ nodes/s +\S+ s left")
        screen.resize(60)
        screen.until(r"READY .*1 following.*[\r\n]from +worker")
        slow.stop()
        slow.configure({**slow.content, "zookeeper": {"hosts": slow.content["zookeeper"]["hosts"]}})
        screen.until(r"AWAY .*What it said last.*READY")
        slow.start()
        screen.until(r"READY .*1 following")
        assert screen.interrupt() == 130
    assert "Traceback" not in screen.text
    assert screen.raw.count(b"\x1b[?1049h") == screen.raw.count(b"\x1b[?1049l") == 1


def test_a_terminal_that_cannot_draw_gets_lines() -> None:
    nowhere = f"http://127.0.0.1:{server_process.free_port()}"
    command = [installed.command(), "status", "--watch", "--url", nowhere]
    with terminal.Terminal(command, env={"TERM": "dumb"}) as screen:
        screen.until(r"Z state=away error=")
        assert screen.interrupt() == 130
        assert b"\x1b" not in screen.raw


def test_diff_draws_on_stderr_and_keeps_stdout_for_data(slow: installed.Supervisor) -> None:
    command = [installed.command(), "diff", "-c", str(slow.config), "--json", "--rounds", "1"]
    limited = {"max_reads_per_second": 1500}
    slow.configure({**slow.content, "zookeeper": {**slow.content["zookeeper"], **limited}})
    with terminal.Terminal(command, stdout=False) as screen:
        screen.until(r"comparing /.*━.*\d+%, [\d,]+ nodes/s, \S+ s left")
        screen.child.send_signal(signal.SIGINT)
        assert screen.end() == 130
        assert screen.data == ""
        assert "Traceback" not in screen.text
        assert b"\x1b[?25h" in screen.raw  # the cursor is back


def test_genzk_draws_a_bar_on_a_terminal_only(zookeeper: servers.ZooKeeper, prefix: str) -> None:
    command = [installed.command(), "genzk", "--hosts", zookeeper.address, "--parents", "4"]
    command += ["--value-size", "100"]
    with terminal.Terminal(
        [*command, "--children", "6000", "--path", prefix], stdout=False, env={"NO_COLOR": "1"}
    ) as screen:
        screen.until(r"creating nodes below /.*━.*\d+%")
        assert screen.end() == 0
        assert screen.data.startswith("created 24005 nodes below")
    assert not any(f"\x1b[{colour}m" in screen.raw.decode() for colour in range(31, 38))
    piped = installed.run(*command[1:], "--children", "3", "--path", f"{prefix}/more")
    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout.startswith("created 17 nodes below")
