"""That a secret is given, and where it may be given: an empty one must never mean that none is
asked for."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import pytest

from zk2etcd import errors
from zk2etcd.config import loader, models

_DIGEST = "zookeeper: {auth: [{scheme: digest, credentials: %s}]}"
_SASL = "zookeeper: {sasl: {username: u, password: %s}}"


def loaded(
    folder: pathlib.Path,
    text: str,
    environ: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
) -> models.Config:
    path = folder / "c.yaml"
    path.write_text(f"sync: {{prefixes: [/a]}}\n{text}\n", "utf-8")
    return loader.load([str(path)], sets, environ or {}).config


def faults_of(
    folder: pathlib.Path,
    text: str,
    environ: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
) -> str:
    with pytest.raises(errors.ConfigError) as caught:
        loaded(folder, text, environ, sets)
    return "\n".join(caught.value.faults)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("http.token", "http: {token: %s}"),
        ("http.token_file", "http: {token_file: %s}"),
        ("etcd.password", "etcd: {username: u, password: %s}"),
        ("etcd.password_file", "etcd: {password_file: %s}"),
        ("zookeeper.auth[0].credentials", _DIGEST),
        ("zookeeper.sasl.password", _SASL),
    ],
)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"${EMPTY}"', "is empty once filled from the environment"),
        ('"${EMPTY}${EMPTY:-}"', "is empty once filled from the environment"),
        ('"${BLANK}"', "is empty once filled from the environment"),
        ('"${UNSET:- }"', "is empty once filled from the environment"),
        ('""', "is empty; give a value"),
        ('"  "', "is empty; give a value"),
    ],
)
def test_an_empty_secret_is_a_fault(
    tmp_path: pathlib.Path, key: str, text: str, value: str, said: str
) -> None:
    found = faults_of(tmp_path, text % value, {"EMPTY": "", "BLANK": " \t"})
    assert f"c.yaml:2: {key}: {said}" in found
    assert found.count(key) == 1


def test_a_key_without_a_value_is_one_as_a_template_leaves_it(tmp_path: pathlib.Path) -> None:
    assert "c.yaml:3: http.token: is empty" in faults_of(tmp_path, "http:\n  token:")
    assert "http.token_file: is empty" in faults_of(tmp_path, "http:\n  token_file:  # none yet")


@pytest.mark.parametrize("value", ["null", "~", '"${UNSET:-}"', '"${EMPTY:-}"'])
def test_who_wants_none_says_so(tmp_path: pathlib.Path, value: str) -> None:
    assert loaded(tmp_path, f"http: {{token: {value}}}", {"EMPTY": ""}).http.token is None


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"\r\n"])
def test_nor_may_a_secrets_file_be_empty(tmp_path: pathlib.Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    found = faults_of(tmp_path, f"http: {{token_file: {file}}}")
    assert "http.token_file: points to an empty file" in found


@pytest.mark.parametrize(
    "argument",
    [
        "http.token=geheim",
        "http={token: geheim}",
        "http.token=${UNSET:-geheim}",
        "etcd.password=12345",
        "zookeeper.auth=[{scheme: digest, credentials: 'u:geheim'}]",
    ],
)
def test_a_secret_is_refused_in_an_argument(tmp_path: pathlib.Path, argument: str) -> None:
    found = faults_of(tmp_path, "etcd: {username: u, password: p}", sets=[argument])
    assert "not with --set" in found
    assert "geheim" not in found
    assert "12345" not in found


@pytest.mark.parametrize("argument", ["http.token=${T}", "http={token: '${T}'}"])
def test_but_not_where_it_stands(tmp_path: pathlib.Path, argument: str) -> None:
    config = loaded(tmp_path, "", {"T": "t0k3n"}, [argument])
    assert models.revealed(config.http.token) == "t0k3n"


def test_an_argument_may_take_a_secret_away_by_null_alone(tmp_path: pathlib.Path) -> None:
    assert loaded(tmp_path, "http: {token: t}", sets=["http.token=null"]).http.token is None
    assert "http.token: is empty" in faults_of(tmp_path, "http: {token: t}", sets=["http.token="])
