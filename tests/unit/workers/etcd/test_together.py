"""Who is sent with whom, and what each gets back."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from tests import polling
from zk2etcd import errors
from zk2etcd_workers.etcd import together


class Server:
    """Answers each wish with its double, odd ones with an error; `gate` holds the first batch."""

    def __init__(self) -> None:
        self.batches: list[Sequence[int]] = []
        self.gate = threading.Event()
        self.fails = False

    def carry(self, wishes: Sequence[int]) -> Sequence[int | errors.EtcdError]:
        self.batches.append(wishes)
        if len(self.batches) == 1:
            assert self.gate.wait(10)
        if self.fails:
            raise errors.AmbiguousWrite("lost")
        return [wish * 2 if not wish % 2 else errors.Held(f"w{wish}") for wish in wishes]


def asked(
    of: together.Together[int, int], wish: int, answers: dict[int, int | Exception]
) -> threading.Thread:
    def ask() -> None:
        try:
            answers[wish] = of.ask(wish)
        except errors.EtcdError as error:
            answers[wish] = error

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def run(server: Server, wishes: Sequence[int]) -> dict[int, int | Exception]:
    """The first is sent alone, and the others come while it is under way."""
    gathered = together.Together[int, int](server.carry)
    answers: dict[int, int | Exception] = {}
    threads = [asked(gathered, wishes[0], answers)]
    polling.until(lambda: server.batches, 5)
    threads += [asked(gathered, wish, answers) for wish in wishes[1:]]
    polling.until(lambda: len(gathered._waiting) == len(wishes) - 1, 5)
    server.gate.set()
    for thread in threads:
        thread.join(5)
    return answers


def test_the_first_goes_alone_and_those_who_wait_go_together() -> None:
    server = Server()
    answers = run(server, range(0, 40, 2))
    assert list(map(len, server.batches)) == [1, 19]
    assert answers == {wish: wish * 2 for wish in range(0, 40, 2)}


def test_an_error_is_its_own_wish_s_alone() -> None:
    server = Server()
    answers = run(server, [0, 1, 2, 3])
    assert (answers[0], answers[2]) == (0, 4)
    assert [str(answers[1]), str(answers[3])] == ["owned by w1", "owned by w3"]


def test_what_fails_fails_for_all_and_each_raises_an_error_of_its_own() -> None:
    server = Server()
    server.fails = True
    answers = run(server, [0, 2, 4])
    assert all(isinstance(each, errors.AmbiguousWrite) for each in answers.values())
    assert len({id(each) for each in answers.values()}) == 3


def test_after_a_failure_the_next_is_sent() -> None:
    server = Server()
    server.gate.set()
    server.fails = True
    gathered = together.Together[int, int](server.carry)
    with pytest.raises(errors.AmbiguousWrite):
        gathered.ask(2)
    server.fails = False
    assert gathered.ask(4) == 8


def test_one_who_follows_lingers_so_that_more_go_with_it() -> None:
    """The first does not. Where one comes alone nobody waits."""
    server = Server()
    server.gate.set()
    gathered = together.Together[int, int](server.carry, 1.0)
    began = time.monotonic()
    assert [gathered.ask(2), gathered.ask(4)] == [4, 8]
    assert time.monotonic() - began < 0.8
    server.batches.clear()
    server.gate.clear()
    answers: dict[int, int | Exception] = {}
    threads = [asked(gathered, 2, answers)]
    polling.until(lambda: server.batches, 5)
    threads.append(asked(gathered, 4, answers))
    polling.until(lambda: gathered._waiting, 5)
    server.gate.set()
    threads += [asked(gathered, wish, answers) for wish in (6, 8)]
    for thread in threads:
        thread.join(5)
    assert [len(batch) for batch in server.batches] == [1, 3]
    assert answers == {2: 4, 4: 8, 6: 12, 8: 16}


def test_the_first_lingers_where_more_are_known_to_come_but_no_later_one() -> None:
    server = Server()
    server.gate.set()
    gathered = together.Together[int, int](server.carry, 1.0)
    gathered.expect(3)
    answers: dict[int, int | Exception] = {}
    for thread in [asked(gathered, wish, answers) for wish in (2, 4, 6)]:
        thread.join(5)
    assert [len(batch) for batch in server.batches] == [3]
    assert answers == {2: 4, 4: 8, 6: 12}
    began = time.monotonic()
    assert gathered.ask(8) == 16
    assert time.monotonic() - began < 0.8


def test_the_first_waits_until_as_many_are_there_as_were_told_and_not_for_ever() -> None:
    server = Server()
    server.gate.set()
    gathered = together.Together[int, int](server.carry, 0.2)
    gathered.expect(4)
    answers: dict[int, int | Exception] = {}
    threads = []
    for wish in (2, 4, 6, 8):
        threads.append(asked(gathered, wish, answers))
        time.sleep(0.15)  # the last comes later than one lingering would be
    for thread in threads:
        thread.join(5)
    assert [len(batch) for batch in server.batches] == [4]
    gathered.expect(2)
    began = time.monotonic()
    assert gathered.ask(10) == 20
    assert 0.9 < time.monotonic() - began < 5.0


def test_no_more_go_together_than_may_and_the_others_follow() -> None:
    server = Server()
    server.gate.set()
    gathered = together.Together[int, int](server.carry, 0.2, most=3)
    gathered.expect(8)
    wishes = range(2, 18, 2)
    answers: dict[int, int | Exception] = {}
    threads = [asked(gathered, wish, answers) for wish in wishes]
    for thread in threads:
        thread.join(5)
    assert sum(map(len, server.batches)) == 8
    assert {len(batch) for batch in server.batches[:2]} == {3}
    assert answers == {wish: 2 * wish for wish in wishes}


def test_the_first_waits_for_a_moment_where_most_come_in_crowds() -> None:
    server = Server()
    server.gate.set()
    gathered = together.Together[int, int](server.carry, first=0.3)
    answers: dict[int, int | Exception] = {}
    for thread in [asked(gathered, wish, answers) for wish in (2, 4, 6)]:
        thread.join(5)
    assert [len(batch) for batch in server.batches] == [3]


def test_an_answer_wakes_one_who_wakes_the_next() -> None:
    """A hundred that wake at the same moment would hinder each other: yet all are woken."""
    server = Server()
    wishes = range(0, 200, 2)
    assert run(server, wishes) == {wish: wish * 2 for wish in wishes}
    assert list(map(len, server.batches)) == [1, 99]
