from __future__ import annotations

import pathlib
import pickle
import subprocess
import sys
import typing
from typing import Any

import pydantic
import pytest

from zk2etcd.config import connections, model_walk, models

ROOT = pathlib.Path(__file__).parents[3]


def made(**sections: Any) -> models.Config:
    return models.Config.model_validate({"sync": {"prefixes": ["/dubbo"]}, **sections})


def test_redacted_shows_units_and_no_secret() -> None:
    one = made(
        etcd={"username": "u", "password": "hunter2"},
        http={"token": "hunter2"},
        zookeeper={
            "auth": [{"scheme": "digest", "credentials": "u:hunter2"}],
            "sasl": {"username": "u", "password": "hunter2"},
            "session_timeout": 1.5,
        },
    )
    plain = models.redacted(one)
    assert "hunter2" not in f"{plain} {one!r} {one}"
    assert plain["zookeeper"]["session_timeout"] == "1.5s"
    assert plain["http"]["token"] == plain["etcd"]["password"] == model_walk.REDACTED
    assert plain["sync"]["prefixes"] == [
        {"from": "/dubbo", "to": "/dubbo", "exclude": [], "only": [], "buckets": 1}
    ]


def test_a_secret_is_revealed_only_on_request() -> None:
    one = made(etcd={"username": "u", "password": "hunter2"})
    assert models.revealed(one.etcd.password) == "hunter2"
    assert models.revealed(made().etcd.password) == ""


def test_a_wrong_value_in_code_is_not_repeated_by_pydantic() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        made(etcd={"password": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_diff_names_each_key_with_its_class() -> None:
    old = made(log={"level": "info"}, http={"listen": "127.0.0.1:1"})
    new = made(
        log={"level": "debug"},
        http={"listen": "127.0.0.1:2"},
        zookeeper={"read_batch": 64, "tls": {}},
        sync={"prefixes": ["/dubbo", "/b"], "delete_guard": {"max_ratio": 0.5}},
    )
    assert set(models.diff(old, new)) == {
        model_walk.Change("log.level", "live"),
        model_walk.Change("http.listen", "restart"),
        model_walk.Change("zookeeper.read_batch", "reconnect"),
        model_walk.Change("zookeeper.tls", "reconnect"),
        model_walk.Change("sync.prefixes", "live"),
        model_walk.Change("sync.delete_guard.max_ratio", "live"),
    }
    assert models.diff(old, old) == ()


def test_diff_notices_secrets_and_the_content_of_tls_files() -> None:
    old = made(etcd={"username": "u", "password": "a"}, zookeeper={"tls": {"ca": "f"}})
    new = made(etcd={"username": "u", "password": "b"}, zookeeper={"tls": {"ca": "f"}})
    assert models.diff(old, new) == (model_walk.Change("etcd.password", "reconnect"),)
    tls = typing.cast(connections.ZkTls, old.zookeeper.tls)
    renewed = old.model_copy(
        update={"zookeeper": old.zookeeper.model_copy(update={"tls": tls.with_digest("new")})}
    )
    assert models.diff(old, renewed) == (model_walk.Change("zookeeper.tls", "reconnect"),)


def test_a_configuration_survives_the_way_to_a_worker() -> None:
    one = made(
        etcd={"username": "u", "password": "p", "tls": {}}, zookeeper={"session_timeout": "3s"}
    )
    copy = pickle.loads(pickle.dumps(one))
    assert copy == one
    assert copy.etcd.password.get_secret_value() == "p"


def test_workers_import_no_parser_with_the_models() -> None:
    code = (
        "import sys; from zk2etcd import messages; from zk2etcd.config import models;"
        "print(sorted({'yaml', 'durationpy', 'click', 'rich', 'difflib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]", done.stderr
