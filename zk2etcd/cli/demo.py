"""`zk2etcd demo`: private servers, the main job on them, and a table of promised and seen."""

from __future__ import annotations

import signal
import sys
import threading
import time

import click

from zk2etcd.config import addresses
from zk2etcd.sandbox import demo, demo_stage, server_process, servers as sandboxes


@click.command(name="demo")
@click.option("--keep", is_flag=True, help="Stay up until Ctrl-C, and print the addresses.")
@click.option(
    "--servers",
    is_flag=True,
    help="Only start the two servers, empty, and print their addresses: to try things on.",
)
def command(keep: bool, servers: bool) -> int:
    """Show the main job on a private ZooKeeper and etcd, in a minute."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with sandboxes.opened() as box:
        if servers:
            return _servers(box)
        stage = demo_stage.Stage(box)
        try:
            seen = [_shown(result) for result in demo.play(stage)]
            _table(seen, time.monotonic() - started)
            if not all(result.ok for result in seen):
                _log_end(stage)
            if keep:
                _keep(stage)
        finally:
            stage.close()
    return 0 if all(result.ok for result in seen) else 1


def _servers(box: sandboxes.Sandbox) -> int:
    """Both servers until Ctrl-C, at their usual ports where these are free."""
    zookeeper, etcd = box.zookeeper(durable=False), box.etcd(durable=False)
    zookeeper.port = server_process.free_port(addresses.ZOOKEEPER_PORT)
    etcd.port = server_process.free_port(addresses.ETCD_PORT)
    zookeeper.launch()
    etcd.start()
    zookeeper.wait_ready()
    click.echo(f"ZooKeeper  {zookeeper.address}")
    click.echo(f"etcd       {etcd.url}")
    _until_interrupted()
    return 0


def _shown(result: demo.Seen) -> demo.Seen:
    mark = "ok    " if result.ok else "FAILED"
    click.echo(f"{mark} {result.seconds:5.1f} s  {result.step.name}: {result.seen}")
    return result


def _table(seen: list[demo.Seen], seconds: float) -> None:
    from rich import box, console, markup, table  # noqa: PLC0415 (imported only where it draws)

    drawn = table.Table(box=box.SIMPLE_HEAD, title="zk2etcd demo")
    for column in ("step", "promised", "seen", ""):
        drawn.add_column(column, overflow="fold")
    for result in seen:
        mark = "[green]ok[/]" if result.ok else "[red]FAILED[/]"
        drawn.add_row(result.step.name, result.step.promised, markup.escape(result.seen), mark)
    skipped = len(demo.STEPS) - len(seen)
    console.Console().print(drawn)
    click.echo(
        f"{len(seen)} steps in {seconds:.0f} s" + (f", {skipped} not run" if skipped else "")
    )


def _log_end(stage: demo_stage.Stage) -> None:
    """The last of what the supervisor said, since the folder goes."""
    try:
        log = stage.supervisor.log.read_text("utf-8", "replace")
    except (demo_stage.Broken, FileNotFoundError):
        return
    click.echo("the supervisor's last lines:", err=True)
    click.echo("\n".join(log.splitlines()[-20:]), err=True)


def _keep(stage: demo_stage.Stage) -> None:
    """Print the addresses and wait for Ctrl-C."""
    click.echo(f"zk2etcd    {stage.supervisor.url}/  (also /status, /metrics)")
    click.echo(f"config     {stage.supervisor.config}")
    click.echo(f"ZooKeeper  {stage.zookeeper.address}")
    click.echo(f"etcd       {stage.etcd.url}")
    _until_interrupted()
    stage.supervisor.stop()


def _until_interrupted() -> None:
    click.echo("Ctrl-C ends it and removes everything")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("stopping")
