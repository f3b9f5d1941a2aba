"""`zk2etcd resume`: paused shards are mirrored again, from a comparison of everything on."""

from __future__ import annotations

import sys
from typing import Any

import click

from zk2etcd import errors, text
from zk2etcd.cli import asking
from zk2etcd.view import status

_MIRRORED = ("full_sync", "following", "guarded")


@click.command("resume")
@asking.where
@click.option("--yes", is_flag=True, help="Do not ask.")
@asking.waiting
def command(
    where: asking.Where, yes: bool, wait: bool, timeout: float, shards: tuple[str, ...]
) -> int:
    """End the pause of these shards, of all that are paused without any.

    etcd becomes equal to ZooKeeper again, so what was written to etcd meanwhile is undone: this
    shows who paused what, and asks on a terminal. With --wait it returns when they are mirrored
    again. A SHARD is an id as `zk2etcd status` shows it.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("this shows what was paused and asks: use a terminal, or --yes")
    client = where.client()
    pauses = asking.of_shards(found := client.status(), shards, "pause")
    paused = {shard: pause for shard, pause in pauses.items() if pause}
    silent = () if shards else status.unheard(found)
    unknown = asking.unknown("what {} has paused", silent)
    if not paused and unknown:
        raise errors.Unreachable(f"nothing is known to be paused; {unknown}")
    if not paused and not shards:
        click.echo("nothing is paused: there is nothing to resume")
        return 0
    for shard, pause in paused.items():
        click.echo(text.printable(f"{shard}: paused since {pause['since']} by {pause['by']}"))
    if not yes and not click.confirm("Make etcd equal to ZooKeeper there, whoever wrote to it?"):
        click.echo("nothing was resumed", err=True)
        return 1
    accepted = client.resume(shards or tuple(paused), asking.person())
    code = max(asking.untaken(client), asking.said_unknown(unknown))
    if wait:
        client.wait_for(accepted, _is_mirrored, timeout)
    for shard in accepted:
        click.echo(f"{shard}: {'resumed' if wait else 'resume asked for'}")
    return code


def _is_mirrored(shard: dict[str, Any]) -> bool:
    return shard["pause"] is None and shard["phase"] in _MIRRORED
