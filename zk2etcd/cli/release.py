"""`zk2etcd release`: a person has looked at what the delete guard holds, and lets it happen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from zk2etcd import errors, text
from zk2etcd.cli import asking
from zk2etcd.client import bars
from zk2etcd.view import status

_SAMPLE = 5


@click.command("release")
@asking.where
@click.option("--yes", is_flag=True, help="Do not ask.")
@asking.waiting
def command(
    where: asking.Where, yes: bool, wait: bool, timeout: float, shards: tuple[str, ...]
) -> int:
    """Let the deletes happen, once, that the guard of these shards holds back; of all without any.

    Shows what would go, and asks on a terminal. Each key is looked up in ZooKeeper once more before
    it is deleted, and never more go than were shown. A SHARD is an id as `zk2etcd status` shows
    it. Exit code with --wait: that of `status` for these shards.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("this shows what would go and asks: run it on a terminal, or --yes")
    client = where.client()
    found = client.status()
    held, unknown = _held(found, shards), "" if shards else _unknown(status.unheard(found))
    if not held and unknown:
        raise errors.Unreachable(f"no guard is known to hold anything; {unknown}")
    if not held:
        click.echo("no guard holds anything: there is nothing to release")
        return 0
    for shard, guard in held.items():
        _show(shard, guard)
    if not yes and not click.confirm(_question(held)):
        click.echo("nothing was released", err=True)
        return 1
    for shard, guard in held.items():
        client.release(shard, guard["id"])
        click.echo(f"{shard}: released, {guard['deletes']:,} deletes at most")
    code = asking.said_unknown(unknown)
    if not wait:
        return code
    trips = {shard: guard["id"] for shard, guard in held.items()}
    with bars.of_shards("releasing", held) as seen:
        found = client.wait_released(trips, timeout, seen)
    asked = [shard for shard in found["shards"] if shard["id"] in held]
    for shard in asked:
        click.echo(f"{shard['id']}: {_result(shard)}")
    return max(code, status.exit_code({**found, "shards": asked, "cluster": None}))


def _held(found: dict[str, Any], shards: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The guards of these shards, of all without any.

    :raises errors.UsageError: a shard is unknown, or its guard holds nothing.
    :raises errors.Unreachable: nobody knows whether it does.
    """
    guards = asking.of_shards(found, shards, "guard")
    if idle := [shard for shard in shards if guards[shard] is None]:
        holders, unheard = asking.of_shards(found, shards, "holder"), status.unheard(found)
        silent = [each for each in unheard if each["name"] in {holders[s] for s in idle}]
        if silent:
            raise errors.Unreachable(_unknown(silent))
        raise errors.UsageError(f"the guard holds nothing of {', '.join(idle)}")
    return {id_: guard for id_, guard in guards.items() if guard}


def _unknown(silent: Sequence[dict[str, Any]]) -> str:
    return asking.unknown("what the guards of {} hold", silent)


def _question(held: dict[str, dict[str, Any]]) -> str:
    if any(guard["kind"] == "identity" for guard in held.values()):
        return "Is this the right ZooKeeper, and may what is held go?"
    return "Delete from etcd those that ZooKeeper still does not have?"


def _show(shard: str, guard: dict[str, Any]) -> None:
    if guard["kind"] == "identity":
        click.echo(text.printable(f"{shard}: nothing is written ({guard['reason']})"))
        click.echo("    released, it mirrors what is there now, and holds deletes for a look")
        return
    came = f", {guard['creates']:,} are new in the same places" if guard.get("creates") else ""
    what = f"{guard['deletes']:,} of {guard['present']:,} keys would go{came} ({guard['reason']})"
    click.echo(f"{shard}: {text.printable(what)}")
    for path in guard["sample"][:_SAMPLE]:
        click.echo(f"    {text.printable(path)}")
    if guard["deletes"] > len(guard["sample"][:_SAMPLE]):
        click.echo(f"    ... all of them: zk2etcd diff -c F (trip {guard['id']})")


def _result(shard: dict[str, Any]) -> str:
    if shard["guard"] is not None:
        return f"the guard holds {shard['guard']['deletes']:,} deletes: look again"
    last = shard["last_full_sync"]
    return f"done, {last['delete']:,} deleted" if last else "done"
