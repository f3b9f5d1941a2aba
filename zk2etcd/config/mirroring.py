"""What is mirrored, and how: the prefixes, the full sync, and the delete guard's thresholds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zk2etcd.config import fields
from zk2etcd.config.fields import DURATION


class Prefix(fields.Live):
    """One subtree to mirror; `/dubbo` is short for {from: /dubbo, to: /dubbo}."""

    from_: fields.SourcePath = Field(
        alias="from",
        description="The ZooKeeper path: the node itself and all below it. It need not exist yet.",
        examples=["/services"],
    )
    to: fields.Path = Field(
        description="The etcd key of that node; what is below it comes below this key.",
        examples=["/mirror/services"],
    )
    exclude: tuple[fields.Pattern, ...] = Field(
        (),
        description="ZooKeeper paths below `from` to leave out, each with all below it. Their keys"
        " in etcd are left alone. `*` is any text within one element of a path, `**` any number of"
        " elements, `\\*` the character.",
        examples=[["/services/*/consumers", "/services/config"]],
    )
    only: tuple[fields.Pattern, ...] = Field(
        (),
        description="If there are any: of what is below `from` nothing is mirrored but what these"
        " match, with all below it, less what is excluded. Wildcards as in `exclude`. Other keys in"
        " etcd are left alone.",
        examples=[["/services/*/providers"]],
    )
    buckets: fields.Count = Field(
        1,
        ge=1,
        le=256,
        description="Shards to spread the children of `from` over, each with all below it, so that"
        " several workers share one large prefix. They gain where workers have processors to spare;"
        " on one worker they gain nothing.",
    )


class LiveGuard(fields.Live):
    """When so much is deleted live, within a while, that a person should look first.

    Deletes are held from the one on with which there are more than `min_deletes` and more than
    `max_ratio` of the keys within `window`; 200,000 are too many in any case. What new nodes
    replace in the same folder does not count. Each bucket of a prefix judges by itself.
    """

    window: fields.Seconds = Field(
        60.0,
        ge=1,
        le=3600,
        description="Duration within which they are counted: what a rollout replaces should be back"
        " within it.",
        json_schema_extra=DURATION,
    )
    min_deletes: fields.Count = Field(
        100,
        ge=0,
        description="Number of keys; up to here the ratio is not looked at.",
    )
    max_ratio: fields.Ratio = Field(
        0.3,
        description="Share of the keys that were present, 0 to 1. A network cut that ends all"
        " sessions looks like this. 1: no share is too much.",
    )
    keep_last: fields.Flag = Field(
        False,
        description="Whether the last key below a folder stays when its node goes, as long as the"
        " folder's own node is there: until the node is back, or another one comes, which is"
        " written first, or a person releases it. Walks keep it, too.",
    )


class DeleteGuard(fields.Live):
    """When a full sync finds so much missing in ZooKeeper that a person should look first.

    The deletes are held when there are more than `min_deletes` and they are more than `max_ratio`
    of the keys, or when there are more than `max_deletes`. Deletes seen live are not concerned,
    unless there is `live`, and what new nodes replace in the same folder does not count.
    Each bucket of a prefix judges by itself, by its part of both numbers.
    """

    min_deletes: fields.Count = Field(
        100,
        ge=0,
        description="Number of keys; up to here the ratio is not looked at, as a small tree may"
        " well lose most of its nodes.",
    )
    max_ratio: fields.Ratio = Field(
        0.3,
        description="Share of the keys present, 0 to 1. A listing that broke off looks like this.",
    )
    max_deletes: fields.Count = Field(
        10000,
        ge=0,
        description="Number of keys that is too many in any case.",
    )
    first_sync: Literal["hold", "apply"] = Field(
        "hold",
        description="What to do with keys that the first sync of a prefix finds in etcd and not in"
        " ZooKeeper: they may be someone else's, so hold waits for a release.",
    )
    live: LiveGuard | None = Field(
        None,
        description="Whether, and when, deletes that are seen live are held, too; `{}` for these"
        " defaults. null: never.",
    )


class Sync(fields.Live):
    """What to mirror, and how carefully."""

    prefixes: tuple[Annotated[Prefix, *fields.SHORT_PREFIX], ...] = Field(
        min_length=1,
        description="The subtrees. Neither the `from`s nor the `to`s may overlap, so that each key"
        " has one writer; with `ownership: marks` the `to`s may.",
        examples=[["/dubbo"]],
    )
    exclude: tuple[fields.Pattern, ...] = Field(
        (),
        description="ZooKeeper paths to leave out of every prefix, each with all below it; with"
        " wildcards as in `sync.prefixes[].exclude`.",
        examples=[["/dubbo/*/consumers", "/dubbo/config"]],
    )
    ephemeral: Literal["copy", "skip"] = Field(
        "copy",
        description="Whether nodes that end with their session are mirrored: copy or skip.",
    )
    ephemeral_grace: fields.Seconds = Field(
        0.0,
        le=3600,
        description="Duration for which a key stays when its node, one that ends with its session,"
        " was seen to go: if the node is back by then, it never went. 0: not at all.",
        json_schema_extra=DURATION,
    )
    deletes: Literal["apply", "never"] = Field(
        "apply",
        description="Whether a node deleted in ZooKeeper is deleted in etcd: apply or never.",
    )
    full_sync_interval: fields.IntervalSeconds = Field(
        300.0,
        le=30 * 86400,
        description="Duration between full comparisons, which repair what was missed. Each reads"
        " both sides whole. 0: never.",
        json_schema_extra=DURATION,
    )
    full_sync_concurrency: fields.Count = Field(
        1,
        ge=1,
        le=64,
        description="Shards compared at once, over all workers; more loads both sides at once. The"
        " buckets of a prefix on one worker are compared together, and count as one.",
    )
    drift: Literal["full_sync", "watch"] = Field(
        "full_sync",
        description="When what others write to mirrored keys is put right: at the next full sync,"
        " or within a second, by a watch of etcd, which sends each worker all that is written below"
        " `to`. Deletes are left to the full sync and its guard either way.",
    )
    ownership: Literal["range", "marks"] = Field(
        "range",
        description="Which keys below `to` are ours. range: all of them, and nobody else may write"
        " there. marks: only those that zk2etcd created, by a mark beside each; what others put"
        " there is neither overwritten nor deleted, and several mirrors may share one `to`.",
    )
    delete_guard: DeleteGuard = Field(
        DeleteGuard(),
        description="When to hold deletes until a person released them.",
    )
