"""`zk2etcd sync` and `diff` with the older tool's flags, as far as no server is needed."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from tests import documents
from zk2etcd.cli import main
from zk2etcd.config import loader

SERVERS = ("--zookeeper-servers=zk:2181", "--etcd-servers=etcd:2379")


@pytest.mark.parametrize("command", ["sync", "diff"])
def test_the_printed_configuration_is_one(
    command: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--zookeeper-prefix", "/dubbo,/roc", "--set", "http.listen=127.0.0.1:9999"]
    assert main.run([command, *SERVERS, *more, "--print-config"]) == 0
    path = tmp_path / "zk2etcd.yaml"
    path.write_text(capsys.readouterr().out, "utf-8")
    found = loader.load([str(path)]).config
    assert [each.from_ for each in found.sync.prefixes] == ["/dubbo", "/roc"]
    assert found.http.listen == "127.0.0.1:9999"


def test_switches_are_taken_as_go_programs_write_them(capsys: pytest.CaptureFixture[str]) -> None:
    switches = ("--leader-elect=false", "--enable-event-log=false", "--concurrent=50")
    assert main.run(["sync", *SERVERS, *switches, "--print-config=true"]) == 0
    err = capsys.readouterr().err
    assert err.count("--leader-elect has no meaning here") == 1
    assert err.count("--concurrent has no meaning here") == 1
    assert "--enable-event-log" not in err
    assert main.run(["sync", *SERVERS, "--leader-elect=perhaps", "--print-config"]) == 2


def test_redis_means_marks_and_tells_of_adopt(capsys: pytest.CaptureFixture[str]) -> None:
    redis = (*SERVERS, "--redis-server=redis:6379", "--redis-password=hidden", "--print-config")
    assert main.run(["sync", *redis]) == 0
    captured = capsys.readouterr()
    assert "ownership: marks" in captured.out
    assert "zk2etcd adopt" in captured.err
    assert main.run(["diff", "--fix", *redis]) == 0
    capsys.readouterr()
    assert main.run(["sync", *redis, "--set", "sync.ownership=range"]) == 0
    captured = capsys.readouterr()
    assert "--redis-server is not used" in captured.err
    assert "hidden" not in captured.out + captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diff"], "give the configuration with -c FILE"),
        (["diff", "-c", "f", *SERVERS], "--zookeeper-servers and -c exclude each other"),
        (["diff", "-c", "f", "--print-config"], "--print-config and -c exclude each other"),
        (["diff", "-c", "f", "--max-round=2"], "--max-round and -c exclude each other"),
        (["sync", "-c", "f"], "with a file, write zk2etcd -c FILE"),
        (["diff", "--fix"], "give the configuration with -c FILE"),
        (["sync"], "--zookeeper-servers is empty"),
        (["sync", "--zookeeper-servers=a"], "--etcd-servers is empty"),
        (["sync", *SERVERS, "--fullsync-interval=5"], "--fullsync-interval: must be a duration"),
        (["log", "--level=info", "--url=http://a", "--zk2etcd-addr=http://b"], "give one of them"),
    ],
)
def test_wrong_use(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == 2
    assert said in capsys.readouterr().err


def test_the_manifest_in_the_document_is_a_command_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef", "utf-8")
    blocks = documents.blocks(documents.ROOT / "docs" / "migrating.md")
    (text,) = [block.text for block in blocks if "args:" in block.text]
    arguments = yaml.safe_load(text.replace("/token/token", str(token)))["containers"][0]["args"]
    assert main.run([*arguments, "--print-config"]) == 0, capsys.readouterr().err
    assert "listen: 0.0.0.0:9180" in capsys.readouterr().out
