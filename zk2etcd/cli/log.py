"""`zk2etcd log`: look closer, without a restart."""

from __future__ import annotations

import dataclasses

import click

from zk2etcd.cli import asking

LEVELS = ("debug", "info", "warning", "error")


@click.command("log")
@asking.where
@click.option(
    "--level", required=True, type=click.Choice((*LEVELS, "warn")), help="Log from this level on."
)
@click.option("--zk2etcd-addr", "addr", metavar="URL", help="The older tool's name for --url.")
def command(where: asking.Where, level: str, addr: str | None) -> None:
    """Change the log level of the running supervisor and its workers, at once.

    It lasts until the next reload that changes log.level, or a restart.
    """
    if where.url and addr:
        raise click.UsageError("--zk2etcd-addr is --url: give one of them")
    level = "warning" if level == "warn" else level
    dataclasses.replace(where, url=where.url or addr).client().log(level)
    click.echo(f"log level is {level}", err=True)
