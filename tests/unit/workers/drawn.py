"""Drawn paths: lists of names, each of which ZooKeeper takes."""

from __future__ import annotations

from hypothesis import strategies as st

from zk2etcd_workers.model import mapping

NAMES = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=6
).filter(lambda name: "/" not in name and mapping.is_valid_path(f"/{name}".encode()))
BELOW = st.lists(NAMES, max_size=4)
ROOTS = st.lists(NAMES, max_size=3)


def path(*parts: list[str]) -> str:
    return "/" + "/".join(name for part in parts for name in part)
