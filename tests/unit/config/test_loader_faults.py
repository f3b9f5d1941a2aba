"""What is refused: every fault with its line, its key and a remedy, and never with the value."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from zk2etcd import errors
from zk2etcd.config import loader, models, reference

PREFIXES = "sync: {prefixes: [/dubbo]}\n"


def faults_of(
    folder: pathlib.Path,
    text: str | bytes,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> list[str]:
    path = folder / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(errors.ConfigError) as caught:
        loader.load([str(path)], sets, environ or {})
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return [line.removeprefix(f"{folder}/") for line in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zookeper: {}", "config.yaml:2: zookeper: unknown key; did you mean zookeeper?"),
        ("etcd:\n  endpoint: a", "etcd.endpoint: unknown key; did you mean endpoints?"),
        ("read_batch: 1", "read_batch: unknown key; did you mean zookeeper.read_batch?"),
        ("log: {xyzzy: 1}", "config.yaml:2: log.xyzzy: unknown key; known here are level, format,"),
        ("etcd: []", "config.yaml:2: etcd: must be a mapping"),
        ("etcd: {txn_ops: many}", "config.yaml:2: etcd.txn_ops: must be a whole number"),
        ("etcd: {txn_ops: '5'}", "config.yaml:2: etcd.txn_ops: must be a whole number"),
        ("etcd: {txn_ops: true}", "config.yaml:2: etcd.txn_ops: must be a whole number"),
        ("etcd: {txn_ops: 1.5}", "config.yaml:2: etcd.txn_ops: must be a whole number"),
        ("etcd: {txn_ops: 0}", "config.yaml:2: etcd.txn_ops: must be at least 1"),
        ("etcd: {txn_ops: 4033}", "config.yaml:2: etcd.txn_ops: must be at most 4032"),
        ("etcd: {txn_bytes: -1}", "config.yaml:2: etcd.txn_bytes: must be at least 1KiB"),
        ("etcd: {txn_bytes: big}", "config.yaml:2: etcd.txn_bytes: must be a size, such as"),
        ("etcd: {username: 5, password: p}", "config.yaml:2: etcd.username: must be a text; put"),
        ("etcd: {username: u}", "config.yaml:2: etcd.password: is missing, while username is set"),
        ("etcd: {password: p}", "etcd.username: is missing, while a password is set"),
        ("etcd: {username: u, password: ''}", "config.yaml:2: etcd.password: is empty"),
        ("etcd: {tls: {}}", "config.yaml:2: etcd.endpoints: is plain text, while etcd.tls is set"),
        ("etcd: {endpoints: []}", "config.yaml:2: etcd.endpoints: is empty; give at least one"),
        ("etcd: {endpoints: [a, ftp://b]}", "etcd.endpoints[1]: has an unknown scheme"),
        ("etcd: {tls: {cert: /dev/null}}", "config.yaml:2: etcd.tls.key: is missing, while cert"),
        ("zookeeper: {hosts: a/b}", 'zookeeper.hosts: has a chroot or a scheme; write'),
        ("zookeeper: {hosts: []}", "config.yaml:2: zookeeper.hosts: is empty; give at least one"),
        ("zookeeper:\n  hosts:\n  - a\n  - ::1", "config.yaml:5: zookeeper.hosts[1]: has several"),
        ("zookeeper: {hosts: 5}", "config.yaml:2: zookeeper.hosts: must be a list"),
        ("zookeeper: {session_timeout: 10}", "zookeeper.session_timeout: has no unit"),
        ("zookeeper: {session_timeout: 0}", "zookeeper.session_timeout: must be at least 1s"),
        ("zookeeper: {session_timeout: -5s}", "zookeeper.session_timeout: must be a duration"),
        ("zookeeper: {session_timeout: null}", "zookeeper.session_timeout: must be a duration"),
        ("zookeeper: {session_timeout: true}", "zookeeper.session_timeout: must be a duration"),
        ("zookeeper: {auth: [{scheme: digest}]}", "zookeeper.auth[0].credentials: is missing"),
        ("zookeeper: {auth: [{credentials: a}]}", "zookeeper.auth[0].scheme: is missing"),
        ("zookeeper: {auth: [{scheme: digest, credentials: a}]}", "must be user:password"),
        ("zookeeper: {auth: digest}", "zookeeper.auth: must be a list"),
        ("zookeeper: {sasl: {username: u}}", "zookeeper.sasl.password: is missing"),
        ("zookeeper: {tls: {key: /dev/null}}", "zookeeper.tls.cert: is missing, while key is set"),
        ("zookeeper: {tls: {verify: yes}}", "zookeeper.tls.verify: must be true or false"),
        ("zookeeper: {protocol: slow}", "zookeeper.protocol: must be auto, bulk or classic"),
        ("log: {level: loud}", "log.level: must be debug, info, warning or error"),
        ("state: {prefix: /x}", 'state.prefix: begins with "/"; leave it out'),
        ("state: {lease_ttl: 1s}", "state.lease_ttl: must be at least 2s"),
        ("state: {lease_ttl: 2500ms}", "state.lease_ttl: must be whole seconds"),
        ("workers: {count: 0}", "workers.count: must be auto or a whole number from 1 to 64"),
        ("workers: {count: '2'}", "workers.count: must be auto or a whole number from 1 to 64"),
        ("workers: {restart_backoff: {min: 2m}}", "restart_backoff.max: is shorter than min"),
        ("workers: {heartbeat_timeout: 1ms}", "workers.heartbeat_timeout: must be at least 1s"),
        ("http: {listen: 9180}", "http.listen: must be a text; put it in quotes"),
        ("http: {listen: ':9180'}", "http.listen: has no host; write 0.0.0.0:PORT"),
        ("http: {token: 'a b'}", "http.token: must be printable ASCII without spaces"),
        ("http: {allowed_hosts: x}", "http.allowed_hosts: must be a list"),
        ("reload: {watch: 1ms}", "reload.watch: must be at least 100ms"),
        ("? [a]\n: b", "config.yaml:2: a list or mapping as a key is refused"),
        ("log: &a {level: info}", "config.yaml:2: log: anchors (&name) are refused"),
        ("log: *a", "config.yaml:2: log: aliases (*name) are refused"),
        ("log: !!python/object/apply:os.system [id]", "log: tags (!name) are refused"),
        ("log:\n  <<: {level: info}", "config.yaml:3: log: merges (<<) are refused"),
        ("log: {}\nlog: {}", "config.yaml:3: log: is given twice (first in line 2); keep one"),
        ("---\nlog: {}", "config.yaml:2: a second document; keep one a file"),
        ("log: {", "is not YAML: "),
        ("log: 'x", "is not YAML: "),
        ("log:\n\tlevel: info", "config.yaml:3: is not YAML: "),
        ("log: \x01", "holds a character that YAML does not allow"),
    ],
)  # fmt: skip
def test_one_fault(tmp_path: pathlib.Path, text: str, expected: str) -> None:
    found = faults_of(tmp_path, PREFIXES + text + "\n")
    assert any(expected in line for line in found), found
    assert all(line.startswith("config.yaml:") for line in found)


@pytest.mark.parametrize(
    ("sync", "expected"),
    [
        ("{}", "sync.prefixes: is missing; name at least one path"),
        ("{prefixes: []}", "sync.prefixes: is empty; give at least one"),
        ("{prefixes: /a}", "sync.prefixes: must be a list"),
        ("{prefixes: [5]}", "sync.prefixes[0]: must be a path, or a mapping"),
        ("{prefixes: [dubbo]}", 'sync.prefixes[0]: must begin with "/"'),
        ("{prefixes: [/dubbo/]}", 'sync.prefixes[0]: ends with "/"'),
        ("{prefixes: [{from: /a}]}", "sync.prefixes[0].to: is missing"),
        ("{prefixes: [{from: /a, to: a}]}", 'sync.prefixes[0].to: must begin with "/"'),
        ("{prefixes: [/zookeeper]}", "sync.prefixes[0]: is ZooKeeper's own subtree"),
        ("{prefixes: [{from: /zookeeper/q, to: /q}]}", "prefixes[0].from: is ZooKeeper's own"),
        ("{prefixes: [/a, /a]}", "sync.prefixes[1]: /a overlaps /a of sync.prefixes[0]"),
        ("{prefixes: [/a, /b, /a/x]}", "sync.prefixes[2]: /a/x overlaps /a of sync.prefixes[0]"),
        ("{prefixes: [/a/x, /a]}", "sync.prefixes[1]: /a overlaps /a/x of sync.prefixes[0]"),
        ("{prefixes: [/, /a]}", "sync.prefixes[1]: /a overlaps / of sync.prefixes[0]"),
        (
            "{prefixes: [{from: /a, to: /t}, {from: /b, to: /t/x}]}",
            "sync.prefixes[1].to: /t/x overlaps /t of sync.prefixes[0]",
        ),
        ("{prefixes: [/a, {from: /b, to: /a/b}]}", "prefixes[1].to: /a/b overlaps /a of"),
        ("{prefixes: [{from: /a, to: /a, buckets: 0}]}", "buckets: must be at least 1"),
        ("{prefixes: [{from: /a, to: /a, buckets: 257}]}", "buckets: must be at most 256"),
        ("{prefixes: [{from: /a, to: /a, exclude: [/b]}]}", "exclude[0]: is not below `from`"),
        ("{prefixes: [{from: /a, to: /a, exclude: [/a2]}]}", "exclude[0]: is not below `from`"),
        ("{prefixes: [{from: /a, to: /a, exclude: [/a]}]}", "leaves out the whole prefix"),
        (
            "{prefixes: [/a/b], exclude: [/a]}",
            "sync.exclude[0]: leaves out all of sync.prefixes[0]",
        ),
        ("{prefixes: [/a], exclude: [a/]}", 'sync.exclude[0]: must begin with "/"'),
        ("{prefixes: [/a], exclude: /a/b}", "sync.exclude: must be a list"),
        (
            "{prefixes: [{from: /a, to: /a, only: [/b/*]}]}",
            "sync.prefixes[0].only[0]: is not below `from`, so nothing matches",
        ),
        ("{prefixes: [/a], exclude: [/a/b**]}", 'sync.exclude[0]: holds "b**"; "**" stands for'),
        (
            "{prefixes: [/a/b], exclude: [/*/b]}",
            "sync.exclude[0]: leaves out all of sync.prefixes[0]",
        ),
        (
            "{prefixes: [/a], ephemeral: skip, delete_guard: {live: {}}}",
            "sync.delete_guard.live: is about nodes that end with their session",
        ),
        (
            "{prefixes: [/a], ephemeral: skip, delete_guard: {live: {keep_last: true}}}",
            "sync.delete_guard.live: is about nodes that end with their session",
        ),
        (
            "{prefixes: [/a], delete_guard: {keep_last: true}}",
            "sync.delete_guard.keep_last: ",
        ),
        (
            "{prefixes: [/a], delete_guard: {live: {keep_last: 1}}}",
            "sync.delete_guard.live.keep_last: must be true or false",
        ),
        (
            "{prefixes: [/a], ephemeral: skip, ephemeral_grace: 5s}",
            "sync.ephemeral_grace: is about nodes that end with their session",
        ),
        ("{prefixes: [/a], full_sync_interval: 5}", "sync.full_sync_interval: has no unit"),
        ("{prefixes: [/a], full_sync_interval: 1ms}", "must be 0 or at least 100ms"),
        ("{prefixes: [/a], delete_guard: {max_ratio: 1.1}}", "max_ratio: must be at most 1"),
        ("{prefixes: [/a], delete_guard: {max_ratio: -1}}", "max_ratio: must be at least 0"),
        ("{prefixes: [/a], delete_guard: {max_ratio: .nan}}", "max_ratio: must be a number"),
    ],
)
def test_one_fault_of_what_to_mirror(tmp_path: pathlib.Path, sync: str, expected: str) -> None:
    found = faults_of(tmp_path, f"sync: {sync}\n")
    assert len(found) == 1, found
    assert found[0].startswith("config.yaml:1: ")
    assert expected in found[0]


def test_neighbours_by_name_do_not_overlap(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "sync: {prefixes: [/dubbo, /dubbo2, /dubbo-x, {from: /a, to: /dubbo3}],"
        " exclude: [/dubbo/config]}",
        "utf-8",
    )
    assert len(loader.load([str(path)], environ={}).config.sync.prefixes) == 4


def test_all_faults_are_listed_at_once_in_the_order_of_the_file(tmp_path: pathlib.Path) -> None:
    found = faults_of(
        tmp_path,
        """\
zookeeper:
  session_timeout: 10
etcd:
  endpoitns: [a]
  password: hunter2
  password_file: /no/such/file
sync:
  prefixes:
    - /a
    - /a/b
    - c
  exclude: *x
workers:
  count: ${COUNT}
  count: 3
log: {level: '${LEVEL}'}
""",
        sets=["htpp.listen=x", "nonsense"],
    )
    assert [line.partition(": ")[0] for line in found] == [
        "config.yaml:2",
        "config.yaml:3",
        "config.yaml:4",
        "config.yaml:6",
        "config.yaml:10",
        "config.yaml:11",
        "config.yaml:12",
        "config.yaml:15",
        "config.yaml:16",
        "--set",
        "--set",
    ]


def test_a_fault_names_the_file_that_it_is_in(tmp_path: pathlib.Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(PREFIXES + "log: {level: loud}\n", "utf-8")
    two.write_text("\netcd: {txn_ops: 0}\n", "utf-8")
    with pytest.raises(errors.ConfigError) as caught:
        loader.load([str(one), str(two)], ["http.listen=80"], {})
    assert [line.split(": ")[:2] for line in caught.value.faults] == [
        [f"{one}:2", "log.level"],
        [f"{two}:2", "etcd.txn_ops"],
        ["--set", "http.listen"],
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty; `zk2etcd config default`"),
        (b"# only a comment\n\n", "is empty"),
        (b"---\n...\n", "is empty"),
        (b"null\n", "must hold a mapping"),
        (b"- a\n", "must hold a mapping"),
        (b"text\n", "must hold a mapping"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"a: [" + b"[" * 100_000, "deep"),
        (b"a: " + b"{b: " * 50 + b"1" + b"}" * 50, "nested more than 32 deep"),
        (
            b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\nsync: {prefixes: [/a]}\n",
            "aliases (*name) are refused",
        ),
    ],
)
def test_files_that_are_no_configuration(
    tmp_path: pathlib.Path, content: bytes, expected: str
) -> None:
    found = faults_of(tmp_path, content)
    assert any(expected in line for line in found), found


def test_a_great_many_faults_are_cut_short(tmp_path: pathlib.Path) -> None:
    found = faults_of(tmp_path, PREFIXES + "".join(f"k{n}: 1\n" for n in range(10_000)))
    assert len(found) == 201
    assert "9800 more" in found[-1]


def test_what_is_not_a_readable_file(tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, reason in (
        (str(tmp_path / "none"), "No such file"),
        (str(tmp_path), "not a regular file"),
        (str(fifo), "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("a\0b", "not a file name"),
    ):
        with pytest.raises(errors.ConfigError, match=reason):
            loader.load([path], environ={})
    with pytest.raises(errors.ConfigError, match="name one with -c"):
        loader.load([], environ={})


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("etcd: {{username: u, password_file: {}}}", "etcd.password_file"),
        ("http: {{token_file: {}}}", "http.token_file"),
        (
            "zookeeper: {{auth: [{{scheme: digest, credentials_file: {}}}]}}",
            "zookeeper.auth[0].credentials_file",
        ),
        ("zookeeper: {{tls: {{ca: {}}}}}", "zookeeper.tls.ca"),
        ("zookeeper: {{tls: {{cert: {}}}}}", "zookeeper.tls.cert"),
        ("etcd: {{endpoints: https://e, tls: {{ca: {}}}}}", "etcd.tls.ca"),
    ],
)
def test_files_that_the_configuration_names_must_be_readable(
    tmp_path: pathlib.Path, section: str, key: str
) -> None:
    (found,) = faults_of(tmp_path, PREFIXES + section.format("/no/such/file") + "\n")
    assert found.startswith(f"config.yaml:2: {key}: points to a file that cannot be read")


def test_secret_files_must_hold_something_that_is_text(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "token"
    for content, expected in ((b"", "empty"), (b"\n", "empty"), (b"\xff", "not UTF-8")):
        path.write_bytes(content)
        (found,) = faults_of(tmp_path, PREFIXES + f"http: {{token_file: {path}}}\n")
        assert expected in found


def test_a_secret_and_its_file_exclude_each_other(tmp_path: pathlib.Path) -> None:
    (found,) = faults_of(tmp_path, PREFIXES + "http: {token: hunter2, token_file: /dev/null}\n")
    assert "http.token_file: is set beside token; keep one of the two" in found


def test_sasl_says_which_package_it_needs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PREFIXES + "zookeeper: {sasl: {username: u, password: p}}\n"
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    (found,) = faults_of(tmp_path, text)
    assert "zookeeper.sasl: needs the package pure-sasl" in found
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert loader.load([str(tmp_path / "config.yaml")], environ={}).config.zookeeper.sasl


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "=hunter2",
        ".a=hunter2",
        "sync.prefixes.0=/hunter2",
        "a b=hunter2",
        "a[0]=hunter2",
    ],
)
def test_sets_that_are_none(tmp_path: pathlib.Path, text: str) -> None:
    (found,) = faults_of(tmp_path, PREFIXES, sets=[text])
    assert found.startswith("--set: must be key.path=value")
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "text",
    [
        "etcd: {password: [hunter2]}",
        "etcd: {password: {hunter2: hunter2}}",
        "etcd: {password: {? [hunter2] : x}}",
        "etcd: {password: !hunter2 x}",
        "etcd: {password: &hunter2 x}",
        "etcd: {password: *hunter2}",
        "etcd: {password: 'hunter2",
        'etcd: {password: "\\hunter2"}',
        "etcd:\n  password: hunter2: x",
        "etcd:\n  password: %hunter2",
        "etcd:\n  password: @hunter2",
        "etcd:\n  password: `hunter2",
        "etcd:\n  password: |hunter2",
        "etcd: {password: ${hunter2",
        "etcd: {password: '${hunter2'}",
        "etcd: {password: '${SECRET}', username: '${SECRET}', txn_ops: '${SECRET}'}",
        "etcd: '${SECRET}'",
        "etcd: {endpoints: 'http://u:hunter2@e'}",
        "etcd: {endpoints: '${SECRET}', password: '${SECRET}', tls: '${SECRET}'}",
        "etcd: {password: '${SECRET}', password_file: '${SECRET}'}",
        "etcd: {username: u, password_file: hunter2}",
        "zookeeper: {auth: ['user:hunter2']}",
        "zookeeper: {auth: [{'user:hunter2'}]}",
        "zookeeper: {auth: {digest: 'user:hunter2'}}",
        "zookeeper: {auth: [{scheme: digest, credentials: {user: hunter2}}]}",
        "zookeeper: {auth: [{scheme: digest, credentials: hunter2}]}",
        "zookeeper: {hosts: 'user:hunter2@a/b'}",
        "zookeeper: {session_timeout: '${SECRET}', read_batch: '${SECRET}'}",
        "http: {token: 'hunter2 hunter2', listen: '${SECRET}'}",
        "log: {level: '${SECRET}', events: '${SECRET}'}",
        "state: {prefix: '/${SECRET}', lease_ttl: '${SECRET}'}",
        "workers: {count: '${SECRET}'}",
    ],
)
def test_no_secret_is_ever_repeated(tmp_path: pathlib.Path, text: str) -> None:
    found = faults_of(tmp_path, PREFIXES + text + "\n", environ={"SECRET": "x:hunter2:y"})
    assert found
    assert "hunter2" not in "\n".join(found)


SECRET = "p4ss:hunter2 w0rd"
places = [
    (section, key)
    for section, info in models.Config.model_fields.items()
    for key in info.annotation.model_fields  # type: ignore[union-attr]
]
wrapped = st.recursive(
    st.sampled_from([SECRET, "${SECRET}", f"x{SECRET}"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.dictionaries(st.sampled_from([SECRET, "from", "ca", "username"]), inner, min_size=1),
    ),
    max_leaves=4,
)


@given(st.lists(st.tuples(st.sampled_from(places), wrapped), min_size=1, max_size=4))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_secret_in_any_wrong_place_stays_secret(
    tmp_path: pathlib.Path, wrong: list[tuple[tuple[str, str], Any]]
) -> None:
    data = models.redacted(reference.defaults())
    for (section, key), value in wrong:
        data[section][key] = value
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(data), "utf-8")
    try:
        shown = models.redacted(loader.load([str(path)], environ={"SECRET": SECRET}).config)
        said = f"{shown['etcd']['password']} {shown['http']['token']}"
    except errors.ConfigError as error:
        said = f"{error} {error!r} {error.__context__}"
    assert "hunter2" not in said
