"""Why a server did not take us: one line for each cause, whatever kazoo made of it."""

from __future__ import annotations

import errno
import os
import ssl

import kazoo.exceptions
import pytest

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper.servers import refusal


def _dropped(cause: OSError) -> BaseException:
    """kazoo's error for `cause`."""
    try:
        try:
            raise cause
        except OSError as error:
            said = getattr(error, "strerror", error)
            raise kazoo.exceptions.ConnectionDropped(f"socket connection error: {said}")  # noqa: B904
    except kazoo.exceptions.ConnectionDropped as error:
        dropped: BaseException = error
    return dropped


def _untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "unable to get local issuer certificate"
    return error


def _failed() -> ssl.SSLError:
    error = ssl.SSLError(1, "wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "timed out"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "ca.pem"), "ca.pem: No such"),
        (_untrusted(), "not trusted: unable to get local issuer certificate (zookeeper.tls.ca"),
        (_failed(), "TLS failed: WRONG_VERSION_NUMBER (zookeeper.tls)"),
    ],
)
def test_an_error_says_the_same_with_and_without_kazoo(cause: OSError, said: str) -> None:
    assert said in refusal.reason(cause)
    assert said in refusal.reason(_dropped(cause))


def test_errors_without_a_cause() -> None:
    assert "zookeeper.sasl" in refusal.reason(kazoo.exceptions.AuthFailedError("secret"))
    assert "secret" not in refusal.reason(kazoo.exceptions.AuthFailedError("secret"))
    assert refusal.reason(kazoo.exceptions.ConnectionDropped("gone")) == "gone"
    assert refusal.reason(KeyError()) == "KeyError"


def test_a_server_that_is_behind_is_told_with_both_zxids() -> None:
    told = refusal.told_behind(0x10, 0x2A)
    assert "0x10" in told
    assert "0x2a" in told
    assert "nothing is written or deleted" in told
    assert "0x2a" in refusal.told_behind(None, 0x2A)


def test_only_where_each_host_wants_another_login_all_deny() -> None:
    wanted = kazoo.exceptions.SessionClosedRequireSaslError()
    dead = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    found = refusal.Refusals(connections.ZooKeeper())
    assert not found.all_deny
    found.add("a:2181", wanted, 0, None)
    found.add("a:2181", wanted, 0, None)
    assert (found.all_deny, found.denials) == (True, 2)
    found.add("b:2181", dead, 0, None)
    assert (found.all_deny, found.denials) == (False, 0)
    found.add("b:2181", wanted, 0, None)
    assert (found.all_deny, found.denials) == (True, 1)
