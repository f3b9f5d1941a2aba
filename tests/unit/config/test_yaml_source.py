from __future__ import annotations

import pytest

from zk2etcd.config import yaml_source


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("on", "on"), ("true", True), ("FALSE", False), ("1:30", "1:30"),
        ("0755", 755), ("0x10", 16), ("0o10", 8), ("-3", -3), ("1.5", 1.5), ("1e3", 1000.0),
        ("", None), ("~", None), ("null", None), (".inf", ".inf"), (".nan", ".nan"),
        ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("=", "="), ("9" * 400, "9" * 400),
        ("٣", "٣"),
    ],
)  # fmt: skip
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = yaml_source.resolved(text)
    assert found == value
    assert type(found) is type(value)
