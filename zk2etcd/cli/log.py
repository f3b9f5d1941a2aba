"""`zk2etcd log`: look closer, without a restart."""

from __future__ import annotations

import click

from zk2etcd.cli import asking

LEVELS = ("debug", "info", "warning", "error")


@click.command("log")
@asking.options
@click.option(
    "--level", required=True, type=click.Choice((*LEVELS, "warn")), help="Log from this level on."
)
@click.option("--zk2etcd-addr", "addr", metavar="URL", help="The older tool's name for --url.")
def command(
    url: str | None,
    config: tuple[str, ...],
    overrides: tuple[str, ...],
    level: str,
    addr: str | None,
) -> None:
    """Change the log level of the running supervisor and its workers, at once.

    It lasts until the next reload that changes log.level, or a restart.
    """
    if url and addr:
        raise click.UsageError("--zk2etcd-addr is --url: give one of them")
    level = "warning" if level == "warn" else level
    asking.client(url or addr, config, overrides).log(level)
    click.echo(f"log level is {level}", err=True)
