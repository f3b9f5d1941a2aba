from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zk2etcd.config import addresses

elements = st.lists(st.sampled_from(["a", "b", "a2", "dubbo", "dubbo2", "ä", "中"]), max_size=4)


def path_of(parts: list[str]) -> str:
    return "/" + "/".join(parts)


@given(elements, elements)
def test_paths_overlap_exactly_if_one_is_a_prefix_by_element(
    one: list[str], other: list[str]
) -> None:
    shorter, longer = sorted((one, other), key=len)
    expected = longer[: len(shorter)] == shorter
    assert _overlap(path_of(one), path_of(other)) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/dubbo", "/dubbo2", False),
        ("/dubbo", "/dubbo/x", True),
        ("/dubbo", "/dubbo", True),
        ("/", "/x", True),
        ("/a/b", "/a/c", False),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert _overlap(one, other) is expected


def _overlap(one: str, other: str) -> bool:
    return addresses.is_below(one, other) or addresses.is_below(other, one)


@pytest.mark.parametrize("text", ["/", "/a", "/a b/c%2F", "/服务/é", "/a/...", "/.a", "/-"])
def test_good_paths_are_their_own_normal_form(text: str) -> None:
    assert addresses.path(text) == text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", 'begin with "/"'),
        ("a", 'begin with "/"'),
        ("/a/", 'ends with "/"'),
        ("//", 'ends with "/"'),
        ("/a//b", '"//"'),
        ("/a/./b", '"."'),
        ("/..", '".."'),
        ("/a\n", "refuses"),
        ("/a\x00", "refuses"),
        ("/\x1e", "refuses"),
        ("/\ue000", "refuses"),
        ("/\ufff1", "refuses"),
        ("/\U0001f600", "refuses"),
        ("/\udc80", "refuses"),
    ],
)
def test_bad_paths(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        addresses.path(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zk1", "zk1:2181"),
        ("zk1.example.com:2182", "zk1.example.com:2182"),
        ("my_zk", "my_zk:2181"),
        ("10.0.0.1:02181", "10.0.0.1:2181"),
        ("[::1]", "[::1]:2181"),
        ("[2001:DB8::0:1]:99", "[2001:db8::1]:99"),
    ],
)
def test_zookeeper_hosts(text: str, expected: str) -> None:
    assert addresses.zookeeper_host(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a:2181/chroot", 'put a chroot in "from"'),
        ("/chroot", 'put a chroot in "from"'),
        ("::1", "brackets"),
        ("fe80::1:2181", "brackets"),
        ("[zk]:1", "IPv6"),
        ("a:0", "1 to 65535"),
        ("a:65536", "1 to 65535"),
        ("a:port", "host:port"),
        ("", "host:port"),
        ("a b:1", "characters"),
        ("user@a:1", "characters"),
        ("a\n", "characters"),
    ],
)
def test_bad_zookeeper_hosts(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        addresses.zookeeper_host(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", "http://localhost:2379"),
        ("e1:4001", "http://e1:4001"),
        ("http://e1/", "http://e1:2379"),
        ("HTTPS://[::1]:2379", "https://[::1]:2379"),
    ],
)
def test_endpoints(text: str, expected: str) -> None:
    assert addresses.endpoint(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("grpc://e1", "scheme"),
        ("https://u:hunter2@e1:1", "credentials"),
        ("http://e1:1/v3", "path"),
        ("http://", "host:port"),
    ],
)
def test_bad_endpoints(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part) as caught:
        addresses.endpoint(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:9180", True),
        ("127.8.8.8:0", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:9180", False),
        ("[::]:9180", False),
        ("example.com:1", False),
    ],
)
def test_listen(text: str, loopback: bool) -> None:
    assert addresses.listen(text) == text
    assert addresses.is_loopback(text) is loopback


@pytest.mark.parametrize(("text", "part"), [(":9180", "0.0.0.0"), ("host", "no port")])
def test_bad_listen(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        addresses.listen(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [("/zk2etcd", "begins"), ("", "empty"), ("a/", "ends"), ("a//b", "//"), ("a\n", "refuses")],
)
def test_bad_state_prefix(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        addresses.state_prefix(text)


@given(elements.filter(bool), elements)
def test_no_state_prefix_is_ever_inside_a_target(prefix: list[str], to: list[str]) -> None:
    state = addresses.state_prefix("/".join(prefix))
    assert not (state + "/").startswith(path_of(to))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.7", "http://10.0.0.7"),
        ("10.0.0.7:9180", "http://10.0.0.7:9180"),
        ("zk2etcd-0.zk2etcd", "http://zk2etcd-0.zk2etcd"),
        ("HTTPS://box:443/", "https://box:443"),
        ("fd00::7", "http://[fd00::7]"),
        ("[fd00::7]:9180", "http://[fd00::7]:9180"),
    ],
)
def test_where_others_reach_us(text: str, expected: str) -> None:
    assert addresses.advertised(text) == expected
    assert addresses.advertised(expected) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "host"),
        ("ftp://box", "scheme"),
        ("http://me@box", "more than a host"),
        ("box/path", "more than a host"),
        ("box:70000", "port"),
        ("bo x", "characters"),
    ],
)
def test_where_nobody_reaches_us(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        addresses.advertised(text)


@pytest.mark.parametrize("text", ["zk2etcd-0", "box.example.org", "A_1", "a" * 63])
def test_names_of_members(text: str) -> None:
    assert addresses.member_name(text) == text


@pytest.mark.parametrize("text", ["", "-a", "a b", "a/b", "a" * 64, "ä"])
def test_what_is_no_name_of_a_member(text: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        addresses.member_name(text)
