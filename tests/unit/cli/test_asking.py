"""Where the asking commands find the supervisor, and what they say when they cannot."""

from __future__ import annotations

import pathlib

import pytest

from zk2etcd import errors
from zk2etcd.cli import asking, main


def test_a_broken_file_says_how_to_ask_without_it(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("sync: {prefixes: [dubbo]}\n", "utf-8")
    with pytest.raises(errors.ConfigError) as caught:
        asking.Where(None, (str(path),)).client()
    first, last = caught.value.faults
    assert 'sync.prefixes[0]: must begin with "/"' in first
    assert "--url URL" in last
    assert main.run(["reload", "-c", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == [f"zk2etcd: {first}", f"zk2etcd: {last}"]
