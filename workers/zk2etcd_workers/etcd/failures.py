"""What etcd's answers mean: its words, and failing them the status code -> one class of our tree.

The words are etcd's own sentences (api/v3rpc/rpctypes/error.go, and for those that its
togRPCError knows no code for, etcdserver/errors.go and auth/store.go; 3.3 to 3.7). They are looked
at before the code: `etcd grpc-proxy` sends all of them as UNKNOWN, members "too many requests" in
each release, and 3.6 changed the code of others. The line that matters: was the request refused,
for certain, or may it have been, or yet be, applied? What is not listed, and not refused by a code
that only a refusal has, is in doubt. Pure.
"""

from __future__ import annotations

from zk2etcd import errors


class TokenExpired(errors.EtcdDenied):
    """The auth token, or that there is none, does not do any more; the request was refused
    unseen, so it may be sent again with a new one."""


class WrongLogin(errors.EtcdDenied):
    """The user or the password is wrong, or there is no such user any more."""


class NoLogins(errors.EtcdError):
    """A login was asked for, and etcd has logins switched off."""


class InDoubt(errors.EtcdError):
    """Never raised: it stands in the table for what `lost` says of a request."""


def lost(endpoint: str, why: str, *, write: bool) -> errors.EtcdError:
    """No answer, or none that settles the question."""
    if write:
        return errors.AmbiguousWrite(f"etcd {endpoint}: a write's answer was lost ({why})")
    return errors.EtcdUnavailable(f"etcd {endpoint} cannot be reached: {why}")


Kind = type[errors.EtcdError]

SENTENCES: tuple[tuple[str, Kind], ...] = (
    # --- refused before it was proposed, or by a check before it was applied ---
    ("etcdserver: mvcc: required revision has been compacted", errors.Compacted),
    ("etcdserver: mvcc: required revision is a future revision", errors.EtcdError),
    ("etcdserver: duplicate key given in txn request", errors.EtcdError),
    ("etcdserver: too many operations in txn request", errors.TooManyOperations),
    ("etcdserver: request is too large", errors.TooLarge),
    ("received message larger than max", errors.TooLarge),
    ("trying to send message larger than max", errors.TooLarge),
    ("Received http2 header with status: 413", errors.TooLarge),
    ("etcdserver: mvcc: database space exceeded", errors.NoSpace),
    ("etcdserver: no space", errors.NoSpace),
    ("etcdserver: too many requests", errors.Overloaded),
    ("Received http2 header with status: 429", errors.Overloaded),
    ("etcdserver: requested lease not found", errors.LeaseGone),
    # --- logged out: the token, or that there is none ---
    ("etcdserver: invalid auth token", TokenExpired),
    ("etcdserver: revision of auth store is old", TokenExpired),
    ("auth: revision in header is old", TokenExpired),  # no code before 3.4.19, 3.5.2
    ("etcdserver: user name is empty", TokenExpired),
    ("etcdserver: authentication is not enabled", NoLogins),
    # --- who we are, and what we may ---
    ("etcdserver: authentication failed", WrongLogin),
    ("auth: authentication failed", WrongLogin),  # a user without a password: has no code
    ("etcdserver: permission denied", errors.EtcdDenied),
    ("etcdserver: user name not found", WrongLogin),
    ("etcdserver: role name not found", errors.EtcdDenied),
    ("etcdserver: invalid auth management", WrongLogin),
    # --- a member that serves nothing of what we need: refused at its door ---
    ("etcdserver: rpc not supported for learner", errors.UnfitMember),
    ("etcdserver: not capable", errors.UnfitMember),
    ("etcdserver: not leader", errors.UnfitMember),
    ("Received http2 header with status: 401", errors.UnfitMember),
    ("Received http2 header with status: 403", errors.UnfitMember),
    ("Received http2 header with status: 404", errors.UnfitMember),
    ("Received http2 header with status: 405", errors.UnfitMember),
    # --- in doubt, whatever the code ---
    ("etcdserver: no leader", InDoubt),
    ("etcdserver: leader changed", InDoubt),
    ("etcdserver: server stopped", InDoubt),
    ("etcdserver: request timed out", InDoubt),  # and all that it goes on with after a comma
    ("etcdserver: request cancel", InDoubt),  # both spellings
    ("etcdserver: context deadline exceeded", InDoubt),
    ("etcdserver: unhealthy cluster", InDoubt),
    ("etcdserver: corrupt cluster", InDoubt),
    ("etcdserver: cluster version not found during downgrade", InDoubt),
    ("Received RST_STREAM", InDoubt),  # also as RESOURCE_EXHAUSTED or PERMISSION_DENIED
    ("Received http2 header with status", InDoubt),  # something before etcd, after it asked etcd?
)
"""Words, and what an answer means that has them; the first row that fits counts. Tried, and
which sentence is of which release: tests/unit/workers/etcd/test_failures.py."""

_CODES: dict[str, Kind] = {
    "UNAUTHENTICATED": TokenExpired,
    "PERMISSION_DENIED": errors.EtcdDenied,
    "UNIMPLEMENTED": errors.UnfitMember,
    "INVALID_ARGUMENT": errors.EtcdError,
    "FAILED_PRECONDITION": errors.EtcdError,
    "NOT_FOUND": errors.EtcdError,
    "OUT_OF_RANGE": errors.EtcdError,
}
"""What a code means by itself; every other one leaves the request in doubt."""

_REMEDIES: dict[Kind, str] = {
    errors.NoSpace: "compact, defragment and disarm the alarm, or raise --quota-backend-bytes",
    errors.EtcdDenied: "check etcd.username, etcd.password and the user's roles",
    errors.UnfitMember: "take it out of etcd.endpoints",
    errors.LeaseGone: "it had ended, or was revoked: a new one is taken",
    WrongLogin: "check etcd.username and etcd.password",
    TokenExpired: "set etcd.username and etcd.password: it asks for a login",
}
_MEANINGS = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate has no valid signature by etcd.tls.ca"),
    ("Hostname Verification", "its certificate is for another name than the endpoint's"),
    ("security handshaker", "a file of etcd.tls holds no certificate, or not the key to it"),
    ("Unwrap failed", "it refuses our certificate, see etcd.tls.cert"),
    ("WRONG_VERSION_NUMBER", "it speaks no TLS: is it http:// in etcd.endpoints?"),
    ("Handshake read failed", "it ended the TLS handshake: is it http:// in etcd.endpoints?"),
    ("missing selected ALPN", "it speaks TLS, but no gRPC: is that etcd's client port?"),
    ("Failed parsing HTTP/2", "what answers speaks no gRPC: is that etcd's client port?"),
    ("Deadline Exceeded", "no answer in time, see etcd.request_timeout"),
    ("rpc not supported for learner", "a learner: it serves nothing that we need"),
    ("unknown service", "what answers is no etcd v3"),
    ("unknown method", "what answers is no etcd v3"),
    ("Method not found", "what answers is no etcd v3"),
    ("corrupt cluster", "its members found that they differ: see etcd's alarms"),
    ("http2 header with status: 401", "something before etcd asks for a login of its own"),
    ("http2 header with status: 403", "something before etcd does not let us through"),
    ("http2 header with status: 404", "something before etcd leads nowhere"),
    ("http2 header with status: 413", "something before etcd takes no larger requests"),
    ("http2 header with status: 429", "something before etcd lets no more requests through"),
    ("http2 header with status", "something before etcd answered in its place"),
)
"""Words of grpc, of etcd and of what may stand before it, and ours."""


def translate(code: str, details: str, endpoint: str, write: bool) -> errors.EtcdError:
    """The error for a grpc status `code` (its name) with etcd's `details`."""
    kind = meaning(code, details)
    short = _short(details)
    said = _told(details, short or code.lower())
    if kind is InDoubt:
        why = f"{code.lower().replace('_', ' ')}: {short}"
        return lost(endpoint, _told(details, why), write=write)
    remedy = _REMEDIES.get(kind, "")
    return kind(f"etcd {endpoint}: {said}{remedy and '; '}{remedy}")


def meaning(code: str, details: str) -> Kind:
    """The class of such an answer; `InDoubt` if it does not settle what became of the request."""
    for words, kind in SENTENCES:
        if words in details:
            return kind
    return _CODES.get(code, InDoubt)


def is_said(details: str) -> bool:
    """These are the words of an etcd, or of a proxy before it: the connection carries answers."""
    return any(words in details for words, _ in SENTENCES)


def _told(details: str, said: str) -> str:
    """`said`, behind what its words mean if that is known."""
    for words, ours in _MEANINGS:
        if words in details:
            return f"{ours} ({said})"
    return said


def _short(details: str) -> str:
    return details if len(details) <= 200 else details[:200] + "..."
