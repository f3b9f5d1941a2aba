"""A newer zk2etcd has the keys of the state prefix: this one ends, says so, and wrote nothing."""

from __future__ import annotations

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed

NEWER = b'{"v":2,"min_reader":3,"written_by":"zk2etcd 9"}'


@pytest.fixture
def supervisor(mirrors: conftest.Mirrors, prefix: str) -> installed.Supervisor:
    """Of two shards on two workers, not started."""
    return mirrors.made(prefix, "a", "b")


def _said(stderr: str) -> list[str]:
    """The lines for a person; the others are the log."""
    return [line for line in stderr.splitlines() if line.startswith("zk2etcd: ")]


def _names_key_and_remedy(line: str, prefix: str) -> bool:
    return f"zk2etcd{prefix}/format" in line and "zk2etcd 9" in line and "upgrade" in line


@pytest.mark.parametrize(
    "command",
    [("run",), ("run", "--once"), ("run", "--dry-run"), ("diff",), ("diff", "--fix")],
    ids=" ".join,
)
def test_is_refused_with_exit_2_and_one_line(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str, command: tuple[str, ...]
) -> None:
    sides.etcd.put(f"zk2etcd{prefix}/format", NEWER)
    done = installed.run(*command, "-c", str(supervisor.config))
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in _said(done.stderr) if "format" in line]
    assert _names_key_and_remedy(line, prefix)
    assert "Traceback" not in done.stderr
    # Not the revision of all: leases of others end in the same etcd.
    assert sides.etcd.values(f"zk2etcd{prefix}") == {f"zk2etcd{prefix}/format".encode(): NEWER}
    assert not sides.etcd.values(prefix)


def test_check_tells_it(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str
) -> None:
    sides.etcd.put(f"zk2etcd{prefix}/format", NEWER)
    done = installed.run("check", "-c", str(supervisor.config))
    assert done.returncode == 2, done.stdout + done.stderr
    assert any(_names_key_and_remedy(line, prefix) for line in done.stdout.splitlines())


def test_a_running_supervisor_lets_go_when_a_newer_one_takes_over(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str
) -> None:
    supervisor.start()
    supervisor.wait_following()
    family = installed.family(supervisor)
    sides.etcd.put(f"zk2etcd{prefix}/format", NEWER)
    assert supervisor.end() == 2
    polling.until(lambda: installed.gone(family), what="every process ended")
    (line,) = _said(supervisor.log.read_text())
    assert _names_key_and_remedy(line, prefix)
    assert not sides.owners(f"zk2etcd{prefix}")
    assert sides.etcd.value(f"zk2etcd{prefix}/format") == NEWER


@pytest.mark.long
def test_a_standby_does_not_claim_what_a_newer_one_left(
    supervisor: installed.Supervisor,
    sides: both_sides.Sides,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    standby = supervise(supervisor.content)
    supervisor.start()
    supervisor.wait_following()
    standby.start()
    polling.until(lambda: standby.status()["state"] == "standby", what="it stands by")
    family = installed.family(standby)
    sides.etcd.put(f"zk2etcd{prefix}/format", NEWER)
    assert standby.end() == 2
    polling.until(lambda: installed.gone(family), what="every process ended")
    assert supervisor.end() == 2
    assert not sides.owners(f"zk2etcd{prefix}")
