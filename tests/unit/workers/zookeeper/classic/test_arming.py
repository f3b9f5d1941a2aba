"""Which leaves are armed with which zxid, and when."""

from __future__ import annotations

import struct

from zk2etcd_workers.zookeeper.classic import arming

LARGE = 10**9


def _request(since: int, *paths: bytes, values: bool = False) -> arming.SetWatches:
    return arming.SetWatches(since, arming.named(paths), values=values)


def _paths(of: arming.Named) -> list[bytes]:
    """Out of the bytes, as a server takes them."""
    found: list[bytes] = []
    at = 0
    for _ in range(of.many):
        (size,) = struct.unpack_from(">i", of.block, at)
        found.append(of.block[at + 4 : at + 4 + size])
        at += 4 + size
    assert at == len(of.block)
    return found


def _size(request: arming.SetWatches) -> int:
    request.encode(1)
    return request.size


class _Sent:
    def __init__(self, most: int = LARGE) -> None:
        self.requests: list[arming.SetWatches] = []
        self.arming = arming.Arming(self.requests.append, lambda: most)

    @property
    def paths(self) -> list[list[bytes]]:
        return [_paths(each.paths) for each in self.requests]


def test_bytes() -> None:
    request = _request(2**40, b"/a", "/中".encode())
    assert request.type == 101
    whole = request.encode(7)
    assert whole == (
        bytes.fromhex("0000002a 00000007 00000065")
        + bytes.fromhex("0000010000000000 00000000 00000000 00000002")
        + bytes.fromhex("00000002 2f61 00000004 2fe4b8ad")
    )
    assert request.size == len(whole) - 12


def test_bytes_with_values() -> None:
    request = _request(2**40, b"/a", b"/b", values=True)
    paths = "00000002 2f61 00000002 2f62"
    assert request.encode(7) == bytes.fromhex(
        f"00000034 00000007 00000065 0000010000000000 00000002 {paths} 00000000 00000002 {paths}"
    )
    assert request.size == 44


def test_a_tree_is_named_in_requests_that_are_no_larger_than_they_may_be() -> None:
    paths = [b"/%05d" % number + b"x" * (number % 300) for number in range(3000)]
    for most in (LARGE, 1000, 200):
        parts = list(arming.cut(paths, most))
        assert [path for part in parts for path in part] == paths
        sizes = [_size(_request(1, *part, values=True)) for part in parts]
        allowed = min(most, arming.MOST_BYTES)
        assert all(
            size <= allowed or len(part) == 1 for size, part in zip(sizes, parts, strict=True)
        )
        assert sum(sizes) / len(sizes) > allowed / 3
    assert list(arming.cut([], 1000)) == []


def test_a_chunk_goes_with_the_lowest_zxid_of_its_reads() -> None:
    sent = _Sent()
    sent.arming.add([b"/a"], 7)
    sent.arming.add([b"/b", b"/c"], 5)
    sent.arming.add([b"/d"], 9)
    assert not sent.requests
    sent.arming.flush()
    assert sent.paths == [[b"/a", b"/b", b"/c", b"/d"]]
    assert sent.requests[0].since == 5
    sent.arming.add([b"/e"], 11)
    sent.arming.flush()
    sent.arming.flush()
    assert sent.paths[1:] == [[b"/e"]]
    assert sent.requests[1].since == 11


def test_no_request_is_larger_than_it_may_be() -> None:
    paths = [b"/%05d" % number + b"x" * 300 for number in range(2000)]
    sent = _Sent()
    for start in range(0, len(paths), 100):
        sent.arming.add(paths[start : start + 100], start + 1)
    sent.arming.flush()
    assert [path for each in sent.paths for path in each] == paths
    sizes = [_size(each) for each in sent.requests]
    assert max(sizes) <= arming.MOST_BYTES
    assert len(sizes) == -(-sum(map(len, paths)) // arming.MOST_BYTES)
    for each in sent.requests:
        assert each.since <= min(paths.index(path) // 100 * 100 + 1 for path in _paths(each.paths))
    small = _Sent(most=1000)
    small.arming.add(paths[:10], 1)
    small.arming.add([b"/" + b"y" * 5000], 1)
    small.arming.flush()
    assert [len(each) for each in small.paths] == [3, 3, 3, 1, 1]


def test_the_last_read_of_a_walk_sends_what_is_left() -> None:
    sent = _Sent()
    sent.arming.begins()
    sent.arming.begins()
    sent.arming.add([b"/a"], 1)
    sent.arming.ends()
    assert not sent.requests
    sent.arming.add([b"/b"], 1)
    sent.arming.ends()
    assert sent.paths == [[b"/a", b"/b"]]


def test_a_zxid_is_whole_on_the_wire() -> None:
    assert struct.unpack_from(">q", _request(2**62).encode(1), 12)[0] == 2**62
