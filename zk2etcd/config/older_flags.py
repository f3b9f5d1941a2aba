"""The flags of the older tool of this name, as the configuration they amount to. Pure.

Who comes from it has a command line in a manifest, not a file. The same line must work here on the
first day, and print the file to go on with. Where a flag means nothing here, or something else, a
person is told; where obeying it could delete what is not ours, it is refused.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from zk2etcd import errors, patterns
from zk2etcd.config import addresses, model_walk, models, yaml_source

_LEVELS = {"warn": "warning", "dpanic": "error", "panic": "error", "fatal": "error"}
_OUR_LEVELS = ("debug", "info", "warning", "error")
_FLAG_OF = {
    "zookeeper.hosts": "--zookeeper-servers",
    "sync.prefixes": "--zookeeper-prefix",
    "sync.exclude": "--zookeeper-exclude-prefix",
    "sync.full_sync_interval": "--fullsync-interval",
    "etcd.endpoints": "--etcd-servers",
    "etcd.tls.ca": "--etcd-cacert",
    "etcd.tls.cert": "--etcd-cert",
    "etcd.tls.key": "--etcd-key",
}
_ROOT = model_walk.Shape((models.Config,), optional=False, model=models.Config)
_ANYTHING = model_walk.Shape((), optional=False)
_HEAD = """\
# What these flags of the older tool amount to: `zk2etcd -c FILE` mirrors with it.
# `zk2etcd config default` prints every other key with its default.
"""


@dataclasses.dataclass(frozen=True)
class Flags:
    """What was given, or the older tool's default; None where only "given or not" matters."""

    zookeeper_servers: str = ""
    zookeeper_prefix: str = "/dubbo"
    zookeeper_exclude_prefix: str = "/dubbo/config"
    etcd_servers: str = ""
    etcd_cacert: str = ""
    etcd_cert: str = ""
    etcd_key: str = ""
    fullsync_interval: str = "5m"
    log_level: str = "info"
    enable_event_log: bool = False
    concurrent: int | None = None
    leader_elect: bool | None = None
    redis_server: str = ""
    redis_username: str = ""
    redis_password: str = dataclasses.field(default="", repr=False)


@dataclasses.dataclass(frozen=True)
class Translation:
    """`content` as a file would hold it; `warnings` are lines for a person."""

    content: dict[str, Any]
    warnings: tuple[str, ...]


def translate(flags: Flags) -> Translation:
    """The configuration and what was lost on the way; `about_redis` remains to be asked.

    :raises errors.UsageError: a flag is missing without which there is nothing to mirror.
    """
    for name in ("zookeeper_servers", "etcd_servers", "zookeeper_prefix"):
        if not _listed(getattr(flags, name)):
            raise errors.UsageError(f"--{name.replace('_', '-')} is empty: give at least one")
    prefixes = _paths(flags.zookeeper_prefix)
    sync: dict[str, Any] = {"prefixes": _outermost(prefixes)}
    if excludes := _paths(flags.zookeeper_exclude_prefix):
        sync["exclude"] = [patterns.escaped(path) for path in excludes]
    if flags.redis_server:
        sync["ownership"] = "marks"
    sync["full_sync_interval"] = _escaped(flags.fullsync_interval)
    log: dict[str, Any] = {"level": _level(flags.log_level)}
    if flags.enable_event_log:
        log["events"] = True
    content = {
        "zookeeper": {"hosts": _listed(flags.zookeeper_servers)},
        "etcd": _etcd(flags),
        "sync": sync,
        "log": log,
    }
    return Translation(content, tuple(_warnings(flags, prefixes, excludes)))


def about_redis(flags: Flags, ownership: str) -> str | None:
    """A warning, if there is one. `ownership` is sync.ownership.

    The older tool noted in Redis what it wrote, and deleted nothing else. We do not read those
    notes: marks in etcd say the same, once a person has adopted what is there.
    """
    if not flags.redis_server:
        unused = flags.redis_username or flags.redis_password
        return "--redis-username and --redis-password: there is no Redis here" if unused else None
    if ownership != "marks":
        return (
            "--redis-server is not used: every key below a prefix counts as the mirror's own, also"
            " what another tool wrote there"
        )
    return (
        "--redis-server means sync.ownership: marks; the older tool's notes are not read. What it"
        " has mirrored is left alone, as anybody's, until it is marked: zk2etcd adopt -c FILE, with"
        " the file that --print-config prints"
    )


def in_flags(fault: str, path: str) -> str:
    """A fault of the configuration at `path`, told of the flag that it came from."""
    match = re.match(re.escape(path) + r"(?::\d+)?: ([a-z_.]+)((?:\[\d+\])?[a-z_.]*): ", fault)
    if match is None:
        return fault
    flag = _FLAG_OF.get(match.group(1).rstrip("."))
    return fault if flag is None else f"{flag}: {fault[match.end() :]}"


def render(content: dict[str, Any], sets: Sequence[str] = ()) -> str:
    """The file: `content` with the `key=value`s, which the loader has found valid, laid over it."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    root = yaml_source.parse(text, "").root
    assert root is not None
    for each in sets:
        key, _, value = each.partition("=")
        over = yaml_source.parse(value, "", argument=True).root
        node = over or yaml_source.Scalar(root.mark, "null")
        for part in reversed(key.split(".")):
            node = yaml_source.Mapping(root.mark, {part: node})
        root = yaml_source.merged(root, node)
    return _HEAD + yaml.serialize(_written(root, _ROOT), Dumper=yaml.SafeDumper, allow_unicode=True)


def _written(node: yaml_source.Node, shape: model_walk.Shape) -> yaml.Node:
    """PyYAML's node of ours: what was quoted stays so, what was plain keeps its meaning."""
    if isinstance(node, yaml_source.Mapping):
        known = {} if shape.model is None or shape.items else model_walk.keyed(shape.model)
        items = []
        for key, value in node.items.items():
            inner = model_walk.shape(known[key].annotation) if key in known else _ANYTHING
            items.append((_scalar(key, True), _written(value, inner)))
        return yaml.MappingNode("tag:yaml.org,2002:map", items, flow_style=False)
    if isinstance(node, yaml_source.Sequence):
        inner = model_walk.item_shape(shape) if shape.items else _ANYTHING
        values = [_written(item, inner) for item in node.items]
        return yaml.SequenceNode("tag:yaml.org,2002:seq", values, flow_style=False)
    # An argument is a text where only a text fits, and a file wants that in quotes.
    other = not isinstance(yaml_source.resolved(node.text), str | None)
    text = shape.is_text and node.argument and other
    return _scalar(node.text, node.plain and not text)


def _scalar(text: str, plain: bool) -> yaml.ScalarNode:
    tag = "tag:yaml.org,2002:str"
    if plain:
        resolver: Any = yaml.resolver.Resolver()
        tag = resolver.resolve(yaml.ScalarNode, text, (True, False))
    return yaml.ScalarNode(tag, text, style=None if plain else "'")


def _etcd(flags: Flags) -> dict[str, Any]:
    """With TLS files the older tool spoke TLS to a server without a scheme, so that is https."""
    files = {"ca": flags.etcd_cacert, "cert": flags.etcd_cert, "key": flags.etcd_key}
    tls = {key: _escaped(name) for key, name in files.items() if name}
    scheme = "https" if tls else "http"
    servers = _listed(flags.etcd_servers)
    endpoints = [each if "://" in each else f"{scheme}://{each}" for each in servers]
    return {"endpoints": endpoints, **({"tls": tls} if tls else {})}


def _warnings(flags: Flags, prefixes: list[str], excludes: list[str]) -> Iterator[str]:
    kept = _outermost(prefixes)
    for path in prefixes:
        if path not in kept:
            yield f"--zookeeper-prefix: {path} is below another prefix and mirrored with it"
    if excludes:
        yield (
            f"--zookeeper-exclude-prefix: {excludes[0]} means this node and what is below it, no"
            f" longer also its neighbour {excludes[0]}-more"
        )
    if flags.concurrent is not None:
        yield "--concurrent has no meaning here: reads and writes travel in bulk"
    if flags.leader_elect is not None:
        yield (
            "--leader-elect has no meaning here: supervisors always agree through etcd which of"
            " them writes, so a second one stands by without it"
        )
    if flags.log_level in ("dpanic", "panic", "fatal"):
        yield f"--log-level: there is no {flags.log_level} here, so it is error"
    elif _level(flags.log_level) == "info" != flags.log_level:
        yield "--log-level is none of debug, info, warn, error: taken for info"


def _level(text: str) -> str:
    level = _LEVELS.get(text, text)
    return level if level in _OUR_LEVELS else "info"


def _paths(text: str) -> list[str]:
    return [each.rstrip("/") or "/" for each in _listed(text)]


def _outermost(paths: list[str]) -> list[str]:
    """Without repetitions and paths below others: each node has one writer here."""
    return [
        path
        for place, path in enumerate(paths)
        if path not in paths[:place]
        and not any(other != path and addresses.is_below(path, other) for other in paths)
    ]


def _listed(text: str) -> list[str]:
    return [_escaped(each.strip()) for each in text.split(",") if each.strip()]


def _escaped(text: str) -> str:
    """In our files a dollar begins a variable."""
    return text.replace("$", "$$")
