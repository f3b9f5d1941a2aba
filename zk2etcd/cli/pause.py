"""`zk2etcd pause`: nothing is written to a shard any more, until a person resumes it."""

from __future__ import annotations

from typing import Any

import click

from zk2etcd.cli import asking


@click.command("pause")
@asking.where
@asking.waiting
def command(where: asking.Where, wait: bool, timeout: float, shards: tuple[str, ...]) -> int:
    """Have nothing written to these shards any more, to all without any, until they are resumed.

    They stay owned, so nobody else mirrors them; it outlasts restarts, reloads and take-overs. With
    --wait it returns when their phase is `paused`: from then on no write of zk2etcd lands, not even
    one that was under way. A SHARD is an id as `zk2etcd status` shows it.
    """
    client = where.client()
    accepted = client.pause(shards or None, asking.person())
    code = asking.untaken(client)
    if wait:
        client.wait_for(accepted, _is_paused, timeout)
    for shard in accepted:
        click.echo(f"{shard}: {'paused' if wait else 'pause asked for'}")
    return code


def _is_paused(shard: dict[str, Any]) -> bool:
    return bool(shard["phase"] == "paused")
