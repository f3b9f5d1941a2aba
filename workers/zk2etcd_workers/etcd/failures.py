"""What etcd's answers mean: status code and details -> one class of our tree. Pure.

The details are etcd's own sentences (its rpctypes/error.go). The line that matters: was the
request refused, for certain, or may it have been, or yet be, applied?
"""

from __future__ import annotations

from zk2etcd import errors


class TokenExpired(errors.EtcdError):
    """The auth token is not valid any more; the request was refused unseen."""


def lost(endpoint: str, why: str, *, write: bool) -> errors.EtcdError:
    """No answer, or none that settles the question."""
    if write:
        return errors.AmbiguousWrite(f"etcd {endpoint}: a write's answer was lost ({why})")
    return errors.EtcdUnavailable(f"etcd {endpoint} cannot be reached: {why}")


_REFUSALS: tuple[tuple[str, str, type[errors.EtcdError]], ...] = (
    ("OUT_OF_RANGE", "compacted", errors.Compacted),
    ("INVALID_ARGUMENT", "too many operations", errors.TooManyOperations),
    ("INVALID_ARGUMENT", "request is too large", errors.TooLarge),
    ("INVALID_ARGUMENT", "revision of auth store is old", TokenExpired),
    ("INVALID_ARGUMENT", "authentication failed", errors.EtcdDenied),
    ("INVALID_ARGUMENT", "user name is empty", errors.EtcdDenied),
    ("RESOURCE_EXHAUSTED", "space exceeded", errors.NoSpace),
    ("RESOURCE_EXHAUSTED", "larger than max", errors.TooLarge),
    ("RESOURCE_EXHAUSTED", "too many requests", errors.Overloaded),
    ("UNAUTHENTICATED", "", TokenExpired),
    ("PERMISSION_DENIED", "", errors.EtcdDenied),
    ("FAILED_PRECONDITION", "authentication is not enabled", errors.EtcdDenied),
)
_HANDSHAKES = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate has no valid signature by etcd.tls.ca"),
    ("Hostname Verification", "its certificate is for another name than the endpoint's"),
    ("security handshaker", "a file of etcd.tls holds no certificate, or not the key to it"),
    ("Unwrap failed", "it refuses our certificate, see etcd.tls.cert"),
)
"""grpc's words for a TLS handshake that failed, and ours."""

_DEFINITE = (
    "INVALID_ARGUMENT",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
)


def translate(code: str, details: str, endpoint: str, write: bool) -> errors.EtcdError:
    """The error for a grpc status `code` (its name) with etcd's `details`."""
    for known, part, kind in _REFUSALS:
        if code == known and part in details:
            return kind(f"etcd {endpoint}: {details or code.lower()}{_remedy(kind)}")
    if code in _DEFINITE:
        return errors.EtcdError(f"etcd {endpoint}: {details or code.lower()}")
    why = f"{code.lower().replace('_', ' ')}: {_short(details)}"
    for words, meaning in _HANDSHAKES:
        if words in details:
            why = f"{meaning} ({why})"
    return lost(endpoint, why, write=write)


def _remedy(kind: type[errors.EtcdError]) -> str:
    if kind is errors.NoSpace:
        return "; compact, defragment and disarm the alarm, or raise --quota-backend-bytes"
    if kind is errors.EtcdDenied:
        return "; check etcd.username, etcd.password and the user's roles"
    return ""


def _short(details: str) -> str:
    return details if len(details) <= 200 else details[:200] + "..."
