"""What is wrong, or waits for a person, as the status document tells it: in words, with a remedy.

The terminal, the page and the lines of `status --watch` all say these, so that none says more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from zk2etcd import text
from zk2etcd.view import status

_NOTHING: Mapping[str, Any] = {"config": {"error": None}, "workers": []}


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing a person should know: where, what, and what to do about it.

    `kind`: config, metrics, worker, member, error, guard, pause, missed, drift, conflict, kept or
    unsyncable; `where` is a shard's id from error on.
    """

    where: str
    what: str
    remedy: str
    kind: str


def of(found: Mapping[str, Any]) -> list[Problem]:
    """What is wrong, or waits for a person, the supervisor first, then workers, then shards."""
    listed = _of_process(found)
    for member in status.members(found):
        listed += _of_member(member, found)
    if untold := (found.get("cluster") or {}).get("untold"):
        remedy = "what they have stays theirs, and what we have ours, until it does"
        listed.append(Problem("other supervisors", untold, remedy, "member"))
    for shard in found["shards"]:
        listed += _of_shard(shard, status.seconds(found["at"]))
    return listed


def _of_process(found: Mapping[str, Any]) -> list[Problem]:
    """Of one supervisor and its workers, without its shards."""
    listed = []
    if found["config"]["error"]:
        remedy = "the running configuration was kept: correct the file, then `zk2etcd reload`"
        listed.append(Problem("config", found["config"]["error"], remedy, "config"))
    if found.get("metrics_problem"):
        remedy = "mirroring goes on: free space there, or set TMPDIR to another folder and restart"
        listed.append(Problem("metrics", found["metrics_problem"], remedy, "metrics"))
    for worker in found["workers"]:
        listed += _of_worker(worker)
    return listed


def _of_member(member: Mapping[str, Any], found: Mapping[str, Any]) -> list[Problem]:
    """Of another supervisor that was asked."""
    if member["name"] == found["instance"]:
        return []
    where = f"supervisor {member['label'] or member['name']}"
    if (why := member.get("unasked")) is not None:
        at = f" at {member['url']}" if member["url"] else ""
        what = f"{why}{at}: how its {member['owned']} shards do is not known here"
        return [Problem(where, what, _remedy(member), "member")]
    return [
        Problem(f"{where}: {each.where}", each.what, each.remedy, "member")
        for each in _of_process(member.get("status") or _NOTHING)
    ]


def _remedy(member: Mapping[str, Any]) -> str:
    if not member["url"]:
        return "set its http.listen, so that it can be asked"
    return f"`zk2etcd status --url {member['url']}` asks it; others reach it by its http.advertise"


def _of_worker(worker: Mapping[str, Any]) -> list[Problem]:
    if worker["state"] == "backoff":
        ended = "" if worker["last_exit"] is None else f" (last exit {worker['last_exit']})"
        what = f"does not run: restarted {worker['restarts']} times{ended}"
        remedy = "it is started again; see the log"
        return [Problem(f"worker {worker['slot']}", what, remedy, "worker")]
    if worker["state"] == "running" and worker["pid"] and not worker["zk_connected"]:
        remedy = "it connects again by itself: see whether the hosts in zookeeper.hosts answer"
        what = "has no ZooKeeper session"
        return [Problem(f"worker {worker['slot']}", what, remedy, "worker")]
    return []


def _of_shard(shard: Mapping[str, Any], now: float) -> list[Problem]:
    listed = []
    if shard["error"]:
        listed.append(Problem(shard["id"], shard["error"], _retry(shard, now), "error"))
    if shard["guard"]:
        listed.append(_of_guard(shard["id"], shard["guard"]))
    if shard.get("pause"):
        listed.append(_of_pause(shard, now))
    if (shard["last_full_sync"] or {}).get("missed"):
        listed.append(_of_missed(shard))
    if status.drifts(shard):
        listed += _of_drift(shard["id"], shard["drift"])
    if shard.get("conflicts"):
        listed.append(_of_conflicts(shard))
    if shard.get("kept_last"):
        listed.append(_of_kept(shard["id"], shard["kept_last"]))
    if shard["unsyncable_total"]:
        first = "; ".join(f"{e['path']}: {e['reason']}" for e in shard["unsyncable"][:3])
        what = f"{shard['unsyncable_total']} paths cannot be mirrored: {first}"
        remedy = "the rest is mirrored; correct or exclude them"
        listed.append(Problem(shard["id"], what, remedy, "unsyncable"))
    return listed


def _of_missed(shard: Mapping[str, Any]) -> Problem:
    what = (
        f"the last full sync found {shard['last_full_sync']['missed']} changes of which ZooKeeper "
        "had sent no event: what is called fresh may not have been"
    )
    remedy = "after the next such one it is read the classic way; see what stands between us"
    return Problem(shard["id"], what, remedy, "missed")


def _of_drift(where: str, drift: Mapping[str, Any]) -> list[Problem]:
    listed = []
    if drift["contested"]:
        names = _named(drift["paths"], drift["contested"])
        what = f"somebody keeps writing {names} in etcd: put right each time later"
        remedy = "find out who writes there, and let one of the two be elsewhere"
        listed.append(Problem(where, what, remedy, "drift"))
    if drift["why"]:
        what = f"what others write to its keys is not known: {drift['why']}"
        remedy = "full syncs put it right meanwhile; it is watched again by itself"
        listed.append(Problem(where, what, remedy, "drift"))
    return listed


def _named(paths: Sequence[str], count: int) -> str:
    """Some of so many."""
    more = count - len(paths[:3])
    return ", ".join(paths[:3]) + (f" and {more} more" if more > 0 else "")


def _of_conflicts(shard: Mapping[str, Any]) -> Problem:
    count = shard["conflicts"]
    names = _named(shard.get("conflict_paths", ()), count)
    if count == 1:
        what = f"1 node has a key in its place that is not ours: {names}"
        remedy = "it is left alone, until it is gone; zk2etcd adopt makes it ours if it is equal"
    else:
        what = f"{count} nodes have keys in their place that are not ours: {names}"
        remedy = (
            "they are left alone, until they are gone; zk2etcd adopt makes ours those that are "
            "equal"
        )
    return Problem(shard["id"], what, remedy, "conflict")


def _of_guard(where: str, guard: Mapping[str, Any]) -> Problem:
    if guard["kind"] == "identity":
        remedy = (
            "nothing is written while this stands: bring the right ZooKeeper back; if this is the "
            f"right one, `zk2etcd release {where}` (deletes are held even then)"
        )
        return Problem(where, f"guarded: {guard['reason']}", remedy, "guard")
    sample = f", such as {guard['sample'][0]}" if guard["sample"] else ""
    came = f", {guard['creates']} new in the same places" if guard.get("creates") else ""
    held = f"{guard['deletes']} of {guard['present']} keys{came}{sample}"
    what = f"guarded: {guard['reason']} ({held})"
    nothing = "nothing is deleted, live neither," if guard.get("live") else "nothing is deleted"
    remedy = (
        f"{nothing} while this stands: `zk2etcd diff -c F` shows what it holds back, "
        f"`zk2etcd release {where}` lets it happen"
    )
    return Problem(where, what, remedy, "guard")


def _of_kept(where: str, kept: Mapping[str, Any]) -> Problem:
    count, some = kept["deletes"], kept["sample"][:3]
    more = f" and {count - len(some)} more" if count > len(some) else ""
    names = f": {', '.join(some)}{more}" if some else ""
    what = f"{count} keys stay, each as the last of its folder, though their nodes are gone"
    if count == 1:
        what = "1 key stays, as the last of its folder, though its node is gone"
    remedy = (
        "one goes once another node comes to its folder, or the folder goes "
        f"(delete_guard.live.keep_last); `zk2etcd release {where}` lets all of them go"
    )
    return Problem(where, f"{what}{names}", remedy, "kept")


def _of_pause(shard: Mapping[str, Any], now: float) -> Problem:
    pause = shard["pause"]
    ago = text.duration(max(0.0, now - status.seconds(pause["since"])))
    what = f"paused {ago} ago by {pause['by']}: nothing is written"
    remedy = f"`zk2etcd resume {shard['id']}` mirrors it again"
    return Problem(shard["id"], what, remedy, "pause")


def _retry(shard: Mapping[str, Any], now: float) -> str:
    if shard["retry_at"] is None:
        return "it is tried again by itself"
    wait = max(0.0, status.seconds(shard["retry_at"]) - now)
    return f"it is tried again in {text.duration(wait)} (attempt {shard['attempt'] + 1})"
