from __future__ import annotations

import dataclasses

import pytest

from tests.unit import fakes
from zk2etcd import conditions, errors, messages
from zk2etcd.supervisor import pause_orders
from zk2etcd.view import control

PAUSE = conditions.Paused("alice", 0.0)
REPORTS = {
    "a": fakes.follows("a"),
    "b": messages.ShardReport("b", "paused", owned=True, pause=PAUSE),
    "c": messages.ShardReport("c", "waiting", holder="other/w0.1"),
}


def nothing_wanted(_shard: str) -> bool:
    return False


def test_what_may_be_paused() -> None:
    assert pause_orders.to_pause(REPORTS, None) == ("a", "b")
    assert pause_orders.to_pause(REPORTS, ["a", "a"]) == ("a",)
    with pytest.raises(control.Conflict, match="c is owned by other"):
        pause_orders.to_pause(REPORTS, ["a", "c"])
    with pytest.raises(control.Conflict, match="ask that supervisor"):
        pause_orders.to_pause({"c": REPORTS["c"]}, None)
    with pytest.raises(control.UnknownShard):
        pause_orders.to_pause(REPORTS, ["a", "d"])


def test_what_may_be_resumed() -> None:
    assert pause_orders.to_resume(REPORTS, None, nothing_wanted) == ("b",)
    assert pause_orders.to_resume(REPORTS, ["a"], lambda shard: shard == "a") == ("a",)
    with pytest.raises(control.Conflict, match="a is not paused"):
        pause_orders.to_resume(REPORTS, ["a", "b"], nothing_wanted)
    with pytest.raises(control.Conflict, match="c is owned by other"):
        pause_orders.to_resume(REPORTS, ["c"], nothing_wanted)
    with pytest.raises(control.UnknownShard):
        pause_orders.to_resume(REPORTS, ["d"], nothing_wanted)


def test_a_paused_shard_has_no_full_sync() -> None:
    assert pause_orders.to_sync(REPORTS, None) == ("a", "c")
    with pytest.raises(control.Conflict, match="until `zk2etcd resume b`"):
        pause_orders.to_sync(REPORTS, ["b"])


def paused(order: str = "") -> messages.ShardReport:
    return messages.ShardReport("a", "paused", owned=True, pause=PAUSE, ordered=order)


def test_a_wish_is_told_again_until_it_is_done() -> None:
    wishes, order = pause_orders.Wishes(), messages.Pause("a", "alice", "1")
    wishes.take([order], 10.0)
    assert wishes.wants_paused("a")
    assert wishes.heard(fakes.follows("a"), 11.0) is None
    # Its worker died: nobody to tell, until the next one owns it.
    orphan = messages.ShardReport("a", "error")
    assert wishes.heard(orphan, 13.0) is None
    assert wishes.heard(fakes.follows("a"), 13.0) == order
    assert wishes.heard(fakes.follows("a"), 13.5) is None
    assert wishes.heard(paused("0"), 16.0) == order
    assert wishes.heard(paused("1"), 16.1) is None
    assert not wishes.wants_paused("a")
    assert wishes.heard(fakes.follows("a"), 99.0) is None


def test_the_last_wish_counts() -> None:
    wishes, order = pause_orders.Wishes(), messages.Resume("a", "bob", "2")
    wishes.take([messages.Pause("a", "alice", "1")], 0.0)
    wishes.take([order], 1.0)
    assert wishes.heard(paused("1"), 4.0) == order
    # A new mirror that has not looked yet knows of no pause.
    assert wishes.heard(messages.ShardReport("a", "waiting", owned=True), 8.0) == order
    assert wishes.heard(fakes.follows("a", ordered="2"), 9.0) is None
    assert wishes.heard(paused("1"), 99.0) is None


def test_nobody_is_told_paused_while_an_order_is_under_way() -> None:
    """A pause right after a resume: what the shard says is of before both."""
    wishes, before = pause_orders.Wishes(), paused("0")
    assert wishes.shown(before) == before
    wishes.take([messages.Resume("a", "bob", "1")], 0.0)
    assert wishes.shown(before).phase == "waiting"
    wishes.take([messages.Pause("a", "alice", "2")], 0.0)
    assert wishes.shown(before).phase == "waiting"
    assert wishes.shown(fakes.follows("a")).phase == "following"
    assert wishes.shown(messages.ShardReport("a", "error")).phase == "error"
    wishes.heard(paused("2"), 1.0)
    assert wishes.shown(paused("2")).phase == "paused"


@pytest.mark.parametrize("ends", ["another's", "removed"])
def test_a_wish_ends_with_the_shard(ends: str) -> None:
    wishes = pause_orders.Wishes()
    wishes.take([messages.Pause("a", "alice")], 0.0)
    if ends == "removed":
        wishes.keep({"b"})
    else:
        wishes.heard(messages.ShardReport("a", "waiting", holder="other/w0.1"), 5.0)
    assert wishes.heard(fakes.follows("a"), 10.0) is None


def test_the_supervisor_tells_workers_and_forgets_no_order() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    shards = [shard.id for shard in world.supervisor.desk.snapshot().shards]
    assert world.supervisor.requests.pause([shards[0]], "alice") == (shards[0],)
    child = next(each for each in world.live().values() if shards[0] in each.shards)
    (order,) = child.sent(messages.Pause)
    assert isinstance(order, messages.Pause)
    assert (order.shard, order.by, len(order.order)) == (shards[0], "alice", 16)
    child.code = 1
    world.turn()
    world.turn(seconds=5.0)
    world.report()
    world.turn(seconds=5.0)
    heir = next(each for each in world.live().values() if shards[0] in each.shards)
    assert heir is not child
    world.report()
    assert order in heir.sent(messages.Pause)

    report = messages.ShardReport(shards[0], "paused", owned=True, pause=PAUSE)
    heir.details[shards[0]] = report
    assert world.report().shards[0].report.phase == "waiting"
    heir.details[shards[0]] = dataclasses.replace(report, ordered=order.order)
    view = world.report()
    assert (view.state, view.shards[0].report.phase) == ("ready", "paused")
    assert world.supervisor.requests.full_sync(None) == (shards[1],)
    with pytest.raises(control.Conflict, match="is paused"):
        world.supervisor.requests.full_sync([shards[0]])
    guard = conditions.Guard("g1", "deletes", 5, 10, (), 0.0)
    heir.details[shards[0]] = dataclasses.replace(report, guard=guard)
    world.report()
    with pytest.raises(control.Conflict, match="is paused"):
        world.supervisor.requests.release(shards[0], "g1", "alice")
    assert world.supervisor.requests.resume(None, "bob") == (shards[0],)
    assert len(heir.sent(messages.Resume)) == 1
    # At once, before any worker has said anything.
    assert world.supervisor.desk.snapshot().shards[0].report.phase == "waiting"
    assert world.supervisor.requests.pause(None, "alice") == tuple(shards)
    assert world.supervisor.desk.snapshot().shards[0].report.phase == "waiting"


def test_a_single_run_has_nothing_to_pause() -> None:
    world = fakes.world("/a", once=True)
    world.turn()
    with pytest.raises(control.Conflict, match="a single run"):
        world.supervisor.requests.pause(None, "alice")


def test_the_error_names_the_remedy() -> None:
    said = str(errors.Paused("a", "alice", 0.0))
    assert "since 1970-01-01 00:00:00+00:00 by alice" in said
    assert "zk2etcd resume a" in said
