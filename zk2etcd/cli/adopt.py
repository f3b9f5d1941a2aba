"""`zk2etcd adopt`: a person says that keys which are there already, and equal, are the mirror's."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

import click

from zk2etcd import errors, messages, text
from zk2etcd.cli import options
from zk2etcd.client import bars, diff_text
from zk2etcd.config import loader
from zk2etcd.policy import sharding

if TYPE_CHECKING:
    from zk2etcd_workers.commands.adopting import adopt


@click.command("adopt")
@options.configuration()
@click.option(
    "--from", "from_", metavar="ID",
    help="Take over those that another mirror has marked: its id, as it stands below owned/; with"
    " another state.prefix, PREFIX/owned/ID.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("shards", nargs=-1, metavar="[SHARD]...")
def command(
    paths: tuple[str, ...],
    sets: tuple[str, ...],
    from_: str | None,
    yes: bool,
    shards: tuple[str, ...],
) -> int:
    """Mark as ours what etcd has already and equals ZooKeeper, of these shards, or of all.

    With `sync.ownership: marks` a mirror touches only what it has created, or what was marked so:
    what an older tool has mirrored, say, or this one by range, or by another id. Shows what would
    be marked, and asks on a terminal. No key is changed, and what differs is left; a mirror that
    runs knows of it with its next full sync.
    """
    from zk2etcd_workers.commands import both_sides  # noqa: PLC0415
    from zk2etcd_workers.commands.adopting import adopt  # noqa: PLC0415

    if not yes and not sys.stdin.isatty():
        raise click.UsageError("this shows what it would mark and asks: on a terminal, or --yes")
    settings = loader.load(paths, sets).config
    who = both_sides.identity("adopt")
    found = []
    for shard in _chosen(sharding.shards(settings), shards):
        with bars.told(f"comparing {diff_text.names(shard)}") as told:
            look = functools.partial(adopt.look, shard=shard, from_=from_, told=told)
            found.append(both_sides.attempt(settings, who, look))
        _show(found[-1])
    if not any(each.equal for each in found):
        click.echo("there is nothing to mark")
        return 0
    if not yes and not click.confirm("Are these the mirror's own keys from now on?"):
        click.echo("nothing was marked", err=True)
        return 1
    for each in found:
        with bars.told(f"marking {diff_text.names(each.shard)}") as told:
            work = functools.partial(adopt.adopt, found=each, from_=from_, told=told)
            both_sides.attempt(settings, who, work)
        click.echo(f"{each.shard.id}: {each.marked:,} of {each.equal:,} keys marked")
    click.echo("a mirror that runs knows of it with its next full sync: zk2etcd full-sync")
    return 0


def _chosen(known: tuple[messages.Shard, ...], wanted: tuple[str, ...]) -> list[messages.Shard]:
    """:raises errors.UsageError: one is not in the configuration."""
    if unknown := set(wanted) - {shard.id for shard in known}:
        listed = ", ".join(shard.id for shard in known)
        raise errors.UsageError(f"no such shard: {', '.join(sorted(unknown))}; known: {listed}")
    return [shard for shard in known if not wanted or shard.id in wanted]


def _show(found: adopt.Found) -> None:
    click.echo(f"{found.shard.id} ({diff_text.names(found.shard)}): {found.equal:,} keys are equal")
    for path in found.sample:
        click.echo(f"    {text.printable(path)}")
    if found.equal > len(found.sample):
        click.echo("    ...")
    if found.differs:
        click.echo(f"  {found.differs:,} have other values, and are left alone")
    for name, count in found.owned.items():
        click.echo(f"  {count:,} are marked as those of {text.printable(name)}, and left to it")
    if not found.all_seen:
        click.echo("  whether mirrors with another state.prefix have marked some is not known")
