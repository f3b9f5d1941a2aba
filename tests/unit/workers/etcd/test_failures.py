"""The sentences are etcd's own (api/v3rpc/rpctypes/error.go) and grpc's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zk2etcd import errors
from zk2etcd_workers.etcd import failures

ETCD = [
    # (words, the code by its releases, what it means); "UNKNOWN" where etcd knows no code for it.
    # Read in api/v3rpc/rpctypes/error.go, api/v3rpc/util.go, etcdserver/errors.go, auth/store.go
    # and lease/lessor.go of 3.3.0, 3.3.25, 3.4.0, 3.4.13, 3.4.23, 3.4.44, 3.5.0, 3.5.16, 3.5.30,
    # 3.5.33, 3.6.0, 3.6.14 and 3.7.1.
    ("etcdserver: key is not provided", {"3.3": "INVALID_ARGUMENT"}, errors.EtcdError),
    ("etcdserver: key not found", {"3.3": "INVALID_ARGUMENT"}, errors.EtcdError),
    ("etcdserver: value is provided", {"3.3": "INVALID_ARGUMENT"}, errors.EtcdError),
    ("etcdserver: lease is provided", {"3.3": "INVALID_ARGUMENT"}, errors.EtcdError),
    (
        "etcdserver: too many operations in txn request",
        {"3.3": "INVALID_ARGUMENT"},
        errors.TooManyOperations,
    ),
    (
        "etcdserver: duplicate key given in txn request",
        {"3.3": "INVALID_ARGUMENT"},
        errors.EtcdError,
    ),
    ("etcdserver: invalid client api version", {"3.6": "INVALID_ARGUMENT"}, errors.EtcdError),
    ("etcdserver: invalid sort option", {"3.6": "INVALID_ARGUMENT"}, errors.EtcdError),
    (
        "etcdserver: mvcc: required revision has been compacted",
        {"3.3": "OUT_OF_RANGE"},
        errors.Compacted,
    ),
    (
        "etcdserver: mvcc: required revision is a future revision",
        {"3.3": "OUT_OF_RANGE"},
        errors.EtcdError,
    ),
    ("etcdserver: mvcc: database space exceeded", {"3.3": "RESOURCE_EXHAUSTED"}, errors.NoSpace),
    ("etcdserver: no space", {"3.3": "UNKNOWN"}, errors.NoSpace),
    ("etcdserver: requested lease not found", {"3.3": "NOT_FOUND"}, errors.LeaseGone),
    ("etcdserver: lease already exists", {"3.3": "FAILED_PRECONDITION"}, errors.EtcdError),
    ("etcdserver: too large lease TTL", {"3.3": "OUT_OF_RANGE"}, errors.EtcdError),
    ("etcdserver: request is too large", {"3.3": "INVALID_ARGUMENT"}, errors.TooLarge),
    # toGRPCErrorMap names the client's error in place of the server's: no release sends a code.
    ("etcdserver: too many requests", {"3.3": "UNKNOWN"}, errors.Overloaded),
    ("etcdserver: root user does not exist", {"3.3": "FAILED_PRECONDITION"}, errors.EtcdError),
    ("etcdserver: user name is empty", {"3.3": "INVALID_ARGUMENT"}, failures.TokenExpired),
    ("etcdserver: user name not found", {"3.3": "FAILED_PRECONDITION"}, failures.WrongLogin),
    ("etcdserver: role name not found", {"3.3": "FAILED_PRECONDITION"}, errors.EtcdDenied),
    (
        "etcdserver: authentication failed, invalid user ID or password",
        {"3.3": "INVALID_ARGUMENT"},
        failures.WrongLogin,
    ),
    (
        "auth: authentication failed, password was given for no password user",
        {"3.4": "UNKNOWN"},
        failures.WrongLogin,
    ),
    ("etcdserver: permission denied", {"3.3": "PERMISSION_DENIED"}, errors.EtcdDenied),
    ("etcdserver: permission not given", {"3.4.44": "INVALID_ARGUMENT"}, errors.EtcdError),
    (
        "etcdserver: authentication is not enabled",
        {"3.3": "FAILED_PRECONDITION"},
        failures.NoLogins,
    ),
    ("etcdserver: invalid auth token", {"3.3": "UNAUTHENTICATED"}, failures.TokenExpired),
    ("etcdserver: invalid auth management", {"3.3": "INVALID_ARGUMENT"}, failures.WrongLogin),
    ("auth: revision in header is old", {"3.3": "UNKNOWN"}, failures.TokenExpired),
    (
        "etcdserver: revision of auth store is old",
        {"3.4.23": "INVALID_ARGUMENT"},
        failures.TokenExpired,
    ),
    ("etcdserver: member not found", {"3.3": "NOT_FOUND"}, errors.EtcdError),
    ("etcdserver: cluster ID mismatch", {"3.4.44": "FAILED_PRECONDITION"}, errors.EtcdError),
    ("etcdserver: not leader", {"3.3": "FAILED_PRECONDITION"}, errors.UnfitMember),
    (
        "etcdserver: not capable",
        {"3.3": "UNAVAILABLE", "3.6": "FAILED_PRECONDITION"},
        errors.UnfitMember,
    ),
    (
        "etcdserver: rpc not supported for learner",
        {"3.4": "UNAVAILABLE", "3.6": "FAILED_PRECONDITION"},
        errors.UnfitMember,
    ),
    # --- in doubt: the proposal had been handed to raft, or may have been ---
    ("etcdserver: no leader", {"3.3": "UNAVAILABLE"}, None),
    ("etcdserver: leader changed", {"3.3": "UNAVAILABLE"}, None),
    ("etcdserver: server stopped", {"3.3": "UNAVAILABLE"}, None),
    ("etcdserver: request timed out", {"3.3": "UNAVAILABLE"}, None),
    (
        "etcdserver: request timed out, possibly due to previous leader failure",
        {"3.3": "UNAVAILABLE"},
        None,
    ),
    (
        "etcdserver: request timed out, possibly due to connection lost",
        {"3.3": "UNAVAILABLE"},
        None,
    ),
    (
        "etcdserver: request timed out, waiting for the applied index took too long",
        {"3.4.23": "UNAVAILABLE"},
        None,
    ),
    ("etcdserver: request timed out, leader transfer took too long", {"3.3": "UNKNOWN"}, None),
    ("etcdserver: request cancelled", {"3.3": "UNKNOWN"}, None),
    ("etcdserver: request canceled", {"3.5": "CANCELLED"}, None),
    ("etcdserver: context deadline exceeded", {"3.5": "DEADLINE_EXCEEDED"}, None),
    ("etcdserver: unhealthy cluster", {"3.3": "UNAVAILABLE"}, None),
    ("etcdserver: corrupt cluster", {"3.3": "DATA_LOSS"}, None),
    (
        "etcdserver: cluster version not found during downgrade",
        {"3.5": "UNAVAILABLE", "3.6": "FAILED_PRECONDITION"},
        None,
    ),
    ("raft proposal dropped", {"3.3": "UNKNOWN"}, None),
    ("raft: stopped", {"3.3": "UNKNOWN"}, None),
]
"""None: in doubt."""

OTHERS = [
    # grpc's own, those of its HTTP/2 (doc/http-grpc-status-mapping.md), and of what else may answer
    (
        "RESOURCE_EXHAUSTED",
        "grpc: received message larger than max (3000070 vs. 2097152)",
        errors.TooLarge,
    ),
    (
        "RESOURCE_EXHAUSTED",
        "trying to send message larger than max (3000070 vs. 2097152)",
        errors.TooLarge,
    ),
    ("UNIMPLEMENTED", "unknown service etcdserverpb.KV", errors.UnfitMember),
    ("UNIMPLEMENTED", "unknown method", errors.UnfitMember),
    ("UNIMPLEMENTED", "Method not found!", errors.UnfitMember),
    ("UNIMPLEMENTED", "Received http2 header with status: 404", errors.UnfitMember),
    ("UNAUTHENTICATED", "Received http2 header with status: 401", errors.UnfitMember),
    ("PERMISSION_DENIED", "Received http2 header with status: 403", errors.UnfitMember),
    ("UNKNOWN", "Received http2 header with status: 405", errors.UnfitMember),
    ("UNKNOWN", "Received http2 header with status: 413", errors.TooLarge),
    ("UNAVAILABLE", "Received http2 header with status: 429", errors.Overloaded),
    ("UNAVAILABLE", "Received http2 header with status: 502", None),
    ("UNAVAILABLE", "Received http2 header with status: 503", None),
    ("UNAVAILABLE", "Received http2 header with status: 504", None),
    ("UNKNOWN", "Received http2 header with status: 301", None),
    ("INTERNAL", "Received http2 header with status: 400", None),
    ("UNKNOWN", "Stream removed", None),
    ("INTERNAL", "Received RST_STREAM with error code 2", None),
    ("RESOURCE_EXHAUSTED", "Received RST_STREAM with error code 11", None),
    ("PERMISSION_DENIED", "Received RST_STREAM with error code 12", None),
    ("RESOURCE_EXHAUSTED", "", None),
    ("UNAVAILABLE", "failed to connect to all addresses", None),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", None),
    ("DEADLINE_EXCEEDED", "context deadline exceeded", None),
    ("CANCELLED", "context canceled", None),
    ("ABORTED", "", None),
    ("UNKNOWN", "", None),
]


def _answers() -> Iterator[tuple[str, str, type[errors.EtcdError] | None]]:
    """Each answer of a member; and the same through `etcd grpc-proxy`, which has etcd's words
    without its codes, or through one that wraps them."""
    yield from OTHERS
    for words, codes, kind in ETCD:
        for code in dict.fromkeys((*codes.values(), "UNKNOWN")):
            yield code, words, kind
        code = next(iter(codes.values()))
        yield "UNKNOWN", f"rpc error: code = {code} desc = {words}", kind


ANSWERS = list(_answers())
# Etcd's admin sentences: nothing that we send is refused so, and a proxy takes away the code.
ADMINS = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "OUT_OF_RANGE")


@pytest.mark.parametrize(("code", "details", "kind"), [each for each in ANSWERS if each[2]])
@pytest.mark.parametrize("write", [False, True])
def test_a_refusal_is_certain(
    code: str, details: str, kind: type[errors.EtcdError], write: bool
) -> None:
    error = failures.translate(code, details, "http://e:1", write)
    listed = any(words in details for words, _ in failures.SENTENCES)
    if kind is errors.EtcdError and code not in ADMINS and not listed:
        # Nothing that we ask is refused with it; without its code it stays in doubt.
        assert type(error) is (errors.AmbiguousWrite if write else errors.EtcdUnavailable)
        return
    assert type(error) is kind
    assert "http://e:1" in str(error)
    assert details in str(error)
    assert error.reaction is errors.Reaction.RETRY


@pytest.mark.parametrize(
    ("code", "details"), [(code, words) for code, words, kind in ANSWERS if kind is None]
)
def test_any_other_answer_to_a_write_settles_nothing(code: str, details: str) -> None:
    write = failures.translate(code, details, "http://e:1", True)
    assert type(write) is errors.AmbiguousWrite
    assert write.reaction is errors.Reaction.RESYNC
    read = failures.translate(code, details, "http://e:1", False)
    assert type(read) is errors.EtcdUnavailable


def test_every_sentence_of_the_table_is_met_here() -> None:
    """A row that nothing answers with would be a guess."""
    for words, kind in failures.SENTENCES:
        assert any(
            words in details and failures.meaning(code, details) is kind
            for code, details, _ in ANSWERS
        ), words


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
        ("SSL_ERROR_SSL: error:100000f7:WRONG_VERSION_NUMBER", "speaks no TLS"),
        ("Handshake read failed (Socket closed)", "http://"),
        ("Cannot check peer: missing selected ALPN property.", "no gRPC"),
        ("Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame)", "no gRPC"),
        ("Received http2 header with status: 503", "something before etcd"),
        ("etcdserver: corrupt cluster", "alarms"),
    ],
)
def test_what_is_no_etcds_is_told_in_our_words(details: str, said: str) -> None:
    for write in (False, True):
        error = failures.translate("UNAVAILABLE", details, "https://e:1", write)
        assert said in str(error)
        assert details in str(error)


def test_long_details_are_cut() -> None:
    assert len(str(failures.translate("UNAVAILABLE", "x" * 5000, "http://e:1", True))) < 400
