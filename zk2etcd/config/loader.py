"""Files, arguments and environment to one validated configuration, or one error with all faults.

The stages: read and parse each file, merge, lay the `--set`s on top, fill in the environment,
read the files that secrets stand in, check. A stage that finds faults does not stop the next one,
as far as there is something to look at.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence

from zk2etcd.config import (
    checks,
    faults,
    files,
    models,
    secret_files,
    typed,
    validation,
    yaml_source,
)

LARGEST = 1024 * 1024
"""Bytes of one file at most: a file of ten megabytes is no configuration."""

_ARGUMENTS = "--set"
_SET = re.compile(r"([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)=(.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A configuration and where it came from.

    `sha256` is of what they amount to, with no secret in it, so that two supervisors, or a reload,
    can be seen to have the same: whoever sees it can confirm nothing that they guess of a secret.
    `secrets_sha256` is of the
    content of the secret and TLS files that these name, so that a change is noticed: never show it.
    """

    config: models.Config
    sha256: str
    secrets_sha256: str = dataclasses.field(repr=False)


def load(
    paths: Sequence[str], sets: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Loaded:
    """The configuration of these files, later ones over earlier ones, and `key=value` sets.

    :raises errors.ConfigError: with one line for each fault, `file:line: key.path: what`.
    """
    found: list[faults.Fault] = []
    roots = [root for path in paths if (root := _file(path, found)) is not None]
    whole = len(roots) == len(paths) and bool(paths)
    if not paths:
        found.append(faults.Fault(faults.Mark("zk2etcd"), (), "no file given; name one with -c"))
    roots += [root for text in sets if (root := _set(text, found)) is not None]
    outcome = None
    if whole:
        root = functools.reduce(yaml_source.merged, roots)
        outcome = _evaluated(root, os.environ if environ is None else environ, found)
    if outcome is None or found:
        raise faults.error(faults.without_consequences(found), (*paths, _ARGUMENTS))
    loaded, named = outcome
    return Loaded(loaded, _digest(loaded), named.sha256)


def _evaluated(
    root: yaml_source.Node, environ: Mapping[str, str], found: list[faults.Fault]
) -> tuple[models.Config, secret_files.Files] | None:
    reader = typed.Reader(environ)
    data = reader.data(root, models.Config)
    found += reader.faults
    named = secret_files.Files()
    named.read(data, models.Config)
    outcome = validation.validate(data)
    for path, what in (*named.faults, *outcome.faults, *checks.check(data)):
        found.append(_at(root, path, what))
    if outcome.config is None:
        return None
    return named.with_digests(outcome.config), named


def _at(root: yaml_source.Node, path: faults.Path, what: str) -> faults.Fault:
    """A fault with its line; of the short form of a prefix, it names the whole entry."""
    node, reached = yaml_source.located(root, path)
    return faults.Fault(node.mark, reached if isinstance(node, yaml_source.Scalar) else path, what)


def _file(path: str, found: list[faults.Fault]) -> yaml_source.Node | None:
    mark = faults.Mark(path)
    try:
        content = files.read(path, LARGEST)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        found.append(faults.Fault(mark, (), "is not UTF-8; save it as such"))
        return None
    except ValueError as error:
        found.append(faults.Fault(mark, (), f"{error}; name a readable configuration with -c"))
        return None
    parsed = yaml_source.parse(text, path)
    found += parsed.faults
    if parsed.faults and parsed.root is None:
        return None
    if _is_nothing(parsed.root):
        what = "is empty; `zk2etcd config default` prints a file to start from"
        found.append(faults.Fault(mark, (), what))
        return None
    if not isinstance(parsed.root, yaml_source.Mapping):
        found.append(faults.Fault(mark, (), "must hold a mapping of keys to values"))
        return None
    return parsed.root


def _is_nothing(root: yaml_source.Node | None) -> bool:
    return root is None or (
        isinstance(root, yaml_source.Scalar) and root.plain and not root.text.strip()
    )


def _set(text: str, found: list[faults.Fault]) -> yaml_source.Node | None:
    mark = faults.Mark(_ARGUMENTS)
    match = _SET.fullmatch(text)
    if match is None:
        what = "must be key.path=value, such as sync.full_sync_interval=1m; lists are set whole"
        found.append(faults.Fault(mark, (), what))
        return None
    path = tuple(match.group(1).split("."))
    parsed = yaml_source.parse(match.group(2), _ARGUMENTS, path=path, argument=True)
    found += parsed.faults
    if parsed.root is None and parsed.faults:
        return None
    node: yaml_source.Node = parsed.root or yaml_source.Scalar(mark, "", argument=True)
    for key in reversed(path):
        node = yaml_source.Mapping(mark, {key: node})
    return node


def _digest(loaded: models.Config) -> str:
    plain = json.dumps(models.redacted(loaded), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()
