"""What an operator reads: one trace id from cause to effect, over all processes; a file that all of
them write to; and a mirror that goes on when nobody reads its log."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import documents, polling
from tests.acceptance import both_sides, conftest, installed

Document = installed.Document
ONE, TWO = "/logs/one", "/logs/two"


@pytest.fixture(scope="module")
def shared(mirrors_module: conftest.Mirrors) -> installed.Supervisor:
    """One supervisor with two workers, that says all it can, into a file too."""
    supervisor = mirrors_module.made("/logs", "one", "two")
    file = {"path": str(supervisor.folder / "zk2etcd.log"), "max_bytes": "64KiB", "backups": 1000}
    log = {"level": "debug", "format": "json", "events": True, "file": file}
    supervisor.configure({**supervisor.content, "log": log})
    supervisor.start()
    supervisor.wait_following()
    return supervisor


@pytest.fixture
def running(shared: installed.Supervisor) -> Iterator[installed.Supervisor]:
    """The shared one; afterwards it has its first configuration back."""
    content = copy.deepcopy(shared.content)
    yield shared
    _reload(shared, content)
    polling.until(shared.following)


def _reload(supervisor: installed.Supervisor, content: installed.Settings) -> str:
    """Reload this and return its trace id."""
    before = supervisor.status()["config"]["trace_id"]
    supervisor.configure(content)
    supervisor.reload()

    def trace_id() -> str | None:
        found: str | None = supervisor.status()["config"]["trace_id"]
        return found if found != before else None

    found = polling.until(trace_id, what="a reload")
    assert found is not None
    return found


def _with(supervisor: installed.Supervisor, section: str, **values: Any) -> installed.Settings:
    return installed.laid_over(supervisor.content, **{section: values})


def _mirrored(supervisor: installed.Supervisor, path: str) -> Document:
    def found() -> Document | None:
        lines = supervisor.events("mirrored", path=path)
        return lines[-1] if lines else None

    line = polling.until(found, what=f"an event line of {path}")
    assert line is not None
    return line


def test_one_trace_id_from_the_event_to_the_txn_to_its_line(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    sides.zk.create(f"{ONE}/traced", b"never-logged")
    line = _mirrored(running, f"{ONE}/traced")
    (read,) = running.events("batch read", trace_id=line["trace_id"])
    (txn,) = running.events("Txn done", trace_id=line["trace_id"])
    assert read["process"] == txn["process"] == line["process"] != "supervisor"
    key = sides.etcd.get(f"{ONE}/traced")
    assert key is not None
    assert txn["revision"] == line["revision"] == key.mod_revision
    start = line["trace_id"].partition("-")[0]
    (base,) = running.events("base done", trace_id=start)
    assert base["shard"] == line["shard"]
    assert "never-logged" not in running.log.read_text("utf-8")


def test_one_trace_id_from_a_reload_to_what_the_workers_make_of_it(
    running: installed.Supervisor,
) -> None:
    content = copy.deepcopy(running.content)
    trace = _reload(running, _with(running, "sync", delete_guard={"min_deletes": 7}))
    (line,) = running.events("configuration reloaded", trace_id=trace)
    assert line["process"] == "supervisor"
    assert line["changed"] == ["sync.delete_guard.min_deletes"]
    polling.until(lambda: len(running.events("base done", cause=trace)) == 2, what="both bases")
    for event in ("mirror stops", "mirror starts"):
        lines = running.events(event, trace_id=trace)
        assert {each["process"] for each in lines} == {"w0", "w1"}, event
    back = _reload(running, content)
    polling.until(lambda: len(running.events("base done", cause=back)) == 2, what="both bases")


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_documented_command_finds_what_belongs_together(running: installed.Supervisor) -> None:
    text = (documents.ROOT / "docs" / "operations.md").read_text("utf-8")
    (command,) = [line for line in text.splitlines() if line.startswith("cat zk2etcd.log*")]
    (base,) = running.events("base done", shard=running.shards()[ONE]["id"])[:1]
    known = command.split("--arg id ")[1].split()[0]
    for trace in (base["trace_id"], base["cause"]):
        done = subprocess.run(
            ["sh", "-c", command.replace(known, trace)],
            cwd=running.folder,
            capture_output=True,
            check=True,
            timeout=20,
        )
        found = [json.loads(line)["event"] for line in done.stdout.splitlines()]
        assert "base done" in found
        assert ("claiming shards" in found) is (trace == base["cause"])


def test_one_trace_id_from_the_schedule_to_the_repair(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    sides.etcd.put(f"{TWO}/n3", b"tampered")
    done = installed.run("full-sync", "--wait", "--url", running.url)
    assert done.returncode == 0
    result = running.shards()[TWO]["last_full_sync"]
    lines = running.events(trace_id=result["trace_id"])
    said = {each["event"]: each["process"] for each in lines}
    assert said["full sync due"] == "supervisor"
    workers = {said[event] for event in ("repaired", "mirrored", "full sync done")}
    assert workers == {running.shards()[TWO]["worker"]}


def test_one_trace_id_from_a_worker_s_end_to_its_successor(running: installed.Supervisor) -> None:
    pid = running.worker_pids()["w0"]
    os.kill(pid, 9)
    ended = polling.until(lambda: running.events("worker ended", pid=pid))
    trace = ended[0]["trace_id"]
    polling.until(lambda: running.events("base done", cause=trace), what="a base after it")
    said = {line["event"]: line["process"] for line in running.events(trace_id=trace)}
    assert said == {
        "worker ended": "supervisor",
        "worker started": "supervisor",
        "worker runs": "w0",
        "mirror starts": "w0",
    }
    assert running.worker("w0")["trace_id"] == trace


def test_the_event_log_is_switched_live(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    pids = running.worker_pids()
    _reload(running, _with(running, "log", events=False))
    seen: list[str] = []

    def unsaid() -> bool:  # it reaches the workers a moment after the reload
        seen.append(f"{ONE}/switch{len(seen)}")
        sides.zk.create(seen[-1], b"")
        polling.until(lambda: running.events("Txn done") and sides.etcd.get(seen[-1]))
        return not running.events("mirrored", path=seen[-1])

    polling.until(unsaid, what="changes that are not logged", every=0.2)
    _reload(running, _with(running, "log", events=True))

    def said() -> list[Document]:
        seen.append(f"{ONE}/switch{len(seen)}")
        sides.zk.create(seen[-1], b"")
        polling.until(lambda: sides.etcd.get(seen[-1]))
        return running.events("mirrored", path=seen[-1])

    polling.until(said, what="changes that are logged again", every=0.2)
    assert running.worker_pids() == pids


def test_the_level_is_changed_by_command_in_every_process(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    for level, heard in (("info", False), ("debug", True)):
        done = installed.run("log", "--level", level, "--url", running.url)
        assert done.returncode == 0
        assert running.status()["log_level"] == level

        def as_asked(heard: bool = heard, level: str = level) -> bool:
            for path in (ONE, TWO):  # each in a worker of its own
                # Another value each time: one that stands is not written again.
                sides.zk.set(f"{path}/n1", f"{level} {time.monotonic_ns()}".encode())
            before = len(running.events("Txn done"))
            polling.until(lambda: sides.equal(ONE) and sides.equal(TWO))
            lines = running.events("Txn done")[before:]
            workers = {line["process"] for line in lines}
            return workers == {"w0", "w1"} if heard else not workers

        polling.until(as_asked, what=f"level {level} in both workers", every=0.2)


def test_the_file_has_every_line_of_every_process_over_its_rotations(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    for source in (ONE, TWO):
        sides.seed(f"{source}/more", 400)
    sides.wait_equal(ONE, TWO)
    _mirrored(running, f"{TWO}/more/n399")
    folder = pathlib.Path(running.folder)

    def keys(paths: list[pathlib.Path]) -> set[str]:
        lines = [line for path in paths for line in path.read_text("utf-8").splitlines()]
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return {f"{e['timestamp']} {e['process']} {e['event']} {e.get('path')}" for e in parsed}

    files = [path for path in folder.glob("zk2etcd.log*") if path.suffix != ".lock"]
    assert len(files) > 3, "no rotations"
    polling.until(lambda: keys(files) >= keys([running.log]), what="each line in the file")


def test_the_file_is_changed_live_and_a_wrong_one_is_refused(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    folder = pathlib.Path(running.folder)
    other = folder / "other.log"
    _reload(running, _with(running, "log", file={"path": str(other)}))

    def both() -> bool:
        for path in (ONE, TWO):
            sides.zk.set(f"{path}/n2", os.urandom(4))
        lines = [json.loads(line) for line in other.read_text("utf-8").splitlines()]
        return {"supervisor", "w0", "w1"} <= {line["process"] for line in lines}

    polling.until(both, what="lines of every process in the other file", every=0.1)
    _reload(running, _with(running, "log", file={"path": str(folder / "none" / "log")}))
    error = running.status()["config"]["error"]
    assert "cannot open the log file" in error
    before = other.stat().st_size
    sides.zk.set(f"{ONE}/n2", b"x")
    polling.until(lambda: other.stat().st_size > before, what="the file in use is written on")


def test_nobody_reads_the_log_and_the_mirror_goes_on(
    sides: both_sides.Sides, prefix: str, tmp_path: pathlib.Path, mirrors: conftest.Mirrors
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    supervisor = mirrors.made(prefix, nodes=5, log={"level": "debug", "events": True})
    command = f"exec {installed.command()} -c {supervisor.config} 2>{pipe}"
    supervisor.command = lambda: ["sh", "-c", command]  # type: ignore[method-assign]
    supervisor.start()
    supervisor.wait_following()
    pids = supervisor.worker_pids()
    sides.seed(f"{prefix}/many", 3000)  # far more lines than a pipe holds
    sides.wait_equal(prefix, timeout=20)
    assert supervisor.following()
    assert supervisor.worker_pids() == pids
    supervisor.signal(signal.SIGUSR2)
    _reload(supervisor, supervisor.content)  # its loop still turns
    assert supervisor.worker_pids() == pids
    content = bytearray()

    def told() -> bool:
        """The lines, now that they are read, say how many were dropped; all are whole."""
        sides.zk.set(prefix, b"one more")
        with contextlib.suppress(BlockingIOError):
            content.extend(os.read(reader, 1_000_000))
        whole = [json.loads(each) for each in content.splitlines() if each.startswith(b"{")]
        # What found room of the stacks may end within a line, which the next one then follows.
        return bool(whole) and b'"event":"log lines dropped: ' in content

    polling.until(told, what="how many lines were dropped")
    os.close(reader)
