"""The line of requests: bounded, in order, and ended when the connection is."""

from __future__ import annotations

from zk2etcd_workers.zookeeper import outbox


class _Pending:
    def __init__(self, line: outbox.Outbox, number: int) -> None:
        self.started = float(number)
        self.error: BaseException | None = None
        self._line = line

    def set_exception(self, error: BaseException) -> None:
        self.error = error
        self._line.answered(self)


class _Kazoo:
    """Takes requests; `live` says whether its connection is there."""

    def __init__(self, limit: int) -> None:
        self.live = True
        self.got: list[int] = []
        self.line = outbox.Outbox(self._take, lambda: self.live, ConnectionError, limit)
        self.pendings: dict[int, _Pending] = {}

    def _take(self, request: int, _: outbox.Pending) -> None:
        self.got.append(request)

    def send(self, count: int) -> None:
        for number in range(count):
            self.pendings[number] = _Pending(self.line, number)
            self.line.send(number, self.pendings[number])


def test_only_so_many_are_out_and_the_rest_follows_in_order() -> None:
    kazoo = _Kazoo(3)
    kazoo.send(10)
    assert kazoo.got == [0, 1, 2]
    for number in range(10):
        assert len(kazoo.line) == min(3, 10 - number)
        assert kazoo.line.oldest() == number
        kazoo.line.answered(kazoo.pendings[number])
    assert kazoo.got == list(range(10))
    assert kazoo.line.oldest() is None


def test_an_answer_out_of_order_makes_room_for_one() -> None:
    kazoo = _Kazoo(2)
    kazoo.send(4)
    kazoo.line.answered(kazoo.pendings[1])
    assert kazoo.got == [0, 1, 2]
    assert kazoo.line.oldest() == 0


def test_all_that_waits_ends_with_the_connection() -> None:
    """However many they are: not one of them inside the end of another."""
    kazoo = _Kazoo(2)
    kazoo.send(5000)
    kazoo.live = False
    for number in (0, 1):
        kazoo.pendings[number].set_exception(ConnectionError())
    assert kazoo.got == [0, 1]
    assert len(kazoo.line) == 0
    errors = [type(pending.error) for pending in kazoo.pendings.values()]
    assert errors == [ConnectionError] * 5000


def test_an_answer_that_comes_twice_is_counted_once() -> None:
    kazoo = _Kazoo(1)
    kazoo.send(3)
    kazoo.line.answered(kazoo.pendings[0])
    kazoo.line.answered(kazoo.pendings[0])
    assert kazoo.got == [0, 1]


class _Train(int):
    weight = 40


def test_a_train_counts_as_all_that_it_carries() -> None:
    kazoo = _Kazoo(100)
    for number in range(4):
        kazoo.pendings[number] = _Pending(kazoo.line, number)
        kazoo.line.send(_Train(number), kazoo.pendings[number])
    assert kazoo.got == [0, 1]
    assert len(kazoo.line) == 80
    kazoo.line.answered(kazoo.pendings[0])
    assert kazoo.got == [0, 1, 2]


def test_one_that_is_too_large_goes_alone() -> None:
    kazoo = _Kazoo(10)
    for number in range(2):
        kazoo.pendings[number] = _Pending(kazoo.line, number)
        kazoo.line.send(_Train(number), kazoo.pendings[number])
    assert kazoo.got == [0]
    kazoo.line.answered(kazoo.pendings[0])
    assert kazoo.got == [0, 1]


def test_sessions_share_a_quarter_of_what_a_server_takes() -> None:
    for sessions in range(1, 16):
        assert sessions * outbox.share(sessions) <= outbox.SERVERS_SHARE
    assert outbox.share(1) == outbox.LIMIT
    assert outbox.share(1000) > 0
