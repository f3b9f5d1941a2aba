"""`zk2etcd genzk`: test data in ZooKeeper, to try a mirror on before it meets the real tree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zk2etcd_workers import generate

POLL_SECONDS = 0.2


@click.command(name="genzk")
@click.option(
    "--hosts",
    default="127.0.0.1:2181",
    show_default=True,
    help="ZooKeeper servers, comma separated.",
)
@click.option("--path", default="/genzk", show_default=True, help="Write below this node.")
@click.option(
    "--parents", type=click.IntRange(0), default=100, show_default=True, help="Nodes below --path."
)
@click.option(
    "--children", type=click.IntRange(0), default=100, show_default=True, help="Nodes below each."
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
def command(
    hosts: str,
    path: str,
    parents: int,
    children: int,
    value_size: int,
    shape: str,
    ephemeral: bool,
    hold: float | None,
) -> None:
    """Write test nodes into ZooKeeper, fast; nodes that exist are left as they are."""
    if not path.startswith("/"):
        raise click.BadParameter("a ZooKeeper path begins with /", param_hint="--path")
    from zk2etcd_workers import generate  # noqa: PLC0415 (only this command pays for kazoo)

    shaped = generate.dubbo if shape == "dubbo" else generate.plain
    with generate.Writer(hosts) as writer:
        done = writer.write(shaped(path, parents, children, value_size, ephemeral))
        rate = done.created / max(done.seconds, 1e-9)
        click.echo(
            f"created {done.created} nodes below {path} in {done.seconds:.1f} s"
            f" ({rate:,.0f} a second), {done.existed} existed"
        )
        if ephemeral:
            _keep(writer, hold)


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
