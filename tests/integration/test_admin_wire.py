"""The real admin server under bytes that no HTTP client sends: it answers or hangs up, nothing that
was not authorised happens, and probes are answered meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import hypothesis
import pydantic
import pytest
from hypothesis import strategies as st

from tests import polling
from tests.unit import controls
from zk2etcd.admin import http_channel, listening
from zk2etcd.config import models
from zk2etcd.logs import logger
from zk2etcd.view import control

SLOW_TIMEOUT = 2
PROMPT = 4.5
"""Seconds, on a machine that others use."""
SETTINGS = models.Http(
    listen="127.0.0.1:0", token=pydantic.SecretStr(controls.TOKEN), allowed_hosts=["known"]
)
HEAD = b"Host: known\r\nContent-Type: application/json\r\n"
ASK = b"POST /full-sync HTTP/1.1\r\n" + HEAD
HIDDEN = b"POST /reload HTTP/1.1\r\n" + HEAD + b"Content-Length: 0\r\n\r\n"
CRAFTED = {
    "two lengths": ASK + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + HIDDEN,
    "a length and chunks": ASK
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "an odd encoding": ASK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a hidden encoding": ASK + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an underscored name": ASK + b"Content_Length: 0\r\n\r\n" + HIDDEN,
    "a signed length": ASK + b"Content-Length: +2\r\n\r\n{}" + HIDDEN,
    "a negative length": ASK + b"Content-Length: -2\r\n\r\n{}" + HIDDEN,
    "a length too short": ASK + b"Content-Length: 1\r\n\r\n{}" + HIDDEN,
    "a length too long": ASK + b"Content-Length: 99999\r\n\r\n{}" + HIDDEN,
    "an endless length": ASK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n{}",
    "a chunk without end": ASK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n{}",
    "a chunk of nonsense": ASK + b"Transfer-Encoding: chunked\r\n\r\nzz;\xff\r\n{}\r\n0\r\n\r\n",
    "a folded header": b"GET /status HTTP/1.1\r\nHost: known\r\n\tevil\r\n\r\n",
    "two hosts": b"GET /status HTTP/1.1\r\nHost: known\r\nHost: evil.example\r\n\r\n",
    "another's name": b"GET http://known/status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "bare line feeds": b"POST /reload HTTP/1.1\nHost: known\nContent-Type: application/json\n\n",
    "a null in a header": b"GET /livez HTTP/1.1\r\nHost: known\r\nX: a\x00b\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "another version": b"GET /livez HTTP/9.9\r\nHost: known\r\n\r\n",
    "the start of http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the start of tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    "a huge header": b"GET /livez HTTP/1.1\r\nHost: known\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    "many headers": b"GET /livez HTTP/1.1\r\nHost: known\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "a huge target": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: known\r\n\r\n",
    "a huge body": ASK + b"Content-Length: 400000\r\n\r\n" + b"x" * 400_000,
    "pipelined": b"GET /livez HTTP/1.1\r\nHost: known\r\n\r\n" * 50 + HIDDEN,
    "continue": ASK + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "an upgrade": b"GET /livez HTTP/1.1\r\nHost: known\r\n"
     b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "a tunnel": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: known\r\n\r\n",
    "a token in the url": b"POST /reload?token=" + controls.TOKEN.encode() + b" HTTP/1.1\r\n"
    + HEAD + b"\r\n",
}  # fmt: skip


class Served:
    """A server, and what it was talked into."""

    def __init__(self, folder: str) -> None:
        self.control = controls.Control()
        self.server = listening.Listener(lambda: SETTINGS, lambda: folder)
        self.server.serve(self.control)
        host, _, port = self.server.address.rpartition(":")
        self.address = (host, int(port))

    def say(self, data: bytes, patience: float = 0.1) -> bytes:
        """Send it; what came back until nothing came for `patience` seconds."""
        said = b""
        with contextlib.suppress(OSError), socket.create_connection(self.address, 5) as sock:
            sock.sendall(data)
            sock.settimeout(patience)
            while part := sock.recv(65536):
                said += part
        return said

    def probe(self) -> float:
        """Seconds until /livez was answered."""
        started = time.monotonic()
        line = http.client.HTTPConnection(*self.address, timeout=5)
        try:
            line.request("GET", "/livez", headers={"Host": "known"})
            assert line.getresponse().status == 200
        finally:
            line.close()
        return time.monotonic() - started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_channel, "RECEIVE", SLOW_TIMEOUT)
        patch.setattr(http_channel, "STALL", SLOW_TIMEOUT)
        logger.set_level("error")
        made = Served(str(tmp_path_factory.mktemp("metrics")))
        yield made
        made.server.close()
        logger.set_level("info")


def judged(answer: bytes) -> None:
    """Whatever was answered is HTTP, no failure of ours, and tells no secret."""
    if answer:
        assert answer.startswith(b"HTTP/1."), answer[:200]
        assert answer.split(b" ")[1][:1] in (b"1", b"2", b"3", b"4") or b" 501 " in answer[:20]
    assert b" 500 " not in answer
    assert b"Traceback" not in answer
    assert controls.TOKEN.encode() not in answer


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_requests(served: Served, name: str) -> None:
    judged(served.say(CRAFTED[name]))
    assert served.control.changed == []
    assert served.probe() < PROMPT


def test_the_same_with_the_token_is_done(served: Served) -> None:
    """So that the rest does not pass since nothing would be done at all."""
    token = b"Authorization: Bearer " + controls.TOKEN.encode()
    answer = served.say(ASK + token + b"\r\nContent-Length: 2\r\n\r\n{}", patience=3.0)
    assert b" 202 " in answer[:20]
    assert served.control.changed == ["full-sync"]
    served.control.changed.clear()


PIECES = st.sampled_from(
    (
        *(ASK, HIDDEN, HEAD, b"GET /status HTTP/1.1\r\n", b"\r\n", b"\r\n\r\n", b"\n", b":", b" "),
        *(
            b"Content-Length: 7\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"5\r\n{}\r\n",
            b"0\r\n\r\n",
        ),
        *(b"Host: ", b"Authorization: Bearer x\r\n", b"\x00", b"\xff", b"{}", b"HTTP/1.0"),
    )
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(st.one_of(PIECES, st.binary(max_size=30)), max_size=12).map(b"".join))
def test_random_bytes(served: Served, data: bytes) -> None:
    judged(served.say(data, patience=0.03))
    assert served.control.changed == []


def test_probes_are_answered_while_the_supervisor_does_not_answer(served: Served) -> None:
    held = threading.Event()
    token = b"Authorization: Bearer " + controls.TOKEN.encode()
    reload = HIDDEN.replace(b"\r\n\r\n", b"\r\n" + token + b"\r\n\r\n")

    def reloads() -> control.ReloadResult:
        held.wait(10)
        return control.ReloadResult(ok=True)

    with pytest.MonkeyPatch.context() as patch, futures.ThreadPoolExecutor(6) as pool:
        patch.setattr(served.control, "request_reload", reloads)
        asked = [pool.submit(served.say, reload, 5.0) for _ in range(6)]
        try:
            assert served.probe() < PROMPT
            polling.until(lambda: any(each.done() for each in asked), what="a refusal")
        finally:
            held.set()
        statuses = sorted(each.result().split(b" ")[1] for each in asked)
    assert set(statuses) == {b"200", b"503"}
    assert served.probe() < PROMPT


def test_probes_are_answered_while_many_hang(served: Served) -> None:
    with contextlib.ExitStack() as held:
        for number in range(500):
            sock = held.enter_context(socket.create_connection(served.address, 5))
            sock.sendall((b"", b"GET /status HTT", ASK + b"Content-Length: 9\r\n\r\n{")[number % 3])
        assert served.probe() < PROMPT
    assert served.control.changed == []


def test_a_client_that_drips_does_not_keep_its_place(served: Served) -> None:
    """A byte now and then is no progress: the whole request has a time to come in."""
    closed = threading.Event()
    with socket.create_connection(served.address, 5) as sock:
        sock.settimeout(0.1)

        def drip() -> bool:
            with contextlib.suppress(TimeoutError):
                try:
                    sock.sendall(b"X: y\r\n")
                    if not sock.recv(100):
                        closed.set()
                except ConnectionError:
                    closed.set()
            return closed.is_set()

        sock.sendall(b"GET /status HTTP/1.1\r\n")
        polling.until(drip, SLOW_TIMEOUT + 4.0, every=0.1, what="hanging up")
    assert served.probe() < PROMPT


def test_a_connection_that_asks_again_and_again_is_kept(served: Served) -> None:
    line = http.client.HTTPConnection(*served.address, timeout=5)
    try:
        deadline, asked = time.monotonic() + 1.7 * SLOW_TIMEOUT, 0
        line.connect()
        before = line.sock
        while time.monotonic() < deadline:
            line.request("GET", "/livez", headers={"Host": "known"})
            assert line.getresponse().read() == b"ok\n"
            asked += 1
            threading.Event().wait(0.2)
        assert line.sock is before
        assert asked > 3
    finally:
        line.close()
