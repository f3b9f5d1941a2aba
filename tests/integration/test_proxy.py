"""The proxy does what the tests believe it does, above all: let go what is long given up."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests import polling, proxy


class Sink:
    """A server that keeps what it was sent, and echoes it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = b""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._take, args=(peer,), daemon=True).start()

    def _take(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            while part := peer.recv(1000):
                self.received += part
                peer.sendall(part)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()


@pytest.fixture
def through(sink: Sink) -> Iterator[proxy.Proxy]:
    made = proxy.Proxy(sink.address)
    yield made
    made.close()


def _client(through: proxy.Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", through.port), 5)


def test_it_forwards_both_ways(sink: Sink, through: proxy.Proxy) -> None:
    with _client(through) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
    assert sink.received == b"hello"


def test_held_bytes_arrive_after_their_sender_has_gone(sink: Sink, through: proxy.Proxy) -> None:
    with _client(through) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        through.hold("up")
        client.sendall(b"late")
    with _client(through) as other:
        other.sendall(b"also")
        assert sink.received == b"1"
        through.release("up")
        assert other.recv(4) == b"also"
    polling.until(lambda: sorted(sink.received) == sorted(b"1latealso"))


def test_what_comes_late_in_a_hold_is_lost(sink: Sink, through: proxy.Proxy) -> None:
    with _client(through) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        through.hold("up", keep=0.3)
        client.sendall(b"kept")
        held = time.monotonic()
        polling.until(lambda: time.monotonic() > held + 0.5)
        client.sendall(b"lost")
        polling.until(lambda: time.monotonic() > held + 0.8)
        through.release("up")
        polling.until(lambda: sink.received == b"1kept")
        client.settimeout(5)
        assert client.recv(100) == b"kept"
        assert client.recv(100) == b""
    assert sink.received == b"1kept"


def test_new_connections_pass_once_a_hold_is_diverted(sink: Sink, through: proxy.Proxy) -> None:
    with _client(through) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        through.hold("up")
        client.sendall(b"held")
        polling.until(lambda: through.waiting == 1)
        through.divert("up")
        assert client.recv(100) == b""
    with _client(through) as other:
        other.sendall(b"new")
        assert other.recv(3) == b"new"
        assert sink.received == b"1new"
        through.release("up")
        polling.until(lambda: sink.received == b"1newheld")


def test_it_delays(through: proxy.Proxy) -> None:
    with _client(through) as client:
        through.delay(0.3)
        sent = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert time.monotonic() - sent >= 0.3


def test_it_cuts_and_refuses(through: proxy.Proxy) -> None:
    with _client(through) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        through.refuse()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    with _client(through) as refused, contextlib.suppress(ConnectionResetError):
        assert refused.recv(1) == b""
    through.heal()
    with _client(through) as client:
        client.sendall(b"y")
        assert client.recv(1) == b"y"


def test_it_forwards_elsewhere_and_back(sink: Sink, through: proxy.Proxy) -> None:
    other = Sink()
    with contextlib.closing(other), _client(through) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        through.retarget(other.address)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        with _client(through) as moved:
            moved.sendall(b"2")
            assert moved.recv(1) == b"2"
        through.heal()
    with _client(through) as back:
        back.sendall(b"3")
        assert back.recv(1) == b"3"
    assert (sink.received, other.received) == (b"13", b"2")


def test_answers_are_held_and_counted_once_they_go_on(sink: Sink, through: proxy.Proxy) -> None:
    with _client(through) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        assert through.returned == 1
        through.hold("down")
        client.sendall(b"23")
        polling.until(lambda: sink.received == b"123")
        polling.until(lambda: through.waiting == 1)
        assert through.returned == 1
        through.release("down")
        assert client.recv(2) == b"23"
        assert through.returned == 3


def test_what_comes_after_a_moment_vanishes_and_the_line_stays(
    sink: Sink, through: proxy.Proxy
) -> None:
    with _client(through) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        through.hold("both")
        client.sendall(b"kept")
        polling.until(lambda: through.waiting == 1)
        until = time.monotonic()
        client.sendall(b"lost")
        through.release("up", until)
        through.release("down")
        assert client.recv(100) == b"kept"
        client.sendall(b"lost, too")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(100)
    assert sink.received == b"1kept"


def test_the_first_bytes_of_each_connection_can_be_changed(sink: Sink) -> None:
    with proxy.Proxy(sink.address, bytes.upper, at=("127.0.0.2", 0)) as through:
        assert through.address == f"127.0.0.2:{through.port}"
        for number in (1, 2):
            with socket.create_connection(("127.0.0.2", through.port), 5) as client:
                client.sendall(b"a")
                assert client.recv(1) == b"A"
                client.sendall(b"b")
                assert client.recv(1) == b"b"
            assert through.connections == number


def test_a_mute_connection_stays_open_while_new_ones_work(sink: Sink, through: proxy.Proxy) -> None:
    with _client(through) as old:
        old.sendall(b"before")
        assert old.recv(10) == b"before"
        through.mute()
        old.sendall(b"lost")
        with _client(through) as new:
            new.sendall(b"new")
            assert new.recv(10) == b"new"
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            old.recv(10)
        assert sink.received == b"beforenew"


def test_a_thin_line_carries_so_many_bytes_a_second_over_all_connections(sink: Sink) -> None:
    thin = proxy.Proxy(sink.address, rate=100_000)
    clients = [_client(thin) for _ in range(2)]
    started = time.monotonic()
    for client in clients:
        client.sendall(b"x" * 30_000)
    polling.until(lambda: len(sink.received) == 60_000, 20, what="all of it")
    assert time.monotonic() - started > 0.5
    thin.throttle(10_000_000)
    thin.throttle(None)
    started = time.monotonic()
    clients[0].sendall(b"x" * 30_000)
    polling.until(lambda: len(sink.received) == 90_000, 20, what="the rest")
    assert time.monotonic() - started > 0.25, "as thin as a rule again"
    for client in clients:
        client.close()
    thin.close()
