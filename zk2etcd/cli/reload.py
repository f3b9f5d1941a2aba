"""`zk2etcd reload`: the same as SIGHUP, but the answer comes back."""

from __future__ import annotations

import click

from zk2etcd.cli import asking


@click.command("reload")
@asking.where
def command(where: asking.Where) -> None:
    """Have the running supervisor read its configuration again.

    Prints the keys that changed. A refused one is exit code 2 with its faults, and the running
    configuration stays.
    """
    changed = where.client().reload()
    for key in changed:
        click.echo(key)
    click.echo("reloaded" if changed else "reloaded: nothing changed", err=True)
