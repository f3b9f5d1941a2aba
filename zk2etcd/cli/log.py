"""`zk2etcd log`: look closer, without a restart."""

from __future__ import annotations

import click

from zk2etcd.cli import asking

LEVELS = ("debug", "info", "warning", "error")


@click.command("log")
@asking.options
@click.option("--level", required=True, type=click.Choice(LEVELS), help="Log from this level on.")
def command(
    url: str | None, config: tuple[str, ...], overrides: tuple[str, ...], level: str
) -> None:
    """Change the log level of the running supervisor and its workers, at once.

    It lasts until the next reload that changes log.level, or a restart.
    """
    asking.client(url, config, overrides).log(level)
    click.echo(f"log level is {level}", err=True)
