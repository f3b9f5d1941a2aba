"""Where the examples are, and how the tests read them."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "examples"
ALERTS = FOLDER / "prometheus" / "alerts.yaml"
DASHBOARD = FOLDER / "grafana" / "zk2etcd.json"
OPERATIONS = ROOT / "docs" / "operations.md"

Document = dict[str, Any]


def documents(path: pathlib.Path) -> list[Document]:
    """The YAML documents of a file that are not empty."""
    return [found for found in yaml.safe_load_all(path.read_text("utf-8")) if found]


def rules() -> list[Document]:
    """The alerts, in their order."""
    (content,) = documents(ALERTS)
    return [rule for group in content["groups"] for rule in group["rules"]]


def dashboard() -> Document:
    found: Document = json.loads(DASHBOARD.read_text("utf-8"))
    return found


def panels() -> list[Document]:
    """The dashboard's panels that ask Prometheus."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """Every query of the dashboard's panels and annotations, as Grafana would send it."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked += [annotation["expr"] for annotation in dashboard()["annotations"]["list"]]
    return [filled(query) for query in asked]


def filled(query: str) -> str:
    """The query with "all" for each of Grafana's variables, and a short rate interval."""
    query = query.replace("$__rate_interval", "10s")
    found = re.sub(r"\$(job|instance)\b", ".*", query)
    assert "$" not in found, f"a variable that the tests do not know: {query}"
    return found


def metrics(query: str) -> Iterator[str]:
    """The names of zk2etcd's metrics in the query, and of the supervisor's process."""
    yield from re.findall(r"\b(?:zk2etcd|process)_[a-z0-9_]+", query)
