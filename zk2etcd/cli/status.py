"""`zk2etcd status`: is all well, and if not, what is to be done."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from zk2etcd.cli import asking
from zk2etcd.view import status

if TYPE_CHECKING:
    from zk2etcd.client import admin_client

_CANNOT_DRAW = ("dumb", "unknown")


@click.command("status")
@asking.where
@click.option("--json", "as_json", is_flag=True, help="Print the /status document.")
@click.option(
    "--watch",
    is_flag=True,
    help="Go on until Ctrl-C: on a terminal with bars, else as lines of key=value; with --json one "
    "document a second.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Give each shard a line, also where more than 50 only follow, and each supervisor that "
    "shares them its workers.",
)
def command(where: asking.Where, as_json: bool, watch: bool, everything: bool) -> int:
    """Show the running supervisor's status; where several share the shards, that of all.

    Each tells of its own shards, within 2 s; one that does not is named.
    """
    client = where.client()
    if watch:
        _watch(client, as_json)
    found = client.status()
    _show(found, as_json, everything)
    return status.exit_code(found)


def _show(found: dict[str, Any], as_json: bool, everything: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    from zk2etcd.client import status_text  # noqa: PLC0415

    console = status_text.console()
    console.print(status_text.draw(found, console.width, everything=everything))


def _watch(client: admin_client.Client, as_json: bool) -> NoReturn:
    from zk2etcd.client import watching  # noqa: PLC0415

    if as_json:
        watching.documents(client)
    if sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in _CANNOT_DRAW:
        watching.screen(client)
    watching.lines(client)
