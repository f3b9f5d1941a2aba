from __future__ import annotations

from hypothesis import given, strategies as st

from zk2etcd import backoff
from zk2etcd.policy import lifecycle
from zk2etcd.policy.lifecycle import Action, State

RULES = lifecycle.Policy(
    restart=backoff.Backoff(1.0, 60.0, lifecycle.IMMEDIATE_RESTARTS, jitter=0.0),
    heartbeat_timeout=10.0,
    stop_timeout=15.0,
)


def after(
    *events: tuple[float, lifecycle.Event], start: lifecycle.Worker | None = None
) -> tuple[lifecycle.Worker, list[Action]]:
    """The worker after (time, event) pairs, and the actions of the last one."""
    worker = start or lifecycle.Worker()
    actions: tuple[Action, ...] = ()
    for now, event in events:
        worker, actions = lifecycle.transition(worker, event, now, RULES)
    return worker, list(actions)


def crashed(times: int, uptime: float) -> tuple[lifecycle.Worker, list[float]]:
    """A worker that ended so often, and the delays before its restarts."""
    worker, now, delays = after((0.0, lifecycle.Wanted()))[0], 0.0, []
    for _ in range(times):
        now += uptime
        worker, _ = lifecycle.transition(worker, lifecycle.Exited(), now, RULES)
        assert worker.deadline is not None
        delays.append(worker.deadline - now)
        now = worker.deadline
        worker, actions = lifecycle.transition(worker, lifecycle.Tick(), now, RULES)
        assert actions == (Action.SPAWN,)
    return worker, delays


def test_wanted_starts_and_the_first_report_makes_it_run() -> None:
    worker, actions = after((5.0, lifecycle.Wanted()))
    assert (worker.state, worker.incarnation, actions) == (State.STARTING, 1, [Action.SPAWN])
    assert after((6.0, lifecycle.Wanted()), start=worker) == (worker, [])
    worker, actions = after((6.0, lifecycle.Reported()), start=worker)
    assert (worker.state, worker.since, actions) == (State.RUNNING, 6.0, [])


def test_three_restarts_are_immediate_then_they_double() -> None:
    worker, delays = crashed(11, uptime=1.0)
    assert delays == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert (worker.incarnation, worker.restarts) == (12, 11)


def test_a_quiet_minute_forgets_the_failures() -> None:
    assert crashed(6, uptime=60.0)[1] == [0] * 6
    assert crashed(6, uptime=59.0)[1] == [0, 0, 0, 1, 2, 4]


def test_a_silent_worker_is_killed_and_comes_back() -> None:
    running = after((0.0, lifecycle.Wanted()), (1.0, lifecycle.Reported()))[0]
    assert after((11.0, lifecycle.Tick()), start=running)[1] == []
    hung, actions = after((11.1, lifecycle.Tick()), start=running)
    assert actions == [Action.KILL]
    back, actions = after((11.2, lifecycle.Exited()), (11.2, lifecycle.Tick()), start=hung)
    assert (back.state, back.incarnation, actions) == (State.STARTING, 2, [Action.SPAWN])


def test_a_report_of_a_hung_mirror_is_no_heartbeat() -> None:
    running = after((0.0, lifecycle.Wanted()), (1.0, lifecycle.Reported()))[0]
    told = after((9.0, lifecycle.Reported(oldest_turn=9.5)), (9.6, lifecycle.Tick()), start=running)
    assert told[1] == [Action.KILL]


def test_a_start_has_more_time_than_a_heartbeat() -> None:
    starting = after((0.0, lifecycle.Wanted()))[0]
    assert after((lifecycle.START_GRACE, lifecycle.Tick()), start=starting)[1] == []
    late = after((lifecycle.START_GRACE + 0.1, lifecycle.Tick()), start=starting)
    assert late[1] == [Action.KILL]


def test_time_that_the_supervisor_missed_is_not_held_against_a_worker() -> None:
    running = after((0.0, lifecycle.Wanted()), (1.0, lifecycle.Reported()))[0]
    woken = after((61.0, lifecycle.Stalled(60.0)), (61.0, lifecycle.Tick()), start=running)
    assert woken[1] == []


def test_nor_is_what_it_reports_of_that_time() -> None:
    """A container was frozen: the worker's report comes after the supervisor's first turn."""
    running = after((0.0, lifecycle.Wanted()), (1.0, lifecycle.Reported()))[0]
    late: list[tuple[float, lifecycle.Event]] = [
        (61.0, lifecycle.Stalled(60.0)),
        (61.0, lifecycle.Tick()),
        (61.1, lifecycle.Reported(60.1)),
    ]
    assert after(*late, (61.1, lifecycle.Tick()), start=running)[1] == []
    hung = (72.0, lifecycle.Reported(71.0)), (72.0, lifecycle.Tick())
    assert after(*late, *hung, start=running)[1] == [Action.KILL], (
        "one that still hangs is not excused"
    )


def test_unwanted_drains_then_kills_at_the_deadline() -> None:
    running = after((0.0, lifecycle.Wanted()), (1.0, lifecycle.Reported()))[0]
    stopping, actions = after((2.0, lifecycle.Unwanted()), start=running)
    assert (stopping.state, stopping.deadline, actions) == (State.STOPPING, 17.0, [Action.DRAIN])
    assert after((16.9, lifecycle.Tick()), start=stopping)[1] == []
    assert after((17.0, lifecycle.Tick()), start=stopping)[1] == [Action.KILL]
    assert after((3.0, lifecycle.Exited()), start=stopping)[0].state is State.STOPPED


def test_a_worker_in_backoff_just_stops() -> None:
    waiting = after((0.0, lifecycle.Wanted()), (1.0, lifecycle.Exited()))[0]
    stopped, actions = after((2.0, lifecycle.Unwanted()), start=waiting)
    assert (stopped.state, actions) == (State.STOPPED, [])
    assert after((99.0, lifecycle.Tick()), start=stopped) == (stopped, [])


def test_hurry_kills_whatever_lives() -> None:
    starting = after((0.0, lifecycle.Wanted()))[0]
    hurried, actions = after((1.0, lifecycle.Hurry()), start=starting)
    assert (hurried.state, actions) == (State.STOPPING, [Action.KILL])
    assert after((1.0, lifecycle.Hurry())) == (lifecycle.Worker(), [])


EVENTS = st.one_of(
    st.builds(lifecycle.Wanted),
    st.builds(lifecycle.Unwanted),
    st.builds(lifecycle.Reported, st.floats(0, 30)),
    st.builds(lifecycle.Exited),
    st.builds(lifecycle.Hurry),
    st.builds(lifecycle.Stalled, st.floats(0, 100)),
    st.builds(lifecycle.Tick),
)


@given(st.lists(st.tuples(st.floats(0, 40), EVENTS), max_size=60))
def test_never_two_processes_and_never_a_forgotten_one(
    steps: list[tuple[float, lifecycle.Event]],
) -> None:
    worker, now, alive = lifecycle.Worker(), 0.0, False
    for wait, event in steps:
        now += wait
        if isinstance(event, lifecycle.Exited):
            if not alive:
                continue
            alive = False
        before = worker
        worker, actions = lifecycle.transition(worker, event, now, RULES)
        if Action.SPAWN in actions:
            assert not alive
            alive = True
            assert worker.incarnation == before.incarnation + 1
        if Action.DRAIN in actions or Action.KILL in actions:
            assert alive
        assert worker.alive == alive
        assert (worker.deadline is not None) == (worker.state in (State.BACKOFF, State.STOPPING))
        assert worker.heard_at <= now
        assert worker.spawned_at <= now


@given(st.lists(st.tuples(st.floats(0, 40), EVENTS), max_size=60))
def test_a_tick_changes_nothing_before_it_says_so(
    steps: list[tuple[float, lifecycle.Event]],
) -> None:
    worker, now = lifecycle.Worker(), 0.0
    for wait, event in steps:
        now += wait
        worker, _ = lifecycle.transition(worker, event, now, RULES)
        wakes_at = lifecycle.wakes_at(worker, RULES)
        soon = now if wakes_at is None else min(now, wakes_at - 0.001)
        if wakes_at is None or wakes_at > now:
            assert lifecycle.transition(worker, lifecycle.Tick(), soon, RULES) == (worker, ())
