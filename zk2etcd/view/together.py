"""The status of several supervisors that share their shards, in one document: each shard as the one
tells it who has it, and of each supervisor what it says of itself. Pure.

What others said came over a network: whoever asked them has looked at its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]
Said = Mapping[str, Document | str]
"""By a member's name its /status, or why there is none."""


def mine(found: Document) -> Document:
    """This /status with the shards alone that this supervisor has, or means to."""
    return {**found, "shards": [each for each in found["shards"] if _is_had(each)]}


def merged(own: Document, said: Said) -> Document:
    """Our own /status with what others said. A shard of theirs is as they tell, but for `owned` and
    `holder`, which are as we see it; what is not in our configuration comes last."""
    if not own.get("cluster"):
        return own
    theirs = {
        shard["id"]: {**shard, "owned": False, "holder": who}
        for who, document in said.items()
        if isinstance(document, dict)
        for shard in document["shards"]
        if _is_had(shard)
    }
    ours = [each if _is_had(each) else theirs.pop(each["id"], each) for each in own["shards"]]
    known = {each["id"] for each in ours}
    unknown = [each for shard, each in theirs.items() if shard not in known]
    members = [_member(each, own, said) for each in own["cluster"]["members"]]
    cluster = {**own["cluster"], "members": members}
    return {**own, "cluster": cluster, "shards": [*ours, *unknown]}


def _is_had(shard: Mapping[str, Any]) -> bool:
    return bool(shard.get("owned") or shard["worker"])


def _member(member: Document, own: Document, said: Said) -> Document:
    """With `status`, what it says of itself, and `unasked`, why that is not known."""
    if member["name"] == own["instance"]:
        return {**member, "status": _without_shards(own), "unasked": None}
    told = said.get(member["name"], "was not asked")
    if isinstance(told, str):
        return {**member, "status": None, "unasked": told}
    return {**member, "status": _without_shards(told), "unasked": None}


def _without_shards(found: Document) -> Document:
    return {key: value for key, value in found.items() if key not in ("shards", "cluster")}
