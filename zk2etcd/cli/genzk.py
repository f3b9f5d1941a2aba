"""`zk2etcd genzk`: test data in ZooKeeper, to try a mirror on before it meets the real tree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from zk2etcd.client import bars

if TYPE_CHECKING:
    from zk2etcd_workers.commands import generate

POLL_SECONDS = 0.2


@click.command(name="genzk")
@click.option(
    "--hosts",
    "--zookeeper-servers",
    "hosts",
    default="127.0.0.1:2181",
    show_default=True,
    help="ZooKeeper servers, comma separated.",
)
@click.option("--path", default="/genzk", show_default=True, help="Write below this node.")
@click.option(
    "--parents",
    "--parent-count",
    "parents",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="Nodes below --path.",
)
@click.option(
    "--children",
    "--children-count",
    "children",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="Nodes below each.",
)
@click.option(
    "--keyPrefix",
    "key_prefix",
    metavar="TEXT",
    help="With --shape plain: name all nodes TEXT0, TEXT1, ... [default: parent-, child-].",
)
@click.option(
    "--value-size",
    type=click.IntRange(0, 1_000_000),
    default=64,
    show_default=True,
    help="Bytes in each child's value.",
)
@click.option(
    "--shape",
    type=click.Choice(["plain", "dubbo"]),
    default="plain",
    show_default=True,
    help="dubbo: parents are services, children URLs of providers and consumers.",
)
@click.option(
    "--ephemeral", is_flag=True, help="Ephemeral children: they live until Ctrl-C, or --hold."
)
@click.option(
    "--hold",
    type=click.FloatRange(0),
    default=None,
    metavar="SECONDS",
    help="With --ephemeral: keep the session this long.",
)
@click.option("--concurrent", type=int, hidden=True, help="The older tool's; no meaning here.")
def command(
    hosts: str,
    path: str,
    parents: int,
    children: int,
    key_prefix: str | None,
    value_size: int,
    shape: str,
    ephemeral: bool,
    hold: float | None,
    concurrent: int | None,
) -> None:
    """Write test nodes into ZooKeeper, fast; nodes that exist are left as they are."""
    _check_usage(path, shape, key_prefix)
    if concurrent is not None:
        click.echo("zk2etcd: warning: --concurrent has no meaning here", err=True)
    from zk2etcd_workers.commands import generate  # noqa: PLC0415

    if shape == "dubbo":
        items = generate.dubbo(path, parents, children, value_size, ephemeral)
    else:
        items = generate.plain(path, parents, children, value_size, ephemeral, key_prefix)
    with generate.Writer(hosts) as writer:
        total = generate.size(path, parents, children, 4 if shape == "dubbo" else 0)
        with bars.told(f"creating nodes below {path}", announced=False) as tell:
            done = writer.write(items, lambda nodes: tell(nodes, total))
        rate = done.created / max(done.seconds, 1e-9)
        click.echo(
            f"created {done.created} nodes below {path} in {done.seconds:.1f} s"
            f" ({rate:,.0f} a second), {done.existed} existed"
        )
        if ephemeral:
            _keep(writer, hold)


def _check_usage(path: str, shape: str, key_prefix: str | None) -> None:
    if not path.startswith("/"):
        raise click.BadParameter("a ZooKeeper path begins with /", param_hint="--path")
    if key_prefix is not None and shape != "plain":
        raise click.UsageError("--keyPrefix goes with --shape plain")
    if key_prefix is not None and "/" in key_prefix:
        raise click.BadParameter("is part of a name, so without /", param_hint="--keyPrefix")


def _keep(writer: generate.Writer, hold: float | None) -> None:
    """Return when `hold` seconds are over, on Ctrl-C, or when the session is lost."""
    click.echo(
        "holding the ephemeral nodes until Ctrl-C" if hold is None else f"holding {hold:g} s"
    )
    deadline = None if hold is None else time.monotonic() + hold
    try:
        while writer.alive and (deadline is None or time.monotonic() < deadline):
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo("letting go")
