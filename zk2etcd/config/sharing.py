"""How supervisors with one `state.prefix` stand in for each other, or share the work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from zk2etcd.config import fields
from zk2etcd.config.fields import DURATION, RESTART

_OF_ONE = ("http", "log", "reload", "workers")
_OF_ONE_IN_CLUSTER = ("name", "capacity")


class Cluster(fields.Live):
    """What this supervisor is beside others of the same state.prefix."""

    mode: Literal["share", "standby"] = Field(
        "share",
        description="share: each mirrors its part of the shards, and takes over from who is gone."
        " standby: who comes first mirrors all, others wait.",
        json_schema_extra=RESTART,
    )
    name: fields.MemberName | None = Field(
        None,
        description="A name that this supervisor keeps when it starts again, so that the same"
        " shards come back to it; no other may have it. null: a new one each time.",
        examples=["${POD_NAME}"],
        json_schema_extra=RESTART,
    )
    capacity: fields.Capacity = Field(
        "auto",
        description="How large its part is, beside the others' capacities. auto: its worker slots.",
    )
    move_after: fields.Seconds = Field(
        300.0,
        ge=0.1,
        le=86400,
        description="Duration for which a shard stays where it is before it is moved to even out"
        " the parts. What a supervisor that ends or dies had goes at once.",
        json_schema_extra=DURATION,
    )
    moves: fields.Count = Field(
        2,
        ge=1,
        le=64,
        description="Shards on the move to even out the parts, at once, over all supervisors.",
    )

    def size(self, slots: Callable[[], int]) -> int:
        """The capacity as a number; `slots` are asked for by "auto" only."""
        return slots() if self.capacity == "auto" else self.capacity


def alike(redacted: Mapping[str, Any]) -> str:
    """12 hex digits that are the same for supervisors whose configurations mirror the same in the
    same way: of all but what each has of its own, such as its address, its log and its workers.

    :param redacted: the configuration as plain data without secrets.
    """
    plain = {name: section for name, section in redacted.items() if name not in _OF_ONE}
    cluster = plain.get("cluster", {}).items()
    plain["cluster"] = {key: value for key, value in cluster if key not in _OF_ONE_IN_CLUSTER}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
