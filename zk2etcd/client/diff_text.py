"""What `diff` found and did, as text and as JSON.

Paths are made safe for a terminal here, for whoever may create a znode chooses its name. There may
be millions of them, so they are printed as they are read and never held.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import click

from zk2etcd import messages, text

MEANING = {
    "missing": "in ZooKeeper only",
    "extra": "in etcd only",
    "differs": "with different values",
    "conflict": "with somebody else's key in their place",
    "kept_last": "in etcd only, kept as the last key of a folder",
}
_SHOWN = 20
_NOTES = {
    "unreadable": "not comparable, as ZooKeeper denies the right to read it",
    "changing": "changing while they were looked at, so not counted",
    "kept": "in etcd only and kept, as sync.deletes is never",
    "foreign": "foreign keys in etcd, left alone",
}


class Difference(Protocol):
    """One path; `kind` is a key of MEANING."""

    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def key(self) -> str: ...


class Result(Protocol):
    """One shard's comparison, `zk2etcd_workers.commands.compare.Found`."""

    shard: messages.Shard

    def document(self) -> dict[str, Any]: ...
    def differences(self, kind: str | None = None) -> Iterator[Difference]: ...


@dataclasses.dataclass(frozen=True)
class Fix:
    """How one shard was repaired: by its owner, the `holder`, or with None by ourselves. `held`:
    the guard keeps deletes back, (its reason, how many). `refused`: (path, reason)."""

    shard: str
    holder: str | None
    put: int
    delete: int
    held: tuple[str, int] | None
    refused: tuple[tuple[str, str], ...] = ()


def names(shard: messages.Shard) -> str:
    """Both sides of it: `/dubbo 1/3 -> /d`."""
    source = text.bucket(shard.source, shard.bucket, shard.buckets)
    return text.printable(f"{source} -> {shard.target}")


def show(results: Sequence[Result], fixes: Sequence[Fix]) -> None:
    """Print everything for a person; the last line is the verdict."""
    for fix in fixes:
        _show_fix(fix)
    for result in results:
        _show_result(result)
    documents = [result.document() for result in results]
    total = {kind: sum(each[kind] for each in documents) for kind in MEANING}
    said = ", ".join(f"{total[kind]:,} {MEANING[kind]}" for kind in MEANING if total[kind])
    if any(total.values()):
        click.echo(f"not equal: {said}")
    elif not all(each["equal"] for each in documents):
        click.echo("no difference found, but not everything could be read")
    else:
        nodes = sum(each["nodes"] for each in documents)
        click.echo(f"equal: {nodes:,} nodes, keys and values")


def _show_result(result: Result) -> None:
    found = result.document()
    total = sum(found[kind] for kind in MEANING)
    verdict = f"{total:,} difference{'s'[: total - 1]}" if total else "no difference"
    click.echo(
        f"{names(result.shard)}: {verdict}; {found['nodes']:,} nodes, {found['keys']:,} keys"
    )
    for kind, meaning in MEANING.items():
        if count := found[kind]:
            click.echo(f"  {kind} ({meaning}): {count:,}")
            _show_paths((each.path for each in result.differences(kind)), count)
    for what, meaning in _NOTES.items():
        if count := found[what]:
            click.echo(f"  {meaning}: {count:,}")
            if sample := found.get(f"{what}_sample"):
                _show_paths(sample, count)


def _show_paths(paths: Iterable[str], count: int) -> None:
    shown = list(itertools.islice(paths, _SHOWN))
    for path in shown:
        click.echo(f"    {text.printable(path)}")
    if count > len(shown):
        click.echo(f"    ... and {count - len(shown):,} more")


def _show_fix(fix: Fix) -> None:
    who = f"by its owner, {fix.holder}" if fix.holder else "by this command, as nobody owns it"
    done = f"{fix.put:,} put, {fix.delete:,} deleted"
    click.echo(text.printable(f"repaired {fix.shard}, {who}: {done}"))
    for path, reason in fix.refused:
        click.echo(text.printable(f"  cannot be mirrored: {path}: {reason}"))
    if fix.held:
        reason, deletes = fix.held
        if not deletes:
            click.echo(text.printable(f"  the guard lets nothing be written: {reason}"))
            click.echo("  (make sure that this is the right ZooKeeper, then: zk2etcd release)")
            return
        click.echo(text.printable(f"  the delete guard holds {deletes:,} deletes: {reason}"))
        click.echo("  (make sure that ZooKeeper is right, then use --fix --allow-deletes)")


def show_json(results: Sequence[Result], fixes: Sequence[Fix] | None) -> None:
    """Print one document, its differences one a line. `fixes` None: none were asked for."""
    shards = [result.document() for result in results]
    head = {
        "schema_version": 1,
        "equal": all(each["equal"] for each in shards),
        "shards": shards,
        "fixes": None if fixes is None else [_fix_document(fix) for fix in fixes],
    }
    click.echo(json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "differences": [', nl=False)
    separator = "\n    "
    for result, shard in zip(results, shards, strict=True):
        for each in result.differences():
            document = {
                "shard": shard["id"], "kind": each.kind, "path": each.path, "key": each.key
            }  # fmt: skip
            click.echo(separator + json.dumps(document), nl=False)
            separator = ",\n    "
    click.echo("]\n}" if separator == "\n    " else "\n  ]\n}")


def _fix_document(fix: Fix) -> dict[str, Any]:
    held = {"reason": fix.held[0], "deletes": fix.held[1]} if fix.held else None
    refused = [{"path": path, "reason": reason} for path, reason in fix.refused]
    return {**dataclasses.asdict(fix), "held": held, "refused": refused}
