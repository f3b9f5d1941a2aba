"""Supervisors that share their shards, turned by hand: `policy.sharing` in the loop."""

from __future__ import annotations

import collections
import dataclasses
import signal

import pytest

from tests.unit import fakes, settings
from tests.unit.supervisor import shared
from zk2etcd import census, messages
from zk2etcd.policy import situation
from zk2etcd.supervisor import placing
from zk2etcd.view import control

PREFIXES = tuple(f"/p{number}" for number in range(12))
SHARDS = {shared.shard(path) for path in PREFIXES}


def peers(*names: str, **cluster: object) -> list[shared.Peer]:
    etcd = shared.Etcd()
    return [shared.Peer(name, etcd, *PREFIXES, **cluster) for name in names]


def settled(*names: str) -> list[shared.Peer]:
    """They have shared the shards out, all of which follow."""
    found = peers(*names)
    shared.pass_time(found, 6.0)
    assert sum(len(each.mine) for each in found) == len(SHARDS)
    return found


def counts(found: list[shared.Peer]) -> list[int]:
    return sorted(len(each.mine) for each in found)


def test_three_that_start_together_take_a_third_each_and_each_shows_all() -> None:
    found = peers("a", "b", "c")
    views = shared.pass_time(found, 5.0)
    assert counts(found) == [4, 4, 4]
    for each in found:
        view = views[each.instance]
        assert view.state == "ready"
        reports = shared.shown(view)
        assert {s for s, report in reports.items() if report.owned} == each.mine
        for shard in SHARDS - each.mine:
            assert reports[shard].phase == "waiting"
            assert reports[shard].error is None
            assert reports[shard].holder == each.etcd.owners[shard].member
        assert {w.slot: len(w.shards) for w in view.workers} == {"w0": 2, "w1": 2}


def test_one_alone_takes_all_once_it_has_waited_for_others() -> None:
    (alone,) = peers("a")
    shared.pass_time([alone], 0.3)
    assert alone.mine == set()
    shared.pass_time([alone], 0.3)
    assert alone.mine == SHARDS


def test_all_workers_start_while_others_are_waited_for() -> None:
    (alone,) = peers("a")
    shared.pass_time([alone], 0.3)
    assert alone.mine == set()
    assert {child.spec.identity.slot for child in alone.started} == {"w0", "w1"}
    shared.pass_time([alone], 0.5)
    assert {slot: len(child.shards) for slot, child in alone.live().items()} == {"w0": 6, "w1": 6}
    assert len(alone.started) == 2


def test_one_that_comes_where_others_have_all_starts_no_worker_but_the_keeper() -> None:
    found = settled("a")
    new = shared.Peer("b", found[0].etcd, *PREFIXES, moves=1)
    found[0].stuck = True
    shared.pass_time([*found, new], 2.0)
    assert {child.spec.identity.slot for child in new.started} == {"w0"}


def test_a_worker_that_has_lost_its_last_shard_runs_on_for_a_while() -> None:
    """Who said that it is ready for a shard, and then had to start a worker, came too late; and
    that worker ended again, so that it was too late the next time, too."""
    few = {f"/p{number}": f"/p{number}" for number in range(2)}
    etcd = shared.Etcd()
    first = shared.Peer("a", etcd, *few)
    shared.pass_time([first], 1.5)
    assert {slot: len(child.shards) for slot, child in first.live().items()} == {"w0": 1, "w1": 1}
    second = shared.Peer("b", etcd, *few)
    shared.pass_time([first, second], 4.0)
    assert counts([first, second]) == [1, 1]
    assert {slot: len(child.shards) for slot, child in first.live().items()} == {"w0": 1, "w1": 0}
    shared.pass_time([first, second], 61.0, step=1.0)
    assert first.live().keys() == {"w0"}
    assert len(first.started) == 2


def test_one_with_a_name_of_its_own_waits_for_the_others_that_have_one() -> None:
    def rules(**cluster: object) -> situation.Rules:
        return placing.rules(settings.configured(PREFIXES, cluster=cluster))

    assert rules().alone < rules().settle
    assert rules(name="a").alone == rules(name="a").settle == rules().settle


def test_who_comes_while_one_alone_waits_gets_its_part_at_once() -> None:
    first, second = peers("a", "b")
    shared.pass_time([first], 0.2)
    shared.pass_time([first, second], 1.7)
    assert counts([first, second]) == [6, 6]
    assert first.etcd.offers == {}


def test_nothing_is_meant_for_a_worker_before_anything_is_known_but_the_keeper_runs() -> None:
    (alone,) = peers("a")
    alone.etcd.silent = True
    for _ in range(5):
        view = alone.turn()
        alone.works()
    assert [child.spec.identity.slot for child in alone.started] == ["w0"]
    assert alone.keeper.assign is not None
    assert alone.keeper.assign.keeps
    assert alone.keeper.assign.shards == ()
    assert alone.keeper.spec.shares
    (standing,) = alone.keeper.sent(messages.Standing)
    assert isinstance(standing, messages.Standing)
    assert standing.member == census.Member("a", frozenset(SHARDS), capacity=2)
    assert view.state == "starting"
    for report in shared.shown(view).values():
        assert (report.phase, report.error) == ("waiting", None)


def test_why_nobody_knows_who_has_a_shard_is_the_keeper_s_word() -> None:
    (alone,) = peers("a")
    alone.etcd.silent = True
    alone.turn()
    alone.keeper.untold = "etcd 127.0.0.1:2379 does not answer"
    alone.works()
    view = alone.turn()
    report = shared.shown(view)[shared.shard("/p0")]
    assert "127.0.0.1:2379 does not answer" in str(report.error)
    assert (report.phase, view.state) == ("error", "degraded")
    alone.etcd.silent, alone.keeper.untold = False, None
    shared.pass_time([alone], 2.0)
    assert alone.mine == SHARDS


def test_a_release_that_may_not_take_part_ends_with_the_reason() -> None:
    (alone,) = peers("a")
    alone.etcd.silent = True
    alone.turn()
    (keeper,) = alone.started
    keeper.refusal = "zk2etcd/format in etcd demands a newer reader"
    views = shared.pass_time([alone], 2.0)
    assert views["a"].state == "stopping"
    assert len(keeper.sent(messages.Drain)) == 1
    assert alone.supervisor._exit_code == 2


def test_what_a_dead_one_had_is_taken_by_the_others_once_its_lease_has_ended() -> None:
    found = settled("a", "b", "c")
    gone, *others = found
    kept = {each.instance: each.mine for each in others}
    gone.dies()
    shared.pass_time(others, 5.0)
    assert {each.instance: each.mine for each in others} == kept
    gone.etcd.lease_ends("a")
    shared.pass_time(others, 2.0)
    assert counts(others) == [6, 6]
    assert all(kept[each.instance] <= each.mine for each in others)


def test_one_that_ends_says_so_before_it_lets_go_and_the_others_take_its_part() -> None:
    found = settled("a", "b", "c")
    ends, *others = found
    ends.turn(signal.SIGTERM)
    standing = ends.keeper.sent(messages.Standing)[-1]
    assert isinstance(standing, messages.Standing)
    assert standing.member.draining
    assert not any(child.sent(messages.Drain) for child in ends.live().values())
    ends.works()
    ends.turn()
    assert all(child.sent(messages.Drain) for child in ends.live().values())
    ends.works()
    ends.turn()
    assert ends.ended()
    shared.pass_time(others, 1.5)
    assert counts(others) == [6, 6]


def test_one_that_ends_does_not_wait_for_an_etcd_that_does_not_answer() -> None:
    found = settled("a", "b")
    ends = found[0]
    ends.etcd.silent = True
    ends.turn(signal.SIGTERM)
    for _ in range(3):
        ends.turn()
    assert all(child.sent(messages.Drain) for child in ends.live().values())


def test_a_second_signal_ends_it_at_once() -> None:
    ends = settled("a", "b")[0]
    ends.turn(signal.SIGTERM)
    ends.turn(signal.SIGTERM)
    ends.turn()
    assert all(child.killed() for child in ends.started)
    assert ends.ended()


def test_who_joins_gets_its_part_and_nothing_else_moves() -> None:
    found = settled("a", "b")
    before = {each.instance: each.mine for each in found}
    new = shared.Peer("c", found[0].etcd, *PREFIXES)
    everyone = [*found, new]
    shared.pass_time(everyone, 20.0)
    shared.pass_time(everyone, 30.0)
    assert counts(everyone) == [4, 4, 4]
    assert all(each.mine <= before[each.instance] for each in found)


def test_no_more_are_on_the_move_at_once_than_may_be() -> None:
    found = settled("a", "b")
    everyone = [*found, shared.Peer("c", found[0].etcd, *PREFIXES)]
    most = 0
    for _ in range(500):
        shared.pass_time(everyone, 0.1)
        most = max(most, len(found[0].etcd.offers))
    assert counts(everyone) == [4, 4, 4]
    assert most == 2


def test_one_that_stands_by_takes_nothing_from_those_who_share() -> None:
    etcd = shared.Etcd()
    sharing = shared.Peer("a", etcd, *PREFIXES)
    shared.pass_time([sharing], 5.0)
    standing_by = shared.Peer("b", etcd, *PREFIXES, mode="standby")
    views = shared.pass_time([sharing, standing_by], 40.0)
    assert sharing.mine == SHARDS
    assert views["b"].state == "standby"
    assert all(not child.assign.keeps for child in standing_by.started if child.assign)


# --- a worker's life ---------------------------------------------------------------------------


def test_a_worker_that_ended_leaves_its_shards_in_hand_for_the_next() -> None:
    first, second = settled("a", "b")
    dead = first.live()["w1"]
    had = dead.shards
    dead.code = -9
    shared.pass_time([first, second], 1.0)
    again = first.live()["w1"]
    assert again is not dead
    assert again.shards == had
    assert counts([first, second]) == [6, 6]


def test_what_a_worker_was_letting_go_of_when_it_ended_is_ours_until_etcd_says_otherwise() -> None:
    found = settled("a", "b")
    new = shared.Peer("c", found[0].etcd, *PREFIXES)
    for each in found:
        each.stuck = True
    everyone = [*found, new]
    leaving: set[str] = set()
    for _ in range(400):
        shared.pass_time(everyone, 0.1)
        wanted = {s for child in found[0].live().values() for s in child.shards}
        if leaving := found[0].mine - wanted:
            break
    assert leaving
    for child in found[0].live().values():
        child.code = -9
    shared.pass_time([found[0]], 2.0)
    assert leaving <= found[0].mine
    assert not leaving & {s for child in found[0].live().values() for s in child.shards}
    found[0].etcd.revision += 1
    for shard in leaving:
        del found[0].etcd.owners[shard]
        found[0].etcd.offers.pop(shard, None)
    for each in found:
        each.stuck = False
    shared.pass_time(everyone, 60.0)
    assert counts(everyone) == [4, 4, 4]


def test_a_keeper_that_comes_anew_is_told_what_our_key_says() -> None:
    first = settled("a", "b")[0]
    first.keeper.code = -9
    shared.pass_time([first], 0.5)
    again = first.keeper
    assert again.spec.identity.incarnation == 2
    assert again.sent(messages.Standing)
    assert again.assign is not None
    assert again.assign.keeps


def test_the_keeper_hears_of_us_some_times_within_each_lease() -> None:
    first = settled("a")[0]
    before = len(first.keeper.sent(messages.Standing))
    shared.pass_time([first], shared.TTL)
    signs = first.keeper.sent(messages.Standing)[before:]
    assert 4 <= len(signs) <= 6
    assert all(each == signs[0] for each in signs)


def test_what_another_has_by_now_is_let_go_of() -> None:
    """A worker was frozen until its lease had ended."""
    first = settled("a", "b")[0]
    lost = min(first.mine)
    first.etcd.revision += 1
    first.etcd.owners[lost] = census.Owner("b", first.etcd.revision)
    view = shared.pass_time([first], 1.0)["a"]
    assert lost not in {s for child in first.live().values() for s in child.shards}
    assert shared.shown(view)[lost].holder == "b"


def test_who_cannot_mirror_what_another_can_gives_it_up() -> None:
    first, second = settled("a", "b")
    bad = min(first.mine)
    works = first._mirrors

    def fails(shard: str) -> messages.ShardReport:
        told = works(shard)
        if shard != bad or not told.owned:
            return told
        return messages.ShardReport(shard, "error", owned=True, error="no", token=told.token)

    first._mirrors = fails  # type: ignore[method-assign]
    shared.pass_time([first, second], 28.0)
    assert bad in first.mine
    shared.pass_time([first, second], 5.0)
    assert bad in second.mine
    assert bad in first.etcd.members["a"].failing
    shared.pass_time([first, second], 40.0)
    assert bad in second.mine
    assert counts([first, second]) == [6, 6]


@pytest.mark.parametrize("told", [True, False], ids=["told", "too_short_to_be_told"])
def test_who_fails_again_and_again_gives_it_up_but_in_no_attempt(told: bool) -> None:
    first, second = settled("a", "b")
    bad, works, attempt = min(first.mine), first._mirrors, 0

    def fails(shard: str) -> messages.ShardReport:
        told = works(shard)
        if shard != bad or not told.owned:
            return told
        bare = messages.ShardReport(shard, phase, owned=True, error="no", token=told.token)
        return dataclasses.replace(bare, attempt=attempt)

    phase: messages.Phase = "error"
    first._mirrors = fails  # type: ignore[method-assign]
    for phase, attempt, seconds in (("error", 1, 10.0), ("full_sync", 1, 40.0)):
        shared.pass_time([first, second], seconds)
        assert bad in first.mine, (phase, attempt)
    attempt, phase = 2, "error" if told else "full_sync"
    shared.pass_time([first, second], 3.0)
    assert bad in second.mine


# --- an etcd that is away, or put back ---------------------------------------------------------


def test_an_old_census_decides_nothing_and_a_shard_that_others_have_is_no_error() -> None:
    first, second = settled("a", "b")
    first.etcd.silent = True
    gone = min(second.mine)
    mine = first.mine
    shared.pass_time([first], shared.TTL + 1)
    del first.etcd.owners[gone]
    view = shared.pass_time([first], 30.0)["a"]
    assert first.mine == mine
    assert shared.shown(view)[gone].holder == "b"
    assert shared.shown(view)[gone].error is None
    first.etcd.silent = False
    first.etcd.revision += 1
    shared.pass_time([first], 3.0)
    assert gone in first.mine


def test_another_s_shard_is_in_error_once_etcd_has_refused_to_tell_for_a_lease_s_time() -> None:
    first, second = settled("a", "b")
    theirs = min(second.mine)
    first.etcd.silent, first.keeper.untold = True, "etcd 127.0.0.1:2379: permission denied"
    view = shared.pass_time([first], shared.TTL / 2)["a"]
    assert (shared.shown(view)[theirs].phase, shared.shown(view)[theirs].error) == ("waiting", None)
    view = shared.pass_time([first], shared.TTL)["a"]
    assert (shared.shown(view)[theirs].phase, view.state) == ("error", "degraded")
    assert "permission denied" in str(shared.shown(view)[theirs].error)
    first.etcd.silent, first.keeper.untold = False, None
    view = shared.pass_time([first], 2.0)["a"]
    report = shared.shown(view)[theirs]
    assert (report.phase, report.error, report.holder) == ("waiting", None, "b")


def test_what_was_queued_while_we_were_frozen_is_as_old_as_it_is() -> None:
    first, second = settled("a", "b")
    gone = min(second.mine)
    first.etcd.release(gone, "b")
    first.keeps()
    first.turn(seconds=60.0)
    first.turn(seconds=2 * shared.TTL)
    assert gone not in {s for child in first.live().values() for s in child.shards}


def test_an_etcd_that_was_put_back_is_believed_at_the_second_look() -> None:
    first, second = settled("a", "b")
    gone = min(second.mine)
    first.etcd.revision -= 50
    first.etcd.owners = {
        s: census.Owner(each.member, each.token - 50)
        for s, each in first.etcd.owners.items()
        if s != gone
    }
    first.etcd.members.pop("b")
    shared.pass_time([first], 5.0)
    assert gone in first.mine


# --- configurations ----------------------------------------------------------------------------


def reloaded(peer: shared.Peer, *prefixes: str, **sections: object) -> None:
    old = peer.config
    given = {
        "workers": old.workers,
        "cluster": old.cluster,
        "state": old.state,
        "etcd": old.etcd,
        **sections,
    }
    peer.config = settings.configured(prefixes, **given)  # type: ignore[arg-type]
    assert peer.supervisor.requests.reload().ok


def test_a_prefix_that_comes_is_claimed_and_one_that_goes_is_let_go_of() -> None:
    first, second = settled("a", "b")
    for each in first, second:
        reloaded(each, *PREFIXES[1:], "/new")
    shared.pass_time([first, second], 5.0)
    assert shared.shard("/new") in first.mine | second.mine
    assert shared.shard("/p0") not in first.etcd.owners
    assert first.etcd.members["a"].shards == {shared.shard(p) for p in (*PREFIXES[1:], "/new")}
    assert counts([first, second]) == [6, 6]


def test_another_etcd_is_another_world() -> None:
    first = settled("a", "b")[0]
    old, first.etcd = first.etcd, shared.Etcd(revision=5)
    reloaded(first, *PREFIXES, etcd={"endpoints": ["http://other:2379"]})
    stale = messages.Gathered(old.census(), 0.0, 1)
    first.keeper.channel.incoming.append(stale)
    first.turn()
    assert first.keeper.shards == ()
    assert first.live()["w1"].shards == ()
    shared.pass_time([first], 4.0)
    assert first.mine == SHARDS
    assert len(first.started) == 2


def test_what_others_have_once_etcd_is_another_is_compared_by_them_alone() -> None:
    """All is let go of by the reload, and others take what they can; then a full sync is due."""
    first = settled("a", "b")[0]
    reloaded(first, *PREFIXES, etcd={"endpoints": ["http://etcd:2379", "http://more:2379"]})
    for shard in SHARDS:
        first.etcd.owners[shard] = census.Owner("b", first.etcd.revision)
    shared.pass_time([first], 400.0, 0.5)
    assert first.mine == set()


def test_rules_and_capacity_are_those_in_force() -> None:
    first, second = settled("a", "b")
    reloaded(first, *PREFIXES, cluster={"mode": "share", "capacity": 1, "move_after": 1})
    shared.pass_time([first, second], 40.0)
    assert counts([first, second]) == [4, 8]
    assert len(first.mine) == 4


# --- people ------------------------------------------------------------------------------------


def test_what_another_has_can_be_asked_for_there_only() -> None:
    first, second = settled("a", "b")
    ours, theirs = min(first.mine), min(second.mine)
    ask = first.supervisor.requests
    owned = r"owned by b: ask that supervisor"
    with pytest.raises(control.Conflict, match=owned):
        ask.full_sync([theirs])
    with pytest.raises(control.Conflict, match=owned):
        ask.pause([theirs], "me")
    with pytest.raises(control.Conflict, match=owned):
        ask.release(theirs, "trip", "me")
    assert set(ask.full_sync(None)) == first.mine
    assert set(ask.pause(None, "me")) == first.mine
    assert ask.full_sync([ours]) == (ours,)


def test_what_nobody_has_at_the_moment_is_to_be_asked_for_again() -> None:
    first = settled("a")[0]
    (waits,) = peers("b")
    waits.turn()
    waits.works()
    waits.turn()
    with pytest.raises(control.Unavailable, match="at the moment: try again"):
        waits.supervisor.requests.full_sync(None)
    with pytest.raises(control.Unavailable, match="at the moment: try again"):
        waits.supervisor.requests.pause(None, "me")
    waits.turn(signal.SIGUSR1)
    assert not waits.ended()
    assert first.mine == SHARDS


def test_what_a_person_asked_for_is_done_before_the_shard_goes_to_who_joins() -> None:
    """They were told that it will be."""
    first = settled("a")[0]
    new = shared.Peer("b", first.etcd, *PREFIXES)
    while not first.etcd.offers:
        shared.pass_time([first, new], 0.1)
    (offered,) = first.etcd.offers
    first.supervisor.requests.pause([offered], "me")
    works = first._mirrors
    shared.pass_time([first, new], 15.0)
    assert offered in first.mine
    assert new.mine
    order = [p for child in first.live().values() for p in child.sent(messages.Pause)][-1]
    assert isinstance(order, messages.Pause)

    def paused(shard: str) -> messages.ShardReport:
        told = works(shard)
        return dataclasses.replace(told, ordered=order.order) if shard == offered else told

    first._mirrors = paused  # type: ignore[method-assign]
    shared.pass_time([first, new], 60.0)
    assert offered in new.mine
    assert counts([first, new]) == [6, 6]


def test_a_pause_that_was_not_done_before_the_shard_went_does_not_come_with_it_again() -> None:
    first = settled("a", "b")[0]
    shard = min(first.mine)
    first.supervisor.requests.pause([shard], "me")
    first.etcd.revision += 1
    first.etcd.owners[shard] = census.Owner("b", first.etcd.revision)
    shared.pass_time([first], 1.0)
    first.etcd.release(shard, "b")
    first.etcd.members.pop("b")
    shared.pass_time([first], 5.0)
    assert shard in first.mine
    again = [p for child in first.live().values() for p in child.sent(messages.Pause)]
    assert len(again) == 1


# --- as it was ---------------------------------------------------------------------------------


@pytest.mark.parametrize("once", [True, False])
def test_without_sharing_all_shards_are_the_workers_at_once(once: bool) -> None:
    world = fakes.world("/a", "/b", once=once)
    world.turn()
    told = [child.assign for child in world.started if child.assign is not None]
    assert sum(len(each.shards) for each in told) == 2
    assert not any(each.keeps for each in told)
    assert not any(child.spec.shares for child in world.started)
    assert not any(child.sent(messages.Standing) for child in world.started)


def test_a_single_run_takes_all_whatever_the_mode_is() -> None:
    cfg = settings.configured(PREFIXES, cluster={"mode": "share"}, workers={"count": 2})
    world = fakes.World(cfg, once=True)
    world.turn()
    loads = collections.Counter(c.spec.identity.slot for c in world.started for _ in c.shards)
    assert loads == {"w0": 6, "w1": 6}


def test_people_are_told_who_is_there_and_why_shards_came() -> None:
    first, second = settled("a", "b")
    view = shared.pass_time([first, second], 1.0)["a"]
    assert view.cluster is not None
    assert [(each.name, each.owned) for each in view.cluster.members] == [("a", 6), ("b", 6)]
    assert view.cluster.untold is None
    before = dict(view.cluster.moves)
    second.dies()
    first.etcd.lease_ends("b")
    view = shared.pass_time([first], 40.0)["a"]
    assert view.cluster is not None
    assert [each.owned for each in view.cluster.members] == [12]
    assert view.cluster.moves["loss"] == before["loss"] + 6
    assert view.cluster.unowned == {}
    first.etcd.silent = True
    view = shared.pass_time([first], shared.TTL + 2)["a"]
    assert view.cluster is not None
    assert "etcd does not tell" in str(view.cluster.untold)
