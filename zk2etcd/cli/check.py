"""`zk2etcd check`: would a mirror of this configuration work? Found out before it runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from zk2etcd import cpus, text
from zk2etcd.cli import options
from zk2etcd.config import loader
from zk2etcd.policy import sharding

if TYPE_CHECKING:
    from zk2etcd.config import models
    from zk2etcd_workers.commands import finding

_ONE_WORKER = "leave out buckets, or set workers.count to as many as there are processors to spare"
_COLOURS = {"ok": "green", "note": "yellow", "FAIL": "red"}


@click.command("check")
@options.configuration()
@click.option("--offline", is_flag=True, help="Only validate the configuration.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(paths: tuple[str, ...], sets: tuple[str, ...], offline: bool, as_json: bool) -> int:
    """Validate the configuration, then reach for both sides: versions, rights and limits.

    Nothing is written to either. A note is not a fault.
    """
    settings = loader.load(paths, sets).config
    facts = []
    for fact in _facts(settings, paths, offline):
        facts.append(fact)
        if not as_json:
            _show(fact)
    code = _exit_code(facts)
    if as_json:
        _print_json(facts, code)
    return code


def _facts(
    settings: models.Config, paths: tuple[str, ...], offline: bool
) -> Iterator[finding.Fact]:
    from zk2etcd_workers.commands import finding, probe  # noqa: PLC0415

    side = finding.Side("config")
    shards, slots = sharding.shards(settings), sharding.slots(settings, cpus.usable)
    yield side.ok(f"{' and '.join(paths)} is valid")
    for shard in shards:
        excluded = f", only {', '.join(shard.only)}" if shard.only else ""
        excluded += f", without {', '.join(shard.exclude)}" if shard.exclude else ""
        source = text.bucket(shard.source, shard.bucket, shard.buckets)
        yield side.ok(f"{source} -> {shard.target}{excluded} (shard {shard.id})")
    workers = min(len(shards), len(slots))
    yield side.ok(f"shards: {len(shards)}, on worker processes: {workers}")
    if workers == 1:
        for shard in shards:
            if shard.bucket == 0 and shard.buckets > 1:
                said = f"the {shard.buckets} buckets of {shard.source} are on one worker process"
                yield side.note(f"{said}: nothing is faster for them", _ONE_WORKER)
    if not offline:
        yield from probe.facts(settings, shards)


def _exit_code(facts: list[finding.Fact]) -> int:
    if any(fact.unreachable for fact in facts):
        return 3
    if any(fact.refused for fact in facts):
        return 2
    return 1 if any(fact.status == "FAIL" for fact in facts) else 0


def _show(fact: finding.Fact) -> None:
    mark = click.style(f"{fact.status:<4}", fg=_COLOURS[fact.status])
    click.echo(f"{fact.side:<9}  {mark}  {text.printable(fact.text)}")
    if fact.remedy:
        click.echo(f"{'':<9}        {text.printable(fact.remedy)}")


def _print_json(facts: list[finding.Fact], code: int) -> None:
    document = {
        "schema_version": 1,
        "ok": code == 0,
        "exit_code": code,
        "facts": [dataclasses.asdict(fact) for fact in facts],
    }
    click.echo(json.dumps(document, indent=2))
