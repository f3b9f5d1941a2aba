"""The alerts by themselves: when they fire, and that each has a runbook."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.deployment import examples, prometheus

_CASES = [
    pathlib.Path(__file__).with_name(name) for name in ("alerts_test.yaml", "alerts_day_test.yaml")
]
_NAMES = [rule["alert"] for rule in examples.rules()]


@prometheus.needed
def test_promtool_takes_rules_and_configuration() -> None:
    said = prometheus.promtool("check", "rules", str(examples.ALERTS))
    assert f"{len(_NAMES)} rules found" in said
    config = examples.FOLDER / "prometheus" / "prometheus.yaml"
    assert "1 rule files found" in prometheus.promtool("check", "config", str(config))


@prometheus.needed
def test_they_fire_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in prometheus.promtool("test", "rules", *map(str, _CASES))


def test_each_alert_was_made_to_fire() -> None:
    groups = [group for path in _CASES for group in examples.documents(path)[0]["tests"]]
    cases = [case for group in groups for case in group["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == set(_NAMES)


@pytest.mark.parametrize("name", _NAMES)
def test_each_alert_has_a_runbook(name: str) -> None:
    (rule,) = (rule for rule in examples.rules() if rule["alert"] == name)
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    assert rule["labels"]["severity"] in ("critical", "warning")
    section = re.search(
        rf"^### {name}\n(.*?)(?=^##|\Z)", examples.OPERATIONS.read_text("utf-8"), re.M | re.S
    )
    assert section is not None
    parts = re.findall(r"^- \*\*(.+?):\*\* \S", section.group(1), re.M)
    assert parts == ["Symptom", "Meaning", "Look at", "Do"]


def test_no_runbook_is_for_an_alert_that_is_gone() -> None:
    text = examples.OPERATIONS.read_text("utf-8")
    assert re.findall(r"^### (Zk2etcd\w+)$", text, re.M) == _NAMES
