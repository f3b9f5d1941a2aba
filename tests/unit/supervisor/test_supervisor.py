from __future__ import annotations

import signal

import pytest

from tests.unit import fakes, settings
from zk2etcd import messages
from zk2etcd.policy import lifecycle
from zk2etcd.view import control

A, B, C, D = (messages.shard_id(path, path) for path in ("/a", "/b", "/c", "/d"))


def test_starts_a_worker_for_each_slot_that_has_shards_and_no_other() -> None:
    world = fakes.world("/a", "/b", workers=5)
    view = world.turn()
    assert len(world.started) == 2
    assert view.state == "starting"
    assert sorted(shard for child in world.started for shard in child.shards) == [A, B]
    assert {worker.state for worker in view.workers} == {"starting"}
    assert all(child.assign and child.assign.reaped == {} for child in world.started)


def test_is_ready_when_all_follow() -> None:
    view = fakes.world("/a", "/b").settle()
    assert view.state == "ready"
    assert [shard.report.phase for shard in view.shards] == ["following", "following"]
    assert [worker.state for worker in view.workers] == ["running", "running"]
    assert all(shard.next_full_sync_at is not None for shard in view.shards)


def test_an_assignment_is_sent_once() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    world.report()
    assert all(len(child.sent(messages.Assign)) == 1 for child in world.started)


def test_a_crashed_worker_comes_back_in_its_slot_with_its_shards() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    first = world.live()["w0"]
    shards = first.shards
    first.code = -9
    view = world.turn()
    again = world.live()["w0"]
    assert again is not first
    assert again.spec.identity.incarnation == 2
    assert again.shards == shards
    assert again.assign is not None
    assert again.assign.reaped == {"w0": 1}
    found = {shard.id: shard.report for shard in view.shards}
    assert found[shards[0]].phase == "error"
    assert "signal 9" in str(found[shards[0]].error)
    assert view.state == "degraded"
    (worker,) = [worker for worker in view.workers if worker.slot == "w0"]
    assert (worker.restarts, worker.last_exit) == (1, -9)
    assert len(world.live()["w1"].sent(messages.Assign)) == 1
    assert world.report().state == "ready"


def test_a_worker_that_keeps_crashing_waits_longer_and_longer() -> None:
    world = fakes.world("/a", workers=1)
    world.turn()
    for _ in range(4):
        world.live()["w0"].code = 1
        view = world.turn()
    assert view.state == "degraded"
    assert [worker.state for worker in view.workers] == ["backoff"]
    assert len(world.started) == 4
    world.turn(seconds=0.8)
    assert len(world.started) == 4
    world.turn(seconds=0.3)
    assert len(world.started) == 5


def test_a_system_without_processes_is_waited_for() -> None:
    world = fakes.world("/a")
    world.fails = True
    for _ in range(5):
        view = world.turn()
    assert view.workers[0].state == "backoff"
    world.fails = False
    world.turn(seconds=1.0)
    world.turn(seconds=1.0)
    assert len(world.started) == 1


def test_a_silent_worker_is_killed_and_replaced() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    silent = world.live()["w1"]
    for _ in range(12):
        world.live()["w0"].report()
        world.turn(seconds=1.0)
    assert silent.killed()
    assert world.live()["w1"] is not silent
    assert world.live()["w0"].spec.identity.incarnation == 1


def test_a_worker_whose_mirror_hangs_is_killed_though_it_reports() -> None:
    world = fakes.world("/a", workers=1)
    world.settle()
    world.live()["w0"].report(oldest_turn=10.5)
    world.turn()
    assert world.started[0].killed()


def test_a_frozen_supervisor_blames_no_worker() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    world.turn(seconds=300.0)
    assert not any(child.killed() for child in world.started)


def test_a_start_may_take_longer_than_a_heartbeat() -> None:
    world = fakes.world("/a")
    for _ in range(int(lifecycle.START_GRACE) - 1):
        world.turn(seconds=1.0)
    assert not world.started[0].killed()
    for _ in range(3):
        world.turn(seconds=1.0)
    assert world.started[0].killed()


def test_sigterm_drains_and_ends_when_all_are_gone() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    view = world.turn(signal.SIGTERM)
    assert view.state == "stopping"
    assert not world.ended()
    for child in world.started:
        (drain,) = child.sent(messages.Drain)
        assert isinstance(drain, messages.Drain)
        assert 0 < drain.timeout < 15
        child.code = 0
    world.turn()
    assert world.ended()
    assert len(world.started) == 2


def test_a_worker_that_does_not_drain_is_killed_at_the_deadline() -> None:
    world = fakes.world("/a")
    world.settle()
    world.turn(signal.SIGTERM)
    for _ in range(14):
        world.turn(seconds=1.0)
    assert not world.started[0].killed()
    world.turn(seconds=1.1)
    assert world.started[0].killed()
    world.turn()
    assert world.ended()


def test_the_second_signal_kills_at_once() -> None:
    world = fakes.world("/a")
    world.settle()
    world.turn(signal.SIGINT)
    world.turn(signal.SIGINT)
    assert world.started[0].killed()
    assert world.ended() or not world.supervisor.turn(world.now + 1)


def test_a_reload_touches_only_what_changed() -> None:
    world = fakes.world("/a", "/b", workers=2)
    world.settle()
    before = {slot: child.shards for slot, child in world.live().items()}
    world.config = settings.alone(["/a", "/b", "/c"], workers={"count": 2})
    view = world.turn(signal.SIGHUP)
    assert view.reloads == {"ok": 1, "error": 0}
    after = {slot: child.shards for slot, child in world.live().items()}
    changed = {slot for slot in after if after[slot] != before[slot]}
    assert len(changed) == 1
    assert all(set(before[slot]) <= set(after[slot]) for slot in after)
    assert len(world.started) == 2
    sent = {slot: len(child.sent(messages.Assign)) for slot, child in world.live().items()}
    assert sorted(sent.values()) == [1, 2]


def test_a_removed_prefix_is_let_go_of_and_its_slot_stops() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    world.config = settings.alone(["/a"], workers={"count": 2})
    view = world.turn(signal.SIGHUP)
    assert [shard.id for shard in view.shards] == [A]
    (gone,) = [child for child in world.started if child.shards == (B,)]
    assert len(gone.sent(messages.Drain)) == 1
    gone.code = 0
    view = world.turn()
    assert [worker.shards for worker in view.workers] == [(A,)]
    assert len(world.started) == 2


def test_a_prefix_that_comes_back_while_its_worker_stops_is_not_shown_as_an_error() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    world.config = settings.alone(["/a"], workers={"count": 2})
    world.turn(signal.SIGHUP)
    (stopping,) = [child for child in world.started if child.sent(messages.Drain)]
    world.config = settings.alone(["/a", "/b"], workers={"count": 2})
    world.turn(signal.SIGHUP)
    stopping.code = 0
    found = {shard.id: shard.report for shard in world.turn().shards}
    assert (found[B].phase, found[B].error) == ("waiting", None)
    world.turn()
    assert len(world.started) == 3
    assert world.report().state == "ready"


def test_a_moved_shard_starts_only_after_its_old_worker_let_go() -> None:
    world = fakes.world("/a", "/b", "/c", "/d", workers=1)
    world.settle()
    old = world.started[0]
    world.config = settings.alone(["/a", "/b", "/c", "/d"], workers={"count": 2})
    world.turn(signal.SIGHUP)
    new = world.started[1]
    assert len(old.shards) == 2
    moved = tuple(shard for shard in (A, B, C, D) if shard not in old.shards)
    assert new.shards == ()
    old.held = (*old.shards, moved[0])
    world.report(["w0"])
    assert new.shards == moved[1:]
    old.held = None
    world.report(["w0"])
    assert new.shards == moved


def test_a_moved_shard_that_nobody_mirrors_yet_is_not_shown_as_followed() -> None:
    world = fakes.world("/a", "/b", workers=1)
    world.settle()
    old = world.started[0]
    world.config = settings.alone(["/a", "/b"], workers={"count": 2})
    world.turn(signal.SIGHUP)
    view = world.report(["w0"])
    moved = next(shard for shard in view.shards if shard.id not in old.shards)
    assert (moved.worker, moved.report.phase, moved.report.owned) == ("w1", "waiting", False)
    world.report(["w1"])
    view = world.report(["w1"])
    assert all(shard.report.phase == "following" for shard in view.shards)


def test_a_moved_shard_starts_when_its_old_worker_is_dead() -> None:
    world = fakes.world("/a", "/b", workers=1)
    world.settle()
    world.config = settings.alone(["/a", "/b"], workers={"count": 2})
    world.turn(signal.SIGHUP)
    assert world.started[1].shards == ()
    world.started[0].code = -9
    world.turn()
    world.turn()
    new = world.started[1]
    assert len(new.shards) == 1
    assert new.assign is not None
    assert new.assign.reaped == {"w0": 1}


def test_a_bad_file_keeps_the_configuration_and_says_why() -> None:
    world = fakes.world("/a")
    world.settle()
    world.refusal = "config.yaml:3: sync.prefixes: is missing"
    view = world.turn(signal.SIGHUP)
    assert view.config.error == world.refusal
    assert view.reloads == {"ok": 0, "error": 1}
    assert [shard.id for shard in view.shards] == [A]
    world.refusal = None
    assert world.turn(signal.SIGHUP).config.error is None


def test_a_key_that_needs_a_restart_is_refused_by_name() -> None:
    world = fakes.world("/a")
    world.settle()
    world.config = settings.alone(["/a", "/b"], workers={"count": 2}, state={"prefix": "other/one"})
    view = world.turn(signal.SIGHUP)
    assert "state.prefix" in str(view.config.error)
    assert [shard.id for shard in view.shards] == [A]


def test_connection_settings_reach_running_workers() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    world.config = settings.alone(
        ["/a", "/b"], workers={"count": 2}, etcd={"endpoints": ["http://127.0.0.1:23790"]}
    )
    world.turn(signal.SIGHUP)
    for child in world.started:
        assert child.assign is not None
        assert child.assign.config.etcd.endpoints == ("http://127.0.0.1:23790",)
        assert len(child.sent(messages.Assign)) == 2


def test_what_concerns_the_supervisor_alone_disturbs_no_worker() -> None:
    world = fakes.world("/a")
    world.settle()
    world.config = settings.alone(
        ["/a"], workers={"count": 2, "stop_timeout": 1.0}, sync={"full_sync_interval": 5.0}
    )
    view = world.turn(signal.SIGHUP)
    assert view.reloads["ok"] == 1
    assert len(world.started[0].sent(messages.Assign)) == 1


def test_a_log_level_goes_to_all_and_to_those_started_later() -> None:
    world = fakes.world("/a")
    world.settle()
    world.config = settings.alone(["/a"], workers={"count": 2}, log={"level": "error"})
    view = world.turn(signal.SIGHUP)
    assert view.log_level == "error"
    assert world.started[0].sent(messages.SetLogLevel) == [messages.SetLogLevel("error")]
    world.started[0].code = 1
    world.turn()
    assert world.started[1].spec.log_level == "error"


def test_sigusr1_runs_full_syncs_one_after_another() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    world.turn(signal.SIGUSR1)

    def asked() -> dict[str, list[str]]:
        return {
            slot: [
                shard
                for message in child.sent(messages.FullSync)
                if isinstance(message, messages.FullSync)
                for shard in message.shards
            ]
            for slot, child in world.live().items()
        }

    first = asked()
    assert sorted(len(shards) for shards in first.values()) == [0, 1]
    (slot,) = [slot for slot, shards in first.items() if shards]
    child = world.live()[slot]
    child.details[child.shards[0]] = fakes.follows(child.shards[0], 2)
    world.report()
    assert sorted(len(shards) for shards in asked().values()) == [1, 1]


def test_the_desk_refuses_unknown_shards_and_starts_none() -> None:
    world = fakes.world("/a")
    world.settle()
    with pytest.raises(control.UnknownShard) as caught:
        world.supervisor.requests.full_sync([A, "nope"])
    assert caught.value.ids == ("nope",)
    world.turn()
    assert world.started[0].sent(messages.FullSync) == []
    assert world.supervisor.requests.full_sync([A, A]) == (A,)


def test_a_shard_in_error_is_degraded_at_once() -> None:
    world = fakes.world("/a", "/b")
    world.turn()
    for child in world.started:
        (shard,) = child.shards
        child.details[shard] = messages.ShardReport(shard, "error", error="away", attempt=1)
    assert world.report().state == "degraded"


def test_all_waiting_for_another_holder_is_standby() -> None:
    world = fakes.world("/a")
    world.turn()
    world.started[0].details[A] = messages.ShardReport(A, "waiting", holder="other w0")
    assert world.report().state == "standby"


def test_once_ends_with_0_when_every_shard_had_its_full_sync() -> None:
    world = fakes.world("/a", "/b", once=True)
    world.settle()
    assert not world.ended()
    for child in world.started:
        assert len(child.sent(messages.Drain)) == 1
        child.code = 0
    world.turn()
    assert world.ended()
    assert world.supervisor._exit_code == 0


def test_once_ends_with_3_when_a_shard_does_not_come_up() -> None:
    world = fakes.world("/a", once=True)
    world.turn()
    world.started[0].details[A] = messages.ShardReport(A, "error", error="refused", attempt=5)
    world.report()
    world.started[0].code = 0
    world.turn()
    assert world.ended()
    assert world.supervisor._exit_code == 3


def test_once_does_not_restart_a_worker_that_is_done() -> None:
    world = fakes.world("/a", "/b", once=True)
    world.turn()
    done = world.started[0]
    world.report([done.spec.identity.slot])
    assert len(done.sent(messages.Drain)) == 1
    done.code = 0
    view = world.turn()
    assert len(world.started) == 2
    assert {shard.report.phase for shard in view.shards} == {"following", "waiting"}


def test_a_refusal_drains_every_worker_and_is_the_exit_code() -> None:
    world = fakes.world("/a", "/b")
    world.settle()
    for child in world.started:
        (shard,) = child.shards
        child.details[shard] = fakes.follows(shard, phase="error", refusal="a newer zk2etcd")
    assert world.report().state == "stopping"
    for child in world.started:
        assert len(child.sent(messages.Drain)) == 1
        child.code = 0
    world.turn()
    assert world.ended()
    assert world.supervisor._exit_code == 2


def test_a_refusal_is_no_news_to_who_was_told_to_stop() -> None:
    world = fakes.world("/a")
    world.settle()
    world.turn(signal.SIGTERM)
    world.started[0].details[A] = fakes.follows(A, refusal="a newer zk2etcd")
    world.report()
    world.started[0].code = 0
    world.turn()
    assert world.ended()
    assert world.supervisor._exit_code == 0
