from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tests import polling, specs
from tests.unit import settings
from zk2etcd import messages
from zk2etcd.process import ahead, channel, spawned

ROOT = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def started(target: str, slot: str = "w0") -> Iterator[spawned.Child]:
    child = spawned.Child(specs.spec(slot), f"tests.targets.{target}")
    try:
        yield child
    finally:
        child.kill()
        polling.until(lambda: child.exit_code() is not None, 5)
        child.close()


def received(child: spawned.Child, timeout: float = 10.0) -> list[object]:
    return polling.until(child.channel.receive, timeout, what="a message of the child")


def assign(*sources: str) -> messages.Assign:
    shards = tuple(messages.Shard(source[1:], source, source) for source in sources)
    return messages.Assign(1, shards, {}, settings.configured())


def test_a_child_reports_carries_out_and_drains_with_status_0() -> None:
    with started("obedient") as child:
        first = received(child)[0]
        assert isinstance(first, messages.Report)
        assert (first.slot, first.generation) == ("w0", 0)
        child.channel.send(assign("/dubbo", "/services"))
        held = ("dubbo", "services")
        polling.until(
            lambda: [
                one
                for one in child.channel.receive()
                if isinstance(one, messages.Report) and one.held == held
            ]
        )
        child.channel.send(messages.Drain(1.0))
        assert polling.until(lambda: child.exit_code() is not None, 5) is True
        assert child.exit_code() == 0
        last = child.channel.receive()[-1]
        assert isinstance(last, messages.Report)
        assert last.held == ()


def test_the_title_tells_slot_and_shards_and_the_command_line_no_settings() -> None:
    with started("obedient", "w3") as child:
        received(child)
        title = psutil.Process(child.pid).cmdline()
        assert title[0] == "zk2etcd worker w3 []"
        child.channel.send(assign("/dubbo", "/services"))
        wanted = "zk2etcd worker w3 [/dubbo /services]"
        polling.until(lambda: psutil.Process(child.pid).cmdline()[0] == wanted)


def test_a_child_imports_nothing_of_the_command_line_or_the_http_server() -> None:
    with started("telling") as child:
        modules = received(child)[0]
        assert isinstance(modules, list)
        heavy = {"flask", "click", "rich", "waitress", "pytest", "psutil", "grpc", "kazoo"}
        assert heavy.isdisjoint(modules)
        assert "zk2etcd.process.bootstrap" in modules


@pytest.fixture
def waiting() -> Iterator[ahead.Interpreter]:
    """One that was started before it is known what for; it loads `obedient`."""
    interpreter = ahead.Interpreter("tests.targets.obedient")
    ahead._waiting.append(interpreter)
    yield interpreter
    ahead.discard()


def test_a_child_takes_the_interpreter_that_waits_for_it(waiting: ahead.Interpreter) -> None:
    pid = waiting.process.pid
    assert ahead.pids() == {pid}
    with started("crashing") as other:  # which needs another one
        assert other.pid != pid
    with started("obedient", "w7") as child:
        assert child.pid == pid
        assert ahead.pids() == frozenset()
        told = received(child)[0]
        assert isinstance(told, messages.Report)
        assert told.slot == "w7"
    with started("obedient") as another:
        assert another.pid != pid
        received(another)


def test_one_that_nobody_needs_is_ended(waiting: ahead.Interpreter) -> None:
    pid = waiting.process.pid
    assert pid is not None
    ahead.discard()
    ahead.discard()
    assert ahead.pids() == frozenset()
    assert not psutil.pid_exists(pid)


def test_one_that_has_ended_is_a_child_that_has_ended(waiting: ahead.Interpreter) -> None:
    waiting.process.kill()
    with started("obedient") as child:
        polling.until(lambda: child.exit_code() is not None, 5)
        assert child.exit_code() == -signal.SIGKILL


@pytest.mark.usefixtures("waiting")
def test_it_may_open_as_many_files_as_the_system_gives() -> None:
    """It may have been started before the supervisor's own limit was raised."""
    with started("obedient") as child:
        received(child)
        soft, hard = psutil.Process(child.pid).rlimit(psutil.RLIMIT_NOFILE)
        assert soft == hard


def test_a_supervisor_that_cannot_start_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("zookeeper: {}\n")
    roots = os.pathsep.join([str(ROOT), str(ROOT / "workers")])
    with subprocess.Popen(
        [sys.executable, "-m", "zk2etcd", "run", "-c", str(wrong)],
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": roots},
    ) as command:
        assert command.wait(30) == 2
        assert command.stderr is not None
        assert b"sync.prefixes" in command.stderr.read()

    def is_gone() -> bool:
        try:
            os.killpg(command.pid, 0)
        except ProcessLookupError:
            return True
        return False

    polling.until(is_gone, 10, what="the end of all its processes")


def test_a_crash_shows_its_status() -> None:
    with started("crashing") as child:
        polling.until(lambda: child.exit_code() is not None, 10)
        assert child.exit_code() == 7
        polling.until(lambda: child.channel.receive() == [] and child.channel.broken)


def test_interrupts_of_the_terminal_leave_a_child_alone_from_its_first_moment() -> None:
    with started("obedient") as child:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(child.pid, number)
        received(child)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(child.pid, number)
        received(child)
        received(child)
        assert child.exit_code() is None


def test_a_stopped_child_with_a_full_pipe_holds_nobody_up_and_can_be_killed() -> None:
    with started("deaf") as child:
        received(child)
        os.kill(child.pid, signal.SIGSTOP)
        began = time.monotonic()
        large = assign("/" + "x" * 100_000)
        for _ in range(channel.MOST_UNSENT // 100_000 + 2):
            child.channel.send(large)
        assert child.channel.broken is not None
        assert "unread" in child.channel.broken
        assert not child.channel.wants_write
        assert time.monotonic() - began < 20
        child.kill()
        polling.until(lambda: child.exit_code() is not None, 2)
        assert child.exit_code() == -signal.SIGKILL


def test_what_did_not_fit_goes_out_when_the_child_reads_again() -> None:
    with started("obedient") as child:
        received(child)
        os.kill(child.pid, signal.SIGSTOP)
        for _ in range(20):
            child.channel.send(assign("/" + "x" * 100_000))
        child.channel.send(assign("/last"))
        assert child.channel.wants_write
        os.kill(child.pid, signal.SIGCONT)

        def arrived() -> bool:
            child.channel.flush()
            return any(
                isinstance(one, messages.Report) and one.held == ("last",)
                for one in child.channel.receive()
            )

        polling.until(arrived)


def test_half_a_message_holds_nobody_up() -> None:
    with started("torn") as child:
        assert len(received(child)) == 1
        began = time.monotonic()
        assert child.channel.receive() == []
        assert time.monotonic() - began < 5
        assert child.channel.broken is None


def test_what_is_no_message_breaks_the_channel_and_not_the_supervisor() -> None:
    with started("garbled") as child:
        polling.until(lambda: child.channel.receive() == [] and child.channel.broken, 10)
        assert "cannot be read" in str(child.channel.broken)


def test_usage_is_told_while_it_lives() -> None:
    with started("obedient") as child:
        received(child)
        usage = child.usage()
        assert usage is not None
        assert usage[0] > 1_000_000
        assert usage[1] > 0


def test_sigusr2_writes_the_stacks_of_a_child_that_hangs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with started("silent") as child:
        os.kill(child.pid, signal.SIGUSR2)  # also before the child has set anything up
        seen: list[str] = []

        def dumped() -> bool:
            seen.append(capfd.readouterr().err)
            return "in silent" in "".join(seen) or "most recent call first" in "".join(seen)

        polling.until(dumped)
        assert child.exit_code() is None


PARENT = """
import signal, sys, time
from tests import specs
from zk2etcd.process import spawned
if __name__ == "__main__":
    children = [spawned.Child(specs.spec(f"w{i}"), sys.argv[1]) for i in range(2)]
    for child in children:
        while not child.channel.receive():
            time.sleep(0.01)
    print(*[child.pid for child in children], flush=True)
    while True:
        time.sleep(60)
"""


def test_children_die_with_a_killed_parent_a_stopped_one_included(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    roots = os.pathsep.join([str(ROOT), str(ROOT / "workers")])
    with subprocess.Popen(
        [sys.executable, str(script), "tests.targets.deaf"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": roots},
    ) as parent:
        try:
            assert parent.stdout is not None
            children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
            assert len(children) == 2
            children[0].suspend()
        finally:
            parent.kill()
        gone, alive = psutil.wait_procs(children, timeout=20)
        for child in alive:
            child.kill()
        assert len(gone) == 2


INIT = """
import ctypes, os, subprocess, sys, time
from tests import specs
from zk2etcd.process import spawned
if __name__ == "__main__":
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: inherit orphans, as PID 1 does
    child = spawned.Child(specs.spec(), "tests.targets.crashing")
    subprocess.run(["sh", "-c", "(exec true) & (exec true) & exit 0"], check=True)
    reaped = 0
    deadline = time.monotonic() + 20
    while (reaped < 2 or child.exit_code() is None) and time.monotonic() < deadline:
        reaped += spawned.reap_orphans(frozenset({child.pid}))
        time.sleep(0.01)
    print(reaped, child.exit_code())
"""


def test_orphans_are_reaped_and_the_status_of_a_known_child_is_kept(
    tmp_path: pathlib.Path,
) -> None:
    script = tmp_path / "init.py"
    script.write_text(INIT)
    roots = os.pathsep.join([str(ROOT), str(ROOT / "workers")])
    done = subprocess.run(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": roots},
        timeout=30,
        check=True,
        text=True,
    )
    assert done.stdout.split() == ["2", "7"]
