"""Configurations for tests, from plain data and without a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zk2etcd import config


def configured(
    prefixes: Iterable[str | Mapping[str, Any]] = ("/dubbo",), **sections: Mapping[str, Any]
) -> config.Config:
    """`sections` are merged over the defaults: configured(["/a"], workers={"count": 2})."""
    sync = {"prefixes": list(prefixes), **sections.pop("sync", {})}
    return config.Config.model_validate({"sync": sync, **sections})
