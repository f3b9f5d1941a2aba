"""What must hold between keys.

These rules look at plain data that may still be wrong in any way, so that one misspelt key does
not hide that two prefixes overlap: all faults are listed at once.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

from zk2etcd import patterns
from zk2etcd.config import addresses, faults, units

Fault = tuple[faults.Path, str]
# What stands in examples and templates of all kinds in the place of a secret.
_PLACEHOLDER = re.compile(
    r"<.*>|\{\{.*\}\}|x{3,}|\*+|\.{3,}|(to)?do|tbd|fixme|placeholder|example"
    r"|(please[-_. ]?)?(change|replace)[-_. ]?(me|it|this)?([-_. !]?(please|now))*[!.]*"
    r"|(your|my|some|the)[-_. ]?(own[-_. ]?)?(admin[-_. ]?)?(secret|token|password)([-_. ]?here)?"
)


def check(data: Any) -> Iterator[Fault]:
    """Every broken rule, as the path of a key and what is wrong with it."""
    yield from _zookeeper(_section(data, "zookeeper"))
    yield from _etcd(_section(data, "etcd"))
    sync = _section(data, "sync")
    prefixes = _prefixes(sync)
    yield from _overlaps(prefixes, "from")
    if sync.get("ownership") != "marks":
        yield from _overlaps(prefixes, "to")
    yield from _excludes(prefixes, sync)
    yield from _sessions(sync)
    yield from _backoff(_section(data, "workers", "restart_backoff"))
    yield from _token(_section(data, "http"))


def _section(data: Any, *path: str) -> dict[str, Any]:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _list(section: dict[str, Any], key: str) -> list[Any]:
    value = section.get(key)
    return value if isinstance(value, list) else []


def _has(section: dict[str, Any], key: str) -> bool:
    return section.get(key) is not None


def _token(section: dict[str, Any]) -> Iterator[Fault]:
    token = section.get("token")
    if not isinstance(token, str) or not _PLACEHOLDER.fullmatch(token.strip().casefold()):
        return
    key = "token_file" if _has(section, "token_file") else "token"
    what = "is a placeholder that everybody knows; put a secret of your own in its place"
    yield ("http", key), f"{what} (openssl rand -hex 24 makes one)"


def _zookeeper(section: dict[str, Any]) -> Iterator[Fault]:
    for place, item in enumerate(_list(section, "auth")):
        path: faults.Path = ("zookeeper", "auth", place)
        if not isinstance(item, dict):
            continue
        if not _has(item, "credentials") and not _has(item, "credentials_file"):
            yield (*path, "credentials"), "is missing; give it, or credentials_file"
        secret = item.get("credentials")
        if item.get("scheme") == "digest" and isinstance(secret, str) and ":" not in secret:
            yield (*path, "credentials"), "must be user:password for the scheme digest"
    sasl = section.get("sasl")
    if isinstance(sasl, dict):
        if not _has(sasl, "password") and not _has(sasl, "password_file"):
            yield ("zookeeper", "sasl", "password"), "is missing; give it, or password_file"
        if importlib.util.find_spec("puresasl") is None:
            what = "needs the package pure-sasl; install zk2etcd[sasl]"
            yield ("zookeeper", "sasl"), what
    tls = _section(section, "tls")
    if _has(tls, "key") and not _has(tls, "cert"):
        yield ("zookeeper", "tls", "cert"), "is missing, while key is set; give both"


def _etcd(section: dict[str, Any]) -> Iterator[Fault]:
    secret = _has(section, "password") or _has(section, "password_file")
    if _has(section, "username") and not secret:
        what = "is missing, while username is set; give it, or password_file"
        yield ("etcd", "password"), what
    if secret and not _has(section, "username"):
        yield ("etcd", "username"), "is missing, while a password is set; give both or neither"
    tls = section.get("tls")
    if not isinstance(tls, dict):
        return
    for one, other in (("cert", "key"), ("key", "cert")):
        if _has(tls, one) and not _has(tls, other):
            yield ("etcd", "tls", other), f"is missing, while {one} is set; give both"
    yield from _plain_endpoints(section)


def _plain_endpoints(section: dict[str, Any]) -> Iterator[Fault]:
    endpoints = section.get("endpoints", "")
    listed = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    for place, text in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(text, str) and not text.strip().lower().startswith("https://"):
            what = "is plain text, while etcd.tls is set; write https://host:port"
            at = (place,) if _has(section, "endpoints") else ()
            yield ("etcd", "endpoints", *at), what


def _prefixes(sync: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The entries by their place, the short form written out."""
    result = []
    for place, item in enumerate(_list(sync, "prefixes")):
        if isinstance(item, str):
            result.append((place, {"from": item, "to": item, "short": True}))
        elif isinstance(item, dict):
            result.append((place, item))
    return result


def _overlaps(prefixes: list[tuple[int, dict[str, Any]]], side: str) -> Iterator[Fault]:
    """By path element, `/` with all. Only neighbours in tree order can be the nearest overlap,
    so a long list costs no square of its length."""
    other_side = "to" if side == "from" else "from"
    valid = [(place, item) for place, item in prefixes if _is_path(item.get(side))]
    ordered = sorted(valid, key=lambda entry: (entry[1][side].strip("/").split("/"), entry[0]))
    above: list[tuple[int, dict[str, Any]]] = []
    for place, item in ordered:
        while above and not addresses.is_below(item[side], above[-1][1][side]):
            above.pop()
        if above:
            both = sorted((above[-1], (place, item)), key=lambda entry: entry[0])
            (first, earlier), (second, later) = both
            # The short form would say the same of both sides.
            same = all(each.get(side) == each.get(other_side) for _, each in both)
            if not (side == "to" and same):
                what = f"{later[side]} overlaps {earlier[side]} of sync.prefixes[{first}]"
                what += "; each node and each key may have one writer only"
                yield ("sync", "prefixes", second, side), what
        above.append((place, item))


def _is_path(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(addresses.path(value))
    except ValueError:
        return False


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(addresses.pattern(value))
    except ValueError:
        return False


def _excludes(prefixes: list[tuple[int, dict[str, Any]]], sync: dict[str, Any]) -> Iterator[Fault]:
    for place, item in prefixes:
        source = item.get("from")
        if source is None or not _is_path(source):
            continue
        for number, path in enumerate(_list(item, "exclude")):
            here = ("sync", "prefixes", place, "exclude", number)
            if not _is_pattern(path):
                continue
            if patterns.Matcher([path])(source.encode()):
                yield here, "leaves out the whole prefix; remove the prefix or this path"
            elif not patterns.concerns(path, source):
                yield here, "is not below `from`, so it excludes nothing; write the whole path"
        for number, path in enumerate(_list(item, "only")):
            if _is_pattern(path) and not patterns.concerns(path, source):
                here = ("sync", "prefixes", place, "only", number)
                yield here, "is not below `from`, so nothing matches; write the whole path"
        for number, path in enumerate(_list(sync, "exclude")):
            if _is_pattern(path) and patterns.Matcher([path])(source.encode()):
                what = f"leaves out all of sync.prefixes[{place}]; remove the prefix or this path"
                yield ("sync", "exclude", number), what


def _sessions(sync: dict[str, Any]) -> Iterator[Fault]:
    """What is about nodes that end with their session, where those are not mirrored."""
    if sync.get("ephemeral") != "skip":
        return
    what = "is about nodes that end with their session, which `ephemeral: skip` leaves out"
    if sync.get("ephemeral_grace") not in (None, 0, "0", "0s"):
        yield ("sync", "ephemeral_grace"), f"{what}; remove one of them"
    if _has(_section(sync, "delete_guard"), "live"):
        yield ("sync", "delete_guard", "live"), f"{what}; remove one of them"


def _backoff(section: dict[str, Any]) -> Iterator[Fault]:
    try:
        low = units.parse_duration(section.get("min", "1s"))
        high = units.parse_duration(section.get("max", "1m"))
    except (TypeError, ValueError):
        return
    if low > high:
        what = "is shorter than min; make it the longer one"
        yield ("workers", "restart_backoff", "max"), what
