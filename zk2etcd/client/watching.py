"""`status --watch`: the status of a running supervisor again and again, until Ctrl-C.

A supervisor is restarted now and then, and who watches wants to see just that: so one that does not
answer is said so, and asked again.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from zk2etcd import errors, text
from zk2etcd.view import advance, problems

if TYPE_CHECKING:
    import rich.console

    from zk2etcd.client import admin_client

EVERY = 1.0
LINE_EVERY = 10.0
"""Seconds between two lines when nothing changes."""


def documents(client: admin_client.Client) -> NoReturn:
    """One JSON document a line and a second; what is in between goes to stderr."""
    away = False
    while True:
        try:
            click.echo(json.dumps(client.status()))
            away = False
        except errors.Unreachable as error:
            if not away:
                click.echo(f"zk2etcd: {text.printable(str(error))}; asking on", err=True)
            away = True
        sys.stdout.flush()
        time.sleep(EVERY)


# --- lines --------------------------------------------------------------------------------------


def lines(client: admin_client.Client) -> NoReturn:
    """`key=value` lines: when something changed, and every ten seconds."""
    said = Lines()
    while True:
        now = time.time()
        try:
            found = said.seen(client.status(), now)
        except errors.Unreachable as error:
            found = said.away(str(error), now)
        for line in found:
            click.echo(line)
        sys.stdout.flush()
        time.sleep(EVERY)


class Lines:
    """What is to be said of each look; a look that shows nothing new says nothing for a while."""

    def __init__(self) -> None:
        self._last: object = None
        self._at = 0.0

    def seen(self, found: Mapping[str, Any], now: float) -> list[str]:
        listed = problems.of(found)
        said = [(each.where, each.what) for each in listed]
        phases = [(shard["id"], shard["phase"], advance.runs(shard)) for shard in found["shards"]]
        if not self._is_new((found["state"], said, phases), now):
            return []
        rows = [_totals(found, len(listed)), *map(_of, filter(advance.runs, found["shards"]))]
        rows += [{"problem": each.where, "what": each.what, "do": each.remedy} for each in listed]
        return [_fields(found["at"], row) for row in rows]

    def away(self, why: str, now: float) -> list[str]:
        if not self._is_new("away", now):
            return []
        at = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="milliseconds")
        return [_fields(at.replace("+00:00", "Z"), {"state": "away", "error": why})]

    def _is_new(self, what: object, now: float) -> bool:
        if what == self._last and now - self._at < LINE_EVERY:
            return False
        self._last, self._at = what, now
        return True


def _totals(found: Mapping[str, Any], problems: int) -> dict[str, Any]:
    phases = [shard["phase"] for shard in found["shards"]]
    lags = [shard["lag_seconds"] for shard in found["shards"] if shard["lag_seconds"] is not None]
    counts = {phase: phases.count(phase) for phase in sorted(set(phases))}
    known = {"lag": max(lags, default=None), "problems": problems}
    return {"state": found["state"], "shards": len(phases), **counts, **known}


def _of(shard: Mapping[str, Any]) -> dict[str, Any]:
    at = shard["progress"]
    keys = ("kind", "done", "total", "written", "rate", "remaining_seconds")
    return {"shard": shard["id"], "phase": shard["phase"], **{key: at.get(key) for key in keys}}


def _fields(at: str, fields: Mapping[str, Any]) -> str:
    """`<time> key=value ...`; what is not known is left out, text with spaces is quoted."""
    known = ((key, value) for key, value in fields.items() if value is not None)
    return " ".join((at, *(f"{key}={_value(value)}" for key, value in known)))


def _value(value: Any) -> str:
    shown = text.printable(str(value))
    plain = shown and not any(char in shown for char in ' "=')
    return shown if plain else json.dumps(shown, ensure_ascii=False)


# --- a terminal ---------------------------------------------------------------------------------


def screen(client: admin_client.Client) -> NoReturn:
    """The whole terminal, drawn anew in place, in whatever size it has by then."""
    import rich.live  # noqa: PLC0415 (rich takes a tenth of a second)

    from zk2etcd.client import status_text  # noqa: PLC0415

    console = status_text.console()
    frames = Frames(client)
    with rich.live.Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(frames.next(console.width), refresh=True)
            time.sleep(EVERY)


class Frames:
    """What the screen shows: the status, or the last one and for how long it has been the last."""

    def __init__(self, client: admin_client.Client) -> None:
        self._client = client
        self._last: Mapping[str, Any] | None = None
        self._at = time.monotonic()

    def next(self, width: int) -> rich.console.RenderableType:
        import rich.console  # noqa: PLC0415

        from zk2etcd.client import status_text  # noqa: PLC0415

        try:
            self._last = self._client.status()
        except errors.Unreachable as error:
            return rich.console.Group(*self._away(str(error), width))
        self._at = time.monotonic()
        return status_text.draw(self._last, width, bars=True)

    def _away(self, why: str, width: int) -> Iterator[rich.console.RenderableType]:
        import rich.text  # noqa: PLC0415

        from zk2etcd.client import status_text  # noqa: PLC0415

        since = text.duration(time.monotonic() - self._at)
        yield rich.text.Text.assemble(
            (" AWAY ", "bold reverse red"),
            (f"  the supervisor has not answered for {since}; asking on\n", "bold"),
            (f"{text.printable(why)}\n", "red"),
        )
        if self._last is not None:
            yield rich.text.Text("What it said last:\n", style="dim")
            yield status_text.draw(self._last, width)
