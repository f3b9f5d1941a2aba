"""The repair of `zk2etcd diff --fix`: of each shard by whoever may write to it.

One that nobody owns is owned for the time of the repair; one that a supervisor owns is repaired by
its owner, asked for a full sync and, for deletes that a person agreed to, a release of its guard.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from zk2etcd import errors, exchange, text
from zk2etcd.admin import access
from zk2etcd.cli import asking
from zk2etcd.client import admin_client, bars, diff_text
from zk2etcd.config import addresses
from zk2etcd.view import advance, status

if TYPE_CHECKING:
    from zk2etcd import messages
    from zk2etcd.config import models
    from zk2etcd_workers.commands import compare, mend

_STALLED = 60.0
_LONGEST = 24 * 3600.0
_ASKED_ABOUT = 5


class Repair:
    """The repairs by one configuration, told of on stderr; `url` goes over an owner's address."""

    def __init__(self, settings: models.Config, who: messages.Identity, url: str | None) -> None:
        self._settings = settings
        self._who = who
        self._url = url

    def all(
        self,
        found: dict[str, compare.Found],
        compared: Callable[[messages.Shard], compare.Found],
        allow_deletes: bool,
        yes: bool,
    ) -> list[diff_text.Fix]:
        """Repair what differs; afterwards `found` holds new comparisons of that."""
        differing = [each for each in found.values() if each.total]
        if allow_deletes and not yes and not _agreed(differing):
            click.echo("nothing was repaired", err=True)
            return []
        fixes = []
        for each in differing:
            fixes.append(self._fix(each.shard, _going(each) if allow_deletes else None))
            found[each.shard.id] = compared(each.shard)
        return fixes

    def _fix(self, shard: messages.Shard, released: int | None) -> diff_text.Fix:
        """Repair it ourselves, or have its owner do so; `released` deletes are allowed."""
        from zk2etcd_workers.commands import both_sides, mend  # noqa: PLC0415

        try:
            with bars.told(f"repairing {diff_text.names(shard)}") as told:
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
            with bars.told(
                f"repairing {diff_text.names(shard)}: its owner does it, {held.holder}"
            ) as told:
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
        token sent to them. It goes to our own address alone, and to --url."""
        if not (self._url or _leads_to(self._settings.http.listen, url)):
            return None
        return os.environ.get(asking.TOKEN) or access.token(self._settings.http)

    def _hint(self, url: str) -> str:
        unsent = self._token_for(url) is None and not self._url
        return "; if it needs a token, name its address with --url" if unsent else ""


def _leads_to(listen: str, url: str) -> bool:
    """Whether this URL is that of a supervisor of this host that listens there. Another port of
    loopback is anybody's who may run a program here."""
    host, _, port = listen.rpartition(":")
    names = {host}
    if addresses.is_loopback(listen) or host in access.WILDCARDS:
        names = {"127.0.0.1", "[::1]", "localhost"} | names
    try:
        found = exchange.place(url)
    except errors.UsageError:
        return False
    own = {f"{name}:{port}" for name in names}
    return found.scheme == "http" and found.address in own and not found.path


def _release(
    client: admin_client.Client, status: dict[str, Any], shard: str, released: int | None
) -> dict[str, Any]:
    """Release what the owner's guard holds, and what it keeps, if it is no more than the person was
    shown."""
    theirs = next(each for each in status["shards"] if each["id"] == shard)
    held = {kind: theirs.get(kind) for kind in ("guard", "kept_last")}
    ids = {kind: {shard: each["id"]} for kind, each in held.items() if each}
    total = sum(each["deletes"] for each in held.values() if each)
    if not ids or released is None or total > released:
        return status
    for each in ids.values():
        client.release(shard, each[shard])
    look = _Stall(shard).look
    return client.wait_released(ids.get("guard", {}), _LONGEST, look, ids.get("kept_last"))


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
            raise errors.Paused(self._shard, pause["by"], status.seconds(pause["since"]))

    def _judge(self, shard: dict[str, Any]) -> None:
        now = [shard[key] for key in ("phase", "progress", "last_full_sync", "worker")]
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        elif time.monotonic() - self._since > _STALLED:
            said = shard["error"] or f"its phase is {shard['phase']}"
            raise errors.Zk2EtcdError(
                f"shard {self._shard} did not move for {_STALLED:g} s: {said}; see `zk2etcd status`"
            )


def _going(found: compare.Found) -> int:
    """How many keys would go, those too that stay as the last of their folders."""
    return found.counts["extra"] + found.counts["kept_last"]


def _agreed(differing: list[compare.Found]) -> bool:
    """Show what would be deleted, and ask."""
    going = [each for each in differing if _going(each)]
    for each in going:
        what = f"{_going(each):,} of {each.keys:,} keys are in etcd only"
        click.echo(f"{diff_text.names(each.shard)}: {what}", err=True)
        both = itertools.chain(each.differences("extra"), each.differences("kept_last"))
        for shown in itertools.islice(both, _ASKED_ABOUT):
            click.echo(f"    {text.printable(shown.key)}", err=True)
    question = "Delete from etcd those of them that ZooKeeper still does not have?"
    return not going or click.confirm(question, err=True)
