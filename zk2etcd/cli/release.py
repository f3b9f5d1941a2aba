"""`zk2etcd release`: a person has looked at what the delete guard holds, and lets it happen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from zk2etcd import errors, text
from zk2etcd.cli import asking
from zk2etcd.client import bars
from zk2etcd.view import status

if TYPE_CHECKING:
    from zk2etcd.client import admin_client

_SAMPLE = 5


@click.command("release")
@asking.where
@click.option("--yes", is_flag=True, help="Do not ask.")
@asking.waiting
def command(
    where: asking.Where, yes: bool, wait: bool, timeout: float, shards: tuple[str, ...]
) -> int:
    """Let the deletes happen, once, that the guard of these shards holds back; of all without any.

    So do those of keys that stay as the last of their folders (delete_guard.live.keep_last). Shows
    what would go, and asks on a terminal. Each key is looked up in ZooKeeper once more before it is
    deleted, and never more go than were shown. A SHARD is an id as `zk2etcd status` shows it. Exit
    code with --wait: that of `status` for these shards.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("this shows what would go and asks: run it on a terminal, or --yes")
    client = where.client()
    found = client.status()
    kept, unknown = _standing(found, shards, "kept_last"), ""
    held = _held(found, shards, kept)
    if not shards:
        unknown = _unknown(status.unheard(found))
    if not (held or kept) and unknown:
        raise errors.Unreachable(f"no guard is known to hold anything; {unknown}")
    if not (held or kept):
        click.echo("no guard holds anything: there is nothing to release")
        return 0
    _show_all(held, kept)
    if not yes and not click.confirm(_question(held)):
        click.echo("nothing was released", err=True)
        return 1
    _release(client, [*held.items(), *kept.items()])
    code = asking.said_unknown(unknown)
    if not wait:
        return code
    both = held.keys() | kept.keys()
    with bars.of_shards("releasing", both) as seen:
        found = client.wait_released(_ids(held), timeout, seen, _ids(kept))
    asked = [shard for shard in found["shards"] if shard["id"] in both]
    for shard in asked:
        click.echo(f"{shard['id']}: {_result(shard)}")
    return max(code, status.exit_code({**found, "shards": asked, "cluster": None}))


def _release(client: admin_client.Client, standing: Sequence[tuple[str, Any]]) -> None:
    """Each that may be: one that is refused, by another owner perhaps, keeps none from it.

    :raises errors.Zk2EtcdError: why the first was not released; all are told.
    """
    refused: list[errors.Zk2EtcdError] = []
    for shard, each in standing:
        try:
            client.release(shard, each["id"])
        except errors.Zk2EtcdError as error:
            click.echo(f"{shard}: not released", err=True)
            refused.append(error)
        else:
            click.echo(f"{shard}: released, {each['deletes']:,} deletes at most")
    for another in dict.fromkeys(map(str, refused[1:])):
        if another != str(refused[0]):
            click.echo(text.printable(another), err=True)
    if refused:
        raise refused[0]


_Standing = dict[str, dict[str, Any]]
"""What waits for a release, by shard."""


def _standing(found: dict[str, Any], shards: tuple[str, ...], what: str) -> _Standing:
    """Of these shards, of all without any.

    :raises errors.UsageError: a shard is unknown.
    """
    return {id_: each for id_, each in asking.of_shards(found, shards, what).items() if each}


def _ids(standing: _Standing) -> dict[str, str]:
    return {shard: each["id"] for shard, each in standing.items()}


def _held(found: dict[str, Any], shards: tuple[str, ...], kept: _Standing) -> _Standing:
    """The guards of these shards, of all without any.

    :raises errors.UsageError: a shard is unknown, or its guard holds nothing, and nothing is kept.
    :raises errors.Unreachable: nobody knows whether it does.
    """
    guards = _standing(found, shards, "guard")
    if idle := [shard for shard in shards if shard not in guards and shard not in kept]:
        holders, unheard = asking.of_shards(found, shards, "holder"), status.unheard(found)
        silent = [each for each in unheard if each["name"] in {holders[s] for s in idle}]
        if silent:
            raise errors.Unreachable(_unknown(silent))
        raise errors.UsageError(f"the guard holds nothing of {', '.join(idle)}")
    return guards


def _unknown(silent: Sequence[dict[str, Any]]) -> str:
    return asking.unknown("what the guards of {} hold", silent)


def _question(held: dict[str, dict[str, Any]]) -> str:
    if any(guard["kind"] == "identity" for guard in held.values()):
        return "Is this the right ZooKeeper, and may what is held go?"
    return "Delete from etcd those that ZooKeeper still does not have?"


def _show_all(held: _Standing, kept: _Standing) -> None:
    for shard, guard in held.items():
        _show(shard, guard)
    for shard, each in kept.items():
        what = f"{each['deletes']:,} keys stay, each as the last of its folder"
        click.echo(f"{shard}: {what} (delete_guard.live.keep_last)")
        _show_paths(each)


def _show(shard: str, guard: dict[str, Any]) -> None:
    if guard["kind"] == "identity":
        click.echo(text.printable(f"{shard}: nothing is written ({guard['reason']})"))
        click.echo("    released, it mirrors what is there now, and holds deletes for a look")
        return
    came = f", {guard['creates']:,} are new in the same places" if guard.get("creates") else ""
    what = f"{guard['deletes']:,} of {guard['present']:,} keys would go{came} ({guard['reason']})"
    click.echo(f"{shard}: {text.printable(what)}")
    _show_paths(guard)


def _show_paths(held: dict[str, Any]) -> None:
    for path in held["sample"][:_SAMPLE]:
        click.echo(f"    {text.printable(path)}")
    if held["deletes"] > len(held["sample"][:_SAMPLE]):
        click.echo(f"    ... all of them: zk2etcd diff -c F (trip {held['id']})")


def _result(shard: dict[str, Any]) -> str:
    if shard["guard"] is not None:
        return f"the guard holds {shard['guard']['deletes']:,} deletes: look again"
    if kept := shard.get("kept_last"):
        return f"{kept['deletes']:,} keys stay, each as the last of its folder: look again"
    last = shard["last_full_sync"]
    return f"done, {last['delete']:,} deleted" if last else "done"
