"""`zk2etcd full-sync`: compare everything now instead of when the schedule says so."""

from __future__ import annotations

from typing import Any

import click

from zk2etcd.cli import asking
from zk2etcd.client import bars
from zk2etcd.view import status


@click.command("full-sync")
@asking.where
@asking.waiting
def command(where: asking.Where, wait: bool, timeout: float, shards: tuple[str, ...]) -> int:
    """Have the running supervisor do a full sync of these shards now, of all without any.

    A SHARD is an id as `zk2etcd status` shows it. Exit code with --wait: that of `status`
    for these shards, 1 also when they are not done in time.
    """
    client = where.client()
    accepted = client.full_sync(shards or None)
    code = asking.untaken(client)
    if not wait:
        for shard in accepted:
            click.echo(f"{shard}: full sync asked for")
        return code
    with bars.of_shards("full sync", accepted) as seen:
        found = client.wait_full_sync(accepted, timeout, seen)
    asked = [shard for shard in found["shards"] if shard["id"] in accepted]
    for shard in asked:
        click.echo(_result(shard))
    return max(code, status.exit_code({**found, "shards": asked, "cluster": None}))


def _result(shard: dict[str, Any]) -> str:
    last = shard["last_full_sync"]
    counts = f"{last['put']} put, {last['delete']} deleted"
    return f"{shard['id']}: full sync done in {last['took_seconds']:.2f} s, {counts}"
