"""`zk2etcd diff`: are both sides equal, in keys and values? And if not, once, make them so."""

from __future__ import annotations

import itertools
import os
import sys
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from zk2etcd import errors, text
from zk2etcd.admin import access
from zk2etcd.cli import asking, older
from zk2etcd.client import admin_client, bars, diff_text
from zk2etcd.config import addresses, loader, older_flags, units
from zk2etcd.policy import sharding
from zk2etcd.view import advance
from zk2etcd.view import status as statuses

if TYPE_CHECKING:
    from zk2etcd import messages
    from zk2etcd.config import models
    from zk2etcd_workers.commands import compare, mend

_STALLED = 60.0
_LONGEST = 24 * 3600.0
_ASKED_ABOUT = 5


@click.command("diff", cls=older.Command)
@older.options(hidden=True)
@click.option(
    "-c", "--config", "paths", multiple=True, metavar="FILE",
    help="The configuration; may be repeated: mappings merge, lists replace.",
)  # fmt: skip
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE",
    help="Override one key, such as sync.ephemeral=skip; wins over every file.",
)  # fmt: skip
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
    address (a token comes from $ZK2ETCD_TOKEN or from -c, and goes to this host or to --url
    only); one that nobody owns is owned for the time of the repair.

    Instead of -c, the flags of the older tool's diff are taken; `zk2etcd sync --help` lists them.
    """
    _check_usage(fix, allow_deletes, yes)
    ctx = click.get_current_context()
    older_ones = older.given(ctx, "max_round")
    if paths and (older_ones or print_config):
        mixed = (*older_ones, "--print-config")[0]
        raise click.UsageError(f"{mixed} and -c exclude each other: a file holds it all")
    options = _Options(fix, allow_deletes, yes, url, as_json)
    if paths:
        looks = (rounds, interval or "1s")
        return _diff(loader.load(paths, sets).config, looks, options)
    if not older_ones:
        raise click.UsageError("give the configuration with -c FILE")
    if ctx.get_parameter_source("rounds") == click.core.ParameterSource.DEFAULT:
        rounds = max(1, max_round - 1)
    with older.configuration(older_flags.Flags(**flags), sets, writes=fix) as (path, content):
        if print_config:
            click.echo(content, nl=False)
            return 0
        return _diff(loader.load((path,), sets).config, (rounds, interval or "3s"), options)


class _Options(NamedTuple):
    fix: bool
    allow_deletes: bool
    yes: bool
    url: str | None
    as_json: bool


def _diff(settings: models.Config, looks: tuple[int, str], options: _Options) -> int:
    """`looks`: how often a difference is looked at again, and how long after."""
    from zk2etcd_workers.commands import compare  # noqa: PLC0415

    job = _Job(settings, compare.Rounds(looks[0], _seconds(looks[1])), options.url)
    found = {shard.id: job.compare(shard) for shard in sharding.shards(settings)}
    fixes = _fix_all(job, found, options.allow_deletes, options.yes) if options.fix else None
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


class _Job:
    """One configuration's comparisons and repairs, told of on stderr."""

    def __init__(self, settings: models.Config, rounds: compare.Rounds, url: str | None) -> None:
        from zk2etcd_workers.commands import both_sides  # noqa: PLC0415

        self._url = url
        self._settings = settings
        self._rounds = rounds
        self._who = both_sides.identity("diff")

    def compare(self, shard: messages.Shard) -> compare.Found:
        from zk2etcd_workers.commands import both_sides, compare  # noqa: PLC0415

        with bars.told(f"comparing {_names(shard)}") as told:
            return both_sides.attempt(
                self._settings,
                self._who,
                lambda both: compare.compare(both, shard, self._rounds, told),
            )

    def fix(self, shard: messages.Shard, released: int | None) -> diff_text.Fix:
        """Repair it ourselves, or have its owner do so; `released` deletes are allowed."""
        from zk2etcd_workers.commands import both_sides, mend  # noqa: PLC0415

        try:
            with bars.told(f"repairing {_names(shard)}") as told:
                done = both_sides.attempt(
                    self._settings, self._who, lambda both: mend.mend(both, shard, released, told)
                )
        except errors.Held as held:
            return self._hand_over(shard, held, released)
        return _own_fix(shard, done)

    def _hand_over(
        self, shard: messages.Shard, held: errors.Held, released: int | None
    ) -> diff_text.Fix:
        owner = f"shard {shard.id} is owned by {held.holder}, who alone may write to it"
        url = self._url or held.admin_url
        if not url:
            raise errors.Unreachable(f"{owner} and left no admin address: try again later")
        try:
            client = admin_client.Client(url, self._token_for(url))
            with bars.told(f"repairing {_names(shard)}: its owner does it, {held.holder}") as told:
                asked = client.full_sync([shard.id])
                look = _Stall(shard.id, told).look
                status = client.wait_full_sync(asked, _LONGEST, look)
                status = _release(client, status, shard.id, released)
        except (errors.Unreachable, errors.UsageError) as error:
            raise type(error)(f"{owner}: {error}{self._hint(url)}") from error
        theirs = next(each for each in status["shards"] if each["id"] == shard.id)
        last, guard = theirs["last_full_sync"], theirs["guard"]
        trip = (str(guard["reason"]), int(guard["deletes"])) if guard else None
        return diff_text.Fix(shard.id, held.holder, last["put"], last["delete"], trip)

    def _token_for(self, url: str) -> str | None:
        """The owner key is mere data in etcd: whoever may write there must not be able to have the
        token sent to them. It goes to this host, to our own address, and to --url."""
        at = urllib.parse.urlsplit(url).netloc
        known = addresses.is_loopback(at) or at == self._settings.http.listen
        if not (known or self._url):
            return None
        return os.environ.get(asking.TOKEN) or access.token(self._settings.http)

    def _hint(self, url: str) -> str:
        unsent = self._token_for(url) is None and not self._url
        return "; if it needs a token, name its address with --url" if unsent else ""


def _release(
    client: admin_client.Client, status: dict[str, Any], shard: str, released: int | None
) -> dict[str, Any]:
    """Release what the owner's guard holds, if it is no more than the person was shown."""
    guard = next(each["guard"] for each in status["shards"] if each["id"] == shard)
    if guard is None or released is None or guard["deletes"] > released:
        return status
    client.release(shard, guard["id"])
    return client.wait_released({shard: guard["id"]}, _LONGEST, _Stall(shard).look)


def _own_fix(shard: messages.Shard, done: mend.Mended) -> diff_text.Fix:
    held = (done.held.reason, done.held.deletes) if done.held else None
    refused = tuple((each.path, each.reason) for each in done.refused)
    return diff_text.Fix(shard.id, None, done.put, done.delete, held, refused)


class _Stall:
    """Notices that the owner gets nowhere. A big shard may well take minutes; but it moves."""

    def __init__(self, shard: str, told: bars.Tell = lambda _done, _total: None) -> None:
        """:param told: of how far the owner is."""
        self._shard = shard
        self._told = told
        self._last: list[Any] = []
        self._since = time.monotonic()

    def look(self, status: dict[str, Any]) -> None:
        """:raises errors.Zk2EtcdError: nothing has changed for a minute, or nothing will."""
        for shard in status["shards"]:
            if shard["id"] == self._shard:
                self._must_be_trusted(shard.get("guard"))
                self._must_not_rest(shard.get("pause"))
                if advance.runs(shard):
                    self._told(shard["progress"]["done"], shard["progress"]["total"])
                self._judge(shard)

    def _must_be_trusted(self, guard: dict[str, Any] | None) -> None:
        """Held on its ensemble's identity, a shard has no full sync until a person releases it."""
        if guard is not None and guard.get("kind") == "identity":
            raise errors.Zk2EtcdError(
                f"shard {self._shard} is held, nothing is written: {guard['reason']}; if ZooKeeper "
                f"is the right one, `zk2etcd release {self._shard}` says so"
            )

    def _must_not_rest(self, pause: dict[str, Any] | None) -> None:
        """Paused meanwhile, it has no full sync until a person resumes it."""
        if pause is not None:
            raise errors.Paused(self._shard, pause["by"], statuses.seconds(pause["since"]))

    def _judge(self, shard: dict[str, Any]) -> None:
        now = [shard[key] for key in ("phase", "progress", "last_full_sync", "worker")]
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        elif time.monotonic() - self._since > _STALLED:
            said = shard["error"] or f"its phase is {shard['phase']}"
            raise errors.Zk2EtcdError(
                f"shard {self._shard} did not move for {_STALLED:g} s: {said}; see `zk2etcd status`"
            )


def _fix_all(
    job: _Job, found: dict[str, compare.Found], allow_deletes: bool, yes: bool
) -> list[diff_text.Fix]:
    """Repair what differs; afterwards `found` holds new comparisons of that."""
    differing = [each for each in found.values() if each.total]
    if allow_deletes and not yes and not _agreed(differing):
        click.echo("nothing was repaired", err=True)
        return []
    fixes = []
    for each in differing:
        fixes.append(job.fix(each.shard, each.counts["extra"] if allow_deletes else None))
        found[each.shard.id] = job.compare(each.shard)
    return fixes


def _agreed(differing: list[compare.Found]) -> bool:
    """Show what would be deleted, and ask."""
    going = [each for each in differing if each.counts["extra"]]
    for each in going:
        what = f"{each.counts['extra']:,} of {each.keys:,} keys are in etcd only"
        click.echo(f"{_names(each.shard)}: {what}", err=True)
        for shown in itertools.islice(each.differences("extra"), _ASKED_ABOUT):
            click.echo(f"    {text.printable(shown.key)}", err=True)
    question = "Delete from etcd those of them that ZooKeeper still does not have?"
    return not going or click.confirm(question, err=True)


def _names(shard: messages.Shard) -> str:
    source = text.bucket(shard.source, shard.bucket, shard.buckets)
    return text.printable(f"{source} -> {shard.target}")
