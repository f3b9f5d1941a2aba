from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping, Sequence

import pytest
import yaml

from zk2etcd import errors
from zk2etcd.config import (
    connections,
    loader,
    model_walk,
    models,
    reference,
)

MINIMAL = "sync: {prefixes: [/dubbo]}\n"


class Files:
    """Configuration files in a folder of the test's own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def write(self, text: str | bytes, name: str = "config.yaml") -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def load(
        self, *texts: str, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None
    ) -> models.Config:
        paths = [self.write(text, f"{number}.yaml") for number, text in enumerate(texts)]
        return loader.load(paths, sets, environ or {}).config


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    return Files(tmp_path)


def test_a_minimal_file_has_the_defaults(files: Files) -> None:
    assert files.load(MINIMAL) == reference.defaults()


def test_sections_whose_keys_are_all_commented_out_have_the_defaults(files: Files) -> None:
    assert files.load(MINIMAL + "log:\nworkers: {restart_backoff: }\n") == reference.defaults()


def test_everything_at_once(files: Files) -> None:
    found = files.load(
        """
zookeeper:
  hosts: "a:2181, b"
  session_timeout: 6s
  auth: [{scheme: digest, credentials: "u:p"}]
  max_reads_per_second: 5000
etcd:
  endpoints: [https://e1, "https://[::1]:2380"]
  tls: {}
  txn_bytes: 1MiB
sync:
  prefixes:
    - /dubbo
    - {from: /services, to: /mirror/services, exclude: [/services/config]}
  exclude: [/dubbo/tmp]
  full_sync_interval: 0
  delete_guard: {max_ratio: 1, first_sync: apply}
workers: {count: 3}
http: {listen: "0.0.0.0:0", token: abc, allowed_hosts: [mirror.example.com]}
reload: {watch: 10s}
"""
    )
    assert found.zookeeper.hosts == ("a:2181", "b:2181")
    assert found.zookeeper.session_timeout == 6.0
    assert models.revealed(found.zookeeper.auth[0].credentials) == "u:p"
    assert found.etcd.endpoints == ("https://e1:2379", "https://[::1]:2380")
    assert found.etcd.txn_bytes == 1 << 20
    assert [(prefix.from_, prefix.to) for prefix in found.sync.prefixes] == [
        ("/dubbo", "/dubbo"),
        ("/services", "/mirror/services"),
    ]
    assert found.sync.full_sync_interval == 0
    assert found.sync.delete_guard.max_ratio == 1.0
    assert found.sync.delete_guard.min_deletes == 100
    assert found.workers.count == 3
    assert found.reload.watch == 10.0


def test_what_is_shown_can_be_loaded_again(files: Files) -> None:
    first = files.load(MINIMAL, sets=["zookeeper.session_timeout=1m30s", "etcd.txn_bytes=1000kB"])
    assert files.load(yaml.safe_dump(models.redacted(first))) == first


def test_later_files_merge_mappings_and_replace_lists(files: Files) -> None:
    found = files.load(
        "zookeeper: {hosts: [a, b], read_batch: 10}\nsync: {prefixes: [/a, /b]}\n",
        "zookeeper: {hosts: [c]}\nsync: {prefixes: [/c], ephemeral: skip}\n",
    )
    assert found.zookeeper.hosts == ("c:2181",)
    assert found.zookeeper.read_batch == 10
    assert [prefix.from_ for prefix in found.sync.prefixes] == ["/c"]
    assert found.sync.ephemeral == "skip"


def test_sets_come_last_and_take_scalars_and_flows(files: Files) -> None:
    found = files.load(
        MINIMAL + "http: {token: t}\netcd: {username: u, password: old}\n",
        sets=[
            "sync.full_sync_interval=1m",
            "sync.prefixes=[/a, {from: /b, to: /c}]",
            "sync.delete_guard={min_deletes: 5}",
            "workers.count=2",
            "http.token=null",
            "etcd.username=0123",
            "zookeeper.hosts=a:1,b:2",
            "etcd.tls.ca=null",
            "etcd.endpoints=https://e",
            "log.level=error",
            "log.level=debug",
        ],
    )
    assert found.sync.full_sync_interval == 60
    assert [prefix.to for prefix in found.sync.prefixes] == ["/a", "/c"]
    assert found.sync.delete_guard.min_deletes == 5
    assert found.workers.count == 2
    assert found.http.token is None
    assert found.etcd.username == "0123"
    assert found.zookeeper.hosts == ("a:1", "b:2")
    assert found.etcd.tls == connections.EtcdTls()
    assert found.log.level == "debug"


def test_filled_scalars_have_the_type_that_their_key_wants(files: Files) -> None:
    found = files.load(
        """
workers:
  count: ${COUNT}
  stop_timeout: ${SECONDS:-3}s
sync: {prefixes: ["${ROOT:-/dubbo}", "/x$$y"], full_sync_concurrency: "${COUNT}"}
etcd:
  username: ${USER_NAME}
  password: "${PASSWORD}"
http:
  token: ${UNSET:-}
zookeeper:
  hosts: ${HOSTS}
  max_reads_per_second: ${RATE:-null}
log:
  level: ${LEVEL:-warning}
""",
        environ={"COUNT": "3", "USER_NAME": "1e3", "PASSWORD": "0123", "HOSTS": "a,b:7"},
    )
    assert found.sync.full_sync_concurrency == 3
    assert found.workers.stop_timeout == 3.0
    assert found.workers.count == 3
    assert found.etcd.username == "1e3"
    assert models.revealed(found.etcd.password) == "0123"
    assert found.http.token is None
    assert found.zookeeper.hosts == ("a:2181", "b:7")
    assert found.zookeeper.max_reads_per_second is None
    assert found.log.level == "warning"
    assert [prefix.from_ for prefix in found.sync.prefixes] == ["/dubbo", "/x$y"]


@pytest.mark.parametrize(
    "secret", ["null", "~", "true", "12", "a: b", "{x", "*y", "#z", "'q", "$$"]
)
def test_no_value_of_a_variable_changes_the_structure(files: Files, secret: str) -> None:
    text = MINIMAL + "etcd:\n  username: u\n  password: ${PASSWORD}\n"
    found = files.load(text, environ={"PASSWORD": secret})
    assert models.revealed(found.etcd.password) == secret


def test_a_variable_that_a_later_file_overrides_need_not_be_set(files: Files) -> None:
    found = files.load(MINIMAL + "log:\n  level: ${NOT_SET}\n", "log: {level: error}\n", environ={})
    assert found.log.level == "error"


def test_secret_files_are_read_into_their_fields(files: Files) -> None:
    password = files.write("hunter2\n", "password")
    token = files.write("t0ken", "token")
    credentials = files.write("u:p", "credentials")
    text = f"""
etcd: {{username: u, password_file: {password}}}
http: {{token_file: {token}}}
zookeeper: {{auth: [{{scheme: digest, credentials_file: {credentials}}}]}}
"""
    path = files.write(MINIMAL + text)
    first = loader.load([path], environ={})
    assert models.revealed(first.config.etcd.password) == "hunter2"
    assert models.revealed(first.config.http.token) == "t0ken"
    assert models.revealed(first.config.zookeeper.auth[0].credentials) == "u:p"
    assert models.redacted(first.config)["etcd"]["password"] is None
    assert "hunter2" not in repr(first)
    files.write("hunter3\n", "password")
    second = loader.load([path], environ={})
    assert second.sha256 == first.sha256
    assert second.secrets_sha256 != first.secrets_sha256
    assert models.diff(first.config, second.config) == (
        model_walk.Change("etcd.password", "reconnect"),
    )


def test_a_renewed_certificate_makes_the_configuration_differ(files: Files) -> None:
    authority = files.write("one", "ca.pem")
    path = files.write(MINIMAL + f"zookeeper: {{tls: {{ca: {authority}}}}}\n")
    first = loader.load([path], environ={})
    assert loader.load([path], environ={}).config == first.config
    files.write("two", "ca.pem")
    second = loader.load([path], environ={})
    assert models.diff(first.config, second.config) == (
        model_walk.Change("zookeeper.tls", "reconnect"),
    )


def test_the_digest_is_of_what_is_in_force(files: Files) -> None:
    one, two = files.write(MINIMAL, "1.yaml"), files.write("log: {level: debug}\n", "2.yaml")
    commented = files.write("# why\n" + MINIMAL, "3.yaml")
    plain = loader.load([one], environ={}).sha256
    debug = loader.load([one, two], environ={}).sha256
    assert plain != debug
    assert loader.load([one], ["log.level=debug"], {}).sha256 == debug
    assert loader.load([commented], environ={}).sha256 == plain


def test_the_digest_confirms_no_guess_of_a_secret(files: Files) -> None:
    def of(secret: str) -> str:
        text = (
            f"http: {{token: '{secret}'}}\netcd: {{username: u, password: '{secret}'}}\n"
            f"zookeeper: {{auth: [{{scheme: digest, credentials: 'u:{secret}'}}]}}\n"
        )
        return loader.load([files.write(MINIMAL + text)], environ={}).sha256

    assert of("hunter2") == of("guessed")
    filled = files.write(MINIMAL + "http: {token: '${T}'}\n")
    assert len({loader.load([filled], environ={"T": t}).sha256 for t in ("one", "two")}) == 1


@pytest.mark.parametrize(
    "token",
    ["change-me", "CHANGEME", "Change_Me!", "please-change-me", "replace-me", "your-token-here",
     "<token>", "xxxx", "placeholder", "${T}"],
)  # fmt: skip
def test_a_placeholder_is_no_token(files: Files, token: str) -> None:
    path = files.write(MINIMAL + f"http: {{token: '{token}'}}\n")
    with pytest.raises(errors.ConfigError) as raised:
        loader.load([path], environ={"T": "change-me"})
    (fault,) = raised.value.faults
    assert "http.token: is a placeholder that everybody knows; put a secret of your own" in fault


def test_a_placeholder_in_a_file_is_none_either(files: Files) -> None:
    secret = files.write("change-me\n", "token")
    path = files.write(MINIMAL + f"http: {{token_file: {secret}}}\n")
    with pytest.raises(errors.ConfigError) as raised:
        loader.load([path], environ={})
    (fault,) = raised.value.faults
    assert "http.token_file: is a placeholder" in fault


def test_a_token_that_has_such_a_word_in_it_is_one(files: Files) -> None:
    for token in ("change-me-4711", "xxy", "exchange-me", "do-it", "s3cret", "t"):
        path = files.write(MINIMAL + f"http: {{token: '{token}'}}\n")
        assert models.revealed(loader.load([path], environ={}).config.http.token) == token


def test_ten_megabytes_are_refused_at_once(files: Files) -> None:
    path = files.write(b"#" * 10_000_000)
    started = time.process_time()
    with pytest.raises(errors.ConfigError, match="larger than 1MiB"):
        loader.load([path], environ={})
    assert time.process_time() - started < 0.5


def test_a_configuration_of_a_megabyte_loads_in_reasonable_time(files: Files) -> None:
    lines = [f"    - /services/service-{number:06}" for number in range(20_000)]
    text = "sync:\n  prefixes:\n" + "\n".join(lines) + "\n"
    assert 500_000 < len(text) < 1_048_576
    started = time.monotonic()
    assert len(files.load(text).sync.prefixes) == 20_000
    assert time.monotonic() - started < 20
