from __future__ import annotations

import concurrent.futures
import itertools
import threading
import time
import types
from collections.abc import Sequence

import pytest

from tests import polling
from tests.unit import fakes
from zk2etcd import conditions
from zk2etcd.supervisor import desk, requests
from zk2etcd.view import control, published


class Loop(requests.Requests):
    """Answers by itself, without a supervisor."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.level = ""

    def full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        if shards == ["nope"]:
            raise control.UnknownShard(shards)
        self.thread = threading.current_thread()
        return tuple(shards or ("all",))

    def release(self, shard: str, trip: str, by: str) -> conditions.Guard:
        raise control.Conflict(f"{shard}: {trip} by {by}")

    def pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return (*(shards or ("all",)), "paused", by)

    def resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return (*(shards or ("all",)), "resumed", by)

    def reload(self) -> control.ReloadResult:
        return control.ReloadResult(False, "faulty")

    def set_log_level(self, level: str) -> None:
        self.level = level


class Desk:
    """A desk and how often it woke its loop."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.woken = threading.Semaphore(0)
        view = fakes.world("/a").supervisor.desk.snapshot()
        self.desk = desk.Desk(self.loop, view, self.woken.release)


def test_what_is_asked_runs_in_the_loops_thread_and_is_answered() -> None:
    one = Desk()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(one.desk.request_full_sync, ["a"])
        assert one.woken.acquire(timeout=5)
        one.desk.serve()
        assert asked.result(5) == ("a",)
        pausing = pool.submit(one.desk.request_pause, None, "alice")
        assert one.woken.acquire(timeout=5)
        one.desk.serve()
        assert pausing.result(5) == ("all", "paused", "alice")
        resuming = pool.submit(one.desk.request_resume, ["a"], "bob")
        assert one.woken.acquire(timeout=5)
        one.desk.serve()
        assert resuming.result(5) == ("a", "resumed", "bob")
        reloading = pool.submit(one.desk.request_reload)
        assert one.woken.acquire(timeout=5)
        one.desk.serve()
        assert reloading.result(5).error == "faulty"
    assert one.loop.thread is threading.current_thread()


def test_what_is_published_is_recorded() -> None:
    one = Desk()
    view = one.desk.snapshot()
    one.desk.publish(view)
    (shard,) = view.shards
    assert set(one.desk.recent(-1).shards) == {shard.id}
    assert len(one.desk.recent(-1).at) == 0


@pytest.mark.parametrize(("shards", "stands"), [(10, 0.0), (600, 1.0), (1_100, 2.0), (9_000, 2.0)])
def test_a_view_of_many_shards_stands_for_a_while(
    shards: int, stands: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    clock = types.SimpleNamespace(monotonic=lambda: now, time=time.time)
    monkeypatch.setattr(desk, "time", clock)
    one = Desk()
    view, made = one.desk.snapshot(), list[float]()

    def fresh() -> published.View:
        made.append(now)
        return view

    for _ in range(61):
        one.desk.turned(fresh, shards)
        assert one.desk.snapshot().last_turn_age == 0.0, "that it turned is known at once"
        now += 0.1
    between = [after - before for before, after in itertools.pairwise(made)]
    assert len(between) >= 2
    assert between == pytest.approx([max(stands, 0.1)] * len(between), abs=0.11)


def test_what_it_raises_belongs_to_who_asked() -> None:
    one = Desk()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(one.desk.request_full_sync, ["nope"])
        assert one.woken.acquire(timeout=5)
        one.desk.serve()
        with pytest.raises(control.UnknownShard):
            asked.result(5)


def test_a_wrong_level_is_refused_before_the_loop_hears_of_it() -> None:
    one = Desk()
    with pytest.raises(ValueError, match="unknown log level"):
        one.desk.set_log_level("loud")
    assert not one.woken.acquire(blocking=False)


def test_a_loop_that_hangs_gives_an_error_and_later_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "_SHORT", 0.05)
    one = Desk()
    with pytest.raises(control.Unavailable):
        one.desk.set_log_level("debug")
    one.desk.serve()
    assert one.loop.level == ""


def test_closing_answers_who_waits_and_refuses_who_comes() -> None:
    one = Desk()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(one.desk.request_reload)
        assert one.woken.acquire(timeout=5)
        one.desk.close()
        with pytest.raises(control.Unavailable):
            asked.result(5)
    with pytest.raises(control.Unavailable):
        one.desk.request_full_sync(None)


def test_the_age_of_the_last_turn_grows_while_the_loop_hangs() -> None:
    one = Desk()
    first = one.desk.snapshot()
    polling.until(lambda: one.desk.snapshot().last_turn_age > first.last_turn_age)
    polling.until(lambda: one.desk.snapshot().last_turn_age > 0.05)
    one.desk.publish(first)
    assert one.desk.snapshot().last_turn_age < 0.05
