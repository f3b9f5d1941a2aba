"""What is JSON by other readers, and not by ours."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from zk2etcd.view import strict_json

ODD = {
    "nothing": b"",
    "no JSON": b"<html>",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NaN": b'{"a": NaN}',
    "infinity": b"[-Infinity]",
    "a float that is infinite": b"[1e999]",
    "a huge number": b"[" + b"9" * 20 + b"]",
    "a number of many digits": b"[" + b"9" * 10_000 + b"]",
    "a name twice": b'{"shards": ["a"], "shards": null}',
    "a name twice, deeper": b'[{"a": {"b": 1, "b": 1}}]',
    "nested deeply": b"[" * 100_000,
    "nested deeply, whole": b"[" * 50_000 + b"]" * 50_000,
    "two values": b"{} {}",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_json_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError):
        strict_json.loads(ODD[name])


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@hypothesis.given(PLAIN)
def test_plain_json_is_what_it_was(value: object) -> None:
    assert strict_json.loads(json.dumps(value).encode()) == value


@hypothesis.given(st.binary())
def test_bytes_are_a_value_or_a_value_error(raw: bytes) -> None:
    try:
        strict_json.loads(raw)
    except ValueError:
        return
