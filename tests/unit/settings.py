"""Configurations for tests, from plain data and without a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zk2etcd.config import models


def configured(
    prefixes: Iterable[str | Mapping[str, Any]] = ("/dubbo",), **sections: Mapping[str, Any]
) -> models.Config:
    """`sections` are merged over the defaults: configured(["/a"], workers={"count": 2})."""
    sync = {"prefixes": list(prefixes), **sections.pop("sync", {})}
    return models.Config.model_validate({"sync": sync, **sections})


def alone(
    prefixes: Iterable[str | Mapping[str, Any]] = ("/dubbo",), **sections: Mapping[str, Any]
) -> models.Config:
    """The same for a supervisor that shares with nobody: all shards are its own from the start."""
    return configured(prefixes, cluster={"mode": "standby"}, **sections)
