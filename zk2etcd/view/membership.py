"""What is shown of the supervisors that share the shards, out of a status document that has all of
them: on a terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zk2etcd.view import status

Row = dict[str, Any]


def called(member: Mapping[str, Any]) -> str:
    """The name that people know it by."""
    return str(member["label"] or member["name"])


def placed(shards: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> list[Row]:
    """The shards, each with the `supervisor` that has it, "-" for nobody that is known."""
    names = {each["name"]: called(each) for each in status.members(found)}
    owners = [found["instance"] if each.get("owned") else each["holder"] for each in shards]
    return [
        {**shard, "supervisor": names.get(owner, owner or "-")}
        for shard, owner in zip(shards, owners, strict=True)
    ]


def listed(found: Mapping[str, Any]) -> list[Row]:
    """Who shares: `state` as it says, `like` whether its configuration is ours, `here` that it is
    the one that was asked."""
    members = status.members(found)
    ours = next((each["config"] for each in members if each["name"] == found["instance"]), "")
    return [
        {
            **each,
            "state": _state(each, found),
            "like": _like(each["config"], ours),
            "here": each["name"] == found["instance"],
        }
        for each in members
    ]


def workers(found: Mapping[str, Any]) -> list[Row]:
    """Those of all that share, ours first; the others' with the name of their supervisor."""
    others = [
        {**worker, "slot": f"{called(each)} {worker['slot']}"}
        for each in status.members(found)
        if each["name"] != found["instance"]
        for worker in (each.get("status") or {}).get("workers", ())
    ]
    return [*found["workers"], *others]


def _state(member: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if member["name"] == found["instance"]:
        return str(found["state"])
    if member["draining"]:
        return "stopping"
    said = member.get("status")
    return str(said["state"]) if said else "not known"


def _like(config: str, ours: str) -> str:
    if not (config and ours):
        return "-"
    return "as here" if config == ours else "another"
