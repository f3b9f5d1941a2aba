"""The sentences are etcd's own (api/v3rpc/rpctypes/error.go) and grpc's."""

from __future__ import annotations

import pytest

from zk2etcd import errors
from zk2etcd_workers.etcd import failures

REFUSED = [
    ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", errors.Compacted),
    ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", errors.EtcdError),
    (
        "INVALID_ARGUMENT",
        "etcdserver: too many operations in txn request",
        errors.TooManyOperations,
    ),
    ("INVALID_ARGUMENT", "etcdserver: request is too large", errors.TooLarge),
    ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", errors.EtcdError),
    ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", failures.TokenExpired),
    (
        "INVALID_ARGUMENT",
        "etcdserver: authentication failed, invalid user ID or password",
        errors.EtcdDenied,
    ),
    ("INVALID_ARGUMENT", "etcdserver: user name is empty", errors.EtcdDenied),
    ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", errors.NoSpace),
    ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", errors.Overloaded),
    (
        "RESOURCE_EXHAUSTED",
        "grpc: received message larger than max (3000070 vs. 2097152)",
        errors.TooLarge,
    ),
    ("UNAUTHENTICATED", "etcdserver: invalid auth token", failures.TokenExpired),
    ("PERMISSION_DENIED", "etcdserver: permission denied", errors.EtcdDenied),
    ("FAILED_PRECONDITION", "etcdserver: authentication is not enabled", errors.EtcdDenied),
    ("NOT_FOUND", "etcdserver: requested lease not found", errors.EtcdError),
    ("UNIMPLEMENTED", "unknown method", errors.EtcdError),
]
LOST = [
    ("UNAVAILABLE", "etcdserver: request timed out"),
    ("UNAVAILABLE", "etcdserver: leader changed"),
    ("UNAVAILABLE", "etcdserver: no leader"),
    ("UNAVAILABLE", "failed to connect to all addresses"),
    ("UNAVAILABLE", "etcdserver: server stopped"),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded"),
    ("DEADLINE_EXCEEDED", "context deadline exceeded"),
    ("CANCELLED", "context canceled"),
    ("UNKNOWN", "Stream removed"),
    ("INTERNAL", "Received RST_STREAM with error code 2"),
    ("ABORTED", ""),
    ("DATA_LOSS", "etcdserver: corrupt cluster"),
]


@pytest.mark.parametrize(("code", "details", "kind"), REFUSED)
@pytest.mark.parametrize("write", [False, True])
def test_a_refusal_is_certain(
    code: str, details: str, kind: type[errors.EtcdError], write: bool
) -> None:
    error = failures.translate(code, details, "http://e:1", write)
    assert type(error) is kind
    assert "http://e:1" in str(error)
    assert details in str(error)
    assert error.reaction is errors.Reaction.RETRY


@pytest.mark.parametrize(("code", "details"), LOST)
def test_any_other_answer_to_a_write_settles_nothing(code: str, details: str) -> None:
    write = failures.translate(code, details, "http://e:1", True)
    assert type(write) is errors.AmbiguousWrite
    assert write.reaction is errors.Reaction.RESYNC
    read = failures.translate(code, details, "http://e:1", False)
    assert type(read) is errors.EtcdUnavailable


def test_every_grpc_code_has_an_answer() -> None:
    import grpc  # noqa: PLC0415

    for code in grpc.StatusCode:
        error = failures.translate(code.name, "", "http://e:1", True)
        assert isinstance(error, errors.EtcdError)


def test_what_to_do_is_said() -> None:
    full = failures.translate(
        "RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", "http://e:1", True
    )
    assert "--quota-backend-bytes" in str(full)
    denied = failures.translate("PERMISSION_DENIED", "denied", "http://e:1", True)
    assert "etcd.username" in str(denied)


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ("Tls handshake failed: OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: x", "etcd.tls.ca"),
        ("Custom verification check failed: Hostname Verification Check failed.", "another name"),
        ("Failed to create security handshaker.", "etcd.tls"),
        ("Unwrap failed (TSI_DATA_CORRUPTED)", "etcd.tls.cert"),
    ],
)
def test_a_handshake_that_failed_is_told_in_our_words(details: str, said: str) -> None:
    for write in (False, True):
        error = failures.translate("UNAVAILABLE", details, "https://e:1", write)
        assert said in str(error)
        assert details in str(error)


def test_long_details_are_cut() -> None:
    assert len(str(failures.translate("UNAVAILABLE", "x" * 5000, "http://e:1", True))) < 400
