from __future__ import annotations

import json
import pathlib

import yaml
from click import testing

from zk2etcd import errors
from zk2etcd.cli import config as cli
from zk2etcd.config import reference


def invoked(*arguments: str) -> testing.Result:
    return testing.CliRunner().invoke(cli.command, arguments)


def test_default_prints_the_reference() -> None:
    assert invoked("default").output == reference.render()


def test_schema_prints_a_json_schema() -> None:
    plain = json.loads(invoked("schema").output)
    assert plain["additionalProperties"] is False
    assert "sync" in plain["required"]


def test_show_prints_what_is_in_effect_without_secrets(tmp_path: pathlib.Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("sync: {prefixes: [/dubbo]}\netcd: {username: u, password: hunter2}\n", "utf-8")
    two.write_text("log: {level: debug}\n", "utf-8")
    result = invoked("show", "-c", str(one), "-c", str(two), "--set", "etcd.txn_bytes=1MiB")
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    plain = yaml.safe_load(result.output)
    assert plain["log"]["level"] == "debug"
    assert plain["etcd"]["txn_bytes"] == "1MiB"
    assert plain["etcd"]["password"] == "<redacted>"
    assert next(iter(plain)) == "zookeeper"


def test_show_lets_a_faulty_file_be_reported(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("sync: {}\n", "utf-8")
    result = invoked("show", "-c", str(path))
    assert isinstance(result.exception, errors.ConfigError)
    assert result.exception.exit_code == 2


def test_show_needs_a_file() -> None:
    assert invoked("show").exit_code == 2
