"""`zk2etcd diff`: are both sides equal, in keys and values? And if not, once, make them so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from zk2etcd.cli import diff_fix, older, options
from zk2etcd.client import bars, diff_text
from zk2etcd.config import loader, older_flags, units
from zk2etcd.policy import sharding

if TYPE_CHECKING:
    from zk2etcd import messages
    from zk2etcd.config import models


@click.command("diff", cls=older.Command)
@older.flags(hidden=True)
@options.configuration(required=False)
@click.option("--fix", is_flag=True, help="Repair once, then compare again.")
@click.option(
    "--allow-deletes", is_flag=True,
    help="With --fix: delete also what the guard holds; shows the counts, and asks.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="With --allow-deletes: do not ask.")
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=3, show_default=True,
    help="How often a difference is looked at again before it counts.",
)  # fmt: skip
@click.option(
    "--max-round", "max_round", type=click.IntRange(1, 101), default=1, hidden=True,
    help="With the older tool's flags: the looks in all, at least two are taken.",
)  # fmt: skip
@click.option(
    "--round-interval", "interval", metavar="DURATION",
    help="How long to wait before each of these looks"
    " [default: 1s; 3s with the older tool's flags].",
)  # fmt: skip
@click.option(
    "--url", metavar="URL",
    help="With --fix: ask the owning supervisor here, not at the address in its owner key.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with every path.")
def command(
    paths: tuple[str, ...],
    sets: tuple[str, ...],
    fix: bool,
    allow_deletes: bool,
    yes: bool,
    rounds: int,
    max_round: int,
    interval: str | None,
    url: str | None,
    as_json: bool,
    print_config: bool,
    **flags: Any,
) -> int:
    """Compare the keys and values of every shard, whether a mirror runs or not.

    With --fix, a shard that a supervisor owns is repaired by its owner, asked through its admin
    address (a token comes from $ZK2ETCD_TOKEN or from -c, and goes to our http.listen or to --url
    only); one that nobody owns is owned for the time of the repair.

    Instead of -c, the flags of the older tool's diff are taken; `zk2etcd sync --help` lists them.
    """
    _check_usage(fix, allow_deletes, yes)
    ctx = click.get_current_context()
    older_ones = older.given(ctx, "max_round")
    if paths and (older_ones or print_config):
        mixed = (*older_ones, "--print-config")[0]
        raise click.UsageError(f"{mixed} and -c exclude each other: a file holds it all")
    chosen = _Options(fix, allow_deletes, yes, url, as_json)
    if paths:
        looks = (rounds, interval or "1s")
        return _diff(loader.load(paths, sets).config, looks, chosen)
    if not older_ones:
        raise click.UsageError("give the configuration with -c FILE")
    if ctx.get_parameter_source("rounds") == click.core.ParameterSource.DEFAULT:
        rounds = max(1, max_round - 1)
    with older.configuration(older_flags.Flags(**flags), sets) as (path, content):
        if print_config:
            click.echo(content, nl=False)
            return 0
        return _diff(loader.load((path,), sets).config, (rounds, interval or "3s"), chosen)


class _Options(NamedTuple):
    fix: bool
    allow_deletes: bool
    yes: bool
    url: str | None
    as_json: bool


def _diff(settings: models.Config, looks: tuple[int, str], options: _Options) -> int:
    """`looks`: how often a difference is looked at again, and how long after."""
    from zk2etcd_workers.commands import both_sides, compare  # noqa: PLC0415

    who = both_sides.identity("diff")
    rounds = compare.Rounds(looks[0], _seconds(looks[1]))

    def compared(shard: messages.Shard) -> compare.Found:
        with bars.told(f"comparing {diff_text.names(shard)}") as told:
            return both_sides.attempt(
                settings, who, lambda both: compare.compare(both, shard, rounds, told)
            )

    found = {shard.id: compared(shard) for shard in sharding.shards(settings)}
    fixes = None
    if options.fix:
        repair = diff_fix.Repair(settings, who, options.url)
        fixes = repair.all(found, compared, options.allow_deletes, options.yes)
    results = list(found.values())
    if options.as_json:
        diff_text.show_json(results, fixes)
    else:
        diff_text.show(results, fixes or [])
    return 0 if all(each.equal for each in results) else 1


def _check_usage(fix: bool, allow_deletes: bool, yes: bool) -> None:
    if allow_deletes and not fix:
        raise click.UsageError("--allow-deletes goes with --fix")
    if yes and not allow_deletes:
        raise click.UsageError("--yes goes with --allow-deletes")
    if allow_deletes and not yes and not sys.stdin.isatty():
        raise click.UsageError(
            "--allow-deletes shows what would go and asks: run it on a terminal, or add --yes"
        )


def _seconds(interval: str) -> float:
    try:
        return units.parse_duration(interval)
    except ValueError:
        what = f"{interval!r} is no duration, such as 500ms or 2s"
        raise click.BadParameter(what, param_hint="--round-interval") from None
