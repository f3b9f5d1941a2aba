"""`zk2etcd sync`: the older tool's command line, mirrored by this one."""

from __future__ import annotations

from typing import Any

import click

from zk2etcd.cli import older
from zk2etcd.config import older_flags


@click.command("sync", cls=older.Command)
@older.flags(hidden=False)
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE",
    help="One key of the configuration besides, such as http.listen=0.0.0.0:9180.",
)  # fmt: skip
@click.option("-c", "--config", "paths", multiple=True, hidden=True)
def command(paths: tuple[str, ...], sets: tuple[str, ...], print_config: bool, **flags: Any) -> int:
    """Mirror as `run` does, configured by the flags of the older tool of this name.

    --print-config prints the file to go on with: `zk2etcd -c FILE`. What a flag no longer means is
    said on stderr. docs/migrating.md walks from the older tool to this one.
    """
    if paths:
        raise click.UsageError("sync is configured by flags; with a file, write zk2etcd -c FILE")
    with older.configuration(older_flags.Flags(**flags), sets) as (path, content):
        if print_config:
            click.echo(content, nl=False)
            return 0
        from zk2etcd.cli import run  # noqa: PLC0415

        return run.start((path,), sets)
