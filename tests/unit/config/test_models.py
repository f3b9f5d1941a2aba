from __future__ import annotations

import pathlib
import pickle
import subprocess
import sys
import typing
from typing import Any

import pydantic
import pytest

from zk2etcd.config import connections, loader, model_walk, models, reference, schema

ROOT = pathlib.Path(__file__).parents[3]


def made(**sections: Any) -> models.Config:
    return models.Config.model_validate({"sync": {"prefixes": ["/dubbo"]}, **sections})


def every_field(
    model: type[pydantic.BaseModel] = models.Config, above: str = ""
) -> list[tuple[str, Any, str]]:
    """Each key, its field, and what a change of it needs."""
    found = []
    for key, info in model_walk.keyed(model).items():
        inner = model_walk.shape(info.annotation).model
        found.append((above + key, info, str(model_walk.reload_of(model, info))))
        if inner is not None:
            found += every_field(inner, f"{above}{key}.")
    return found


KEYS = [pytest.param(*found, id=found[0]) for found in every_field() if "." in found[0]]
RELOADS = {key: reload for key, _, reload in every_field()}


def test_the_reference_in_the_repository_holds_the_defaults() -> None:
    path = ROOT / "config" / "zk2etcd.yaml"
    assert loader.load([str(path)], environ={}).config == reference.defaults()


def test_the_defaults_are_those_of_the_design() -> None:
    plain = models.redacted(reference.defaults())
    assert plain["zookeeper"]["session_timeout"] == "10s"
    assert plain["etcd"]["txn_bytes"] == "512KiB"
    assert plain["sync"]["full_sync_interval"] == "5m"
    assert plain["sync"]["delete_guard"] == {
        "min_deletes": 100,
        "max_ratio": 0.3,
        "max_deletes": 10000,
        "first_sync": "hold",
    }
    assert plain["workers"]["restart_backoff"] == {"min": "1s", "max": "1m"}
    assert plain["state"] == {"prefix": "zk2etcd/default", "lease_ttl": "10s"}


@pytest.mark.parametrize(("key", "info", "reload"), KEYS)
def test_every_key_says_what_it_is_and_what_a_change_needs(
    key: str, info: Any, reload: str
) -> None:
    assert info.description
    assert reload in ("live", "reconnect", "restart")
    unit = model_walk.says(info, "unit")
    if unit is not None:
        assert "uration" in info.description or "ize" in info.description
    assert f"{key.rpartition('.')[2]}:" in reference.render()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("zookeeper.hosts", "reconnect"),
        ("etcd.txn_ops", "reconnect"),
        ("sync.prefixes", "live"),
        ("sync.delete_guard.max_ratio", "live"),
        ("log.level", "live"),
        ("http.listen", "restart"),
        ("http.token", "live"),
        ("state.prefix", "restart"),
        ("state.lease_ttl", "restart"),
        ("workers.count", "live"),
        ("reload.watch", "live"),
    ],
)
def test_reload_classes(key: str, expected: str) -> None:
    assert RELOADS[key] == expected


def test_schema_writes_defaults_as_a_file_does_and_names_every_section() -> None:
    plain = schema.schema()
    defs = plain["$defs"]
    assert defs["Etcd"]["properties"]["request_timeout"]["default"] == "5s"
    assert defs["Etcd"]["properties"]["txn_bytes"]["default"] == "512KiB"
    assert "from" in defs["Prefix"]["properties"]
    assert set(plain["properties"]) == set(models.Config.model_fields)
    items = defs["Sync"]["properties"]["prefixes"]["items"]
    assert {"type": "string", "pattern": "^/"} in items["anyOf"]


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
        {"from": "/dubbo", "to": "/dubbo", "exclude": [], "buckets": 1}
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
