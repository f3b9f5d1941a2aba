"""Writing test data into a real ZooKeeper."""

from __future__ import annotations

from collections.abc import Iterator

import click.testing
import pytest

from tests import polling
from zk2etcd import errors
from zk2etcd.cli import genzk
from zk2etcd.sandbox import server_process, servers
from zk2etcd_workers.commands import generate


@pytest.fixture
def writer(zookeeper: servers.ZooKeeper) -> Iterator[generate.Writer]:
    with generate.Writer(zookeeper.address) as opened:
        yield opened


def test_a_tree_is_there_afterwards(writer: generate.Writer, prefix: str) -> None:
    items = list(generate.dubbo(prefix, 40, 15))
    done = writer.write(items)
    assert (done.created, done.existed) == (len(items), 0)
    assert all(writer.read(item.path) == item.value for item in items[::37])


def test_existing_nodes_are_left_as_they_are(writer: generate.Writer, prefix: str) -> None:
    writer.write(generate.plain(prefix, 2, 3, 5))
    writer.set(f"{prefix}/parent-000000/child-000000", b"mine")
    done = writer.write(generate.plain(prefix, 3, 3, 5))
    assert (done.created, done.existed) == (4, 9)
    assert writer.read(f"{prefix}/parent-000000/child-000000") == b"mine"


def test_large_values_do_not_drop_the_connection(writer: generate.Writer, prefix: str) -> None:
    done = writer.write(generate.plain(prefix, 1, 6, 900_000))
    assert done.created == 8


def test_single_changes(writer: generate.Writer, prefix: str) -> None:
    writer.create(prefix, b"1")
    writer.set(prefix, b"2")
    assert writer.read(prefix) == b"2"
    writer.delete(prefix)
    assert writer.read(prefix) is None
    with pytest.raises(errors.ZooKeeperError, match="NoNode"):
        writer.delete(prefix)


def test_ephemeral_nodes_go_with_the_session(
    zookeeper: servers.ZooKeeper, writer: generate.Writer, prefix: str
) -> None:
    leaf = f"{prefix}/parent-000000/child-000000"
    with generate.Writer(zookeeper.address) as other:
        other.write(generate.plain(prefix, 1, 1, 4, True))
        assert writer.read(leaf) == b"0/0."
    polling.until(lambda: writer.read(leaf) is None)
    assert writer.read(f"{prefix}/parent-000000") == b""


def test_an_absent_server_is_unreachable() -> None:
    with pytest.raises(errors.Unreachable, match="does not answer"):
        generate.Writer(f"127.0.0.1:{server_process.free_port()}", connect_timeout=0.5)


def test_a_server_that_went_away_is_not_waited_for_without_an_end(
    fresh_zookeeper: servers.ZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked while there is no connection waits in kazoo's queue for the next one."""
    monkeypatch.setattr(generate, "TIMEOUT_SECONDS", 0.5)
    with generate.Writer(fresh_zookeeper.address, session_timeout=20.0) as writer:
        fresh_zookeeper.kill()
        for _ in range(2):  # the first one sees the connection break
            with pytest.raises(errors.Unreachable, match="went away"):
                writer.create("/x")


def test_the_command(zookeeper: servers.ZooKeeper, writer: generate.Writer, prefix: str) -> None:
    run = click.testing.CliRunner().invoke
    size = ["--hosts", zookeeper.address, "--path", prefix, "--parents", "2", "--children", "3"]
    result = run(genzk.command, size)
    assert result.exit_code == 0, result.output
    assert f"created 9 nodes below {prefix}" in result.output
    assert len(writer.read(f"{prefix}/parent-000001/child-000002") or b"") == 64
    held = run(genzk.command, [*size, "--shape", "dubbo", "--ephemeral", "--hold", "0"])
    assert held.exit_code == 0, held.output
    assert run(genzk.command, ["--path", "relative"]).exit_code == 2


def test_the_command_takes_the_older_tools_flags(
    zookeeper: servers.ZooKeeper, writer: generate.Writer, prefix: str
) -> None:
    run = click.testing.CliRunner().invoke
    counts = ["--parent-count=2", "--children-count=3", "--keyPrefix", "t{0}", "--concurrent=50"]
    result = run(
        genzk.command, [f"--zookeeper-servers={zookeeper.address}", f"--path={prefix}", *counts]
    )
    assert result.exit_code == 0, result.output
    assert "--concurrent has no meaning here" in result.stderr
    assert f"created 9 nodes below {prefix}" in result.stdout
    assert writer.read(f"{prefix}/t{{0}}1/t{{0}}2") is not None
    assert run(genzk.command, ["--keyPrefix", "a", "--shape", "dubbo"]).exit_code == 2
    assert run(genzk.command, ["--keyPrefix", "a/b"]).exit_code == 2
