"""What is filled in for `${NAME}`."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from zk2etcd.config import environment

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
characters = st.characters(codec="utf-8")
values = st.text(characters, max_size=12)


@given(st.text(characters, max_size=30))
@example("${X}")
@example("$${X}$")
def test_a_text_with_doubled_dollars_is_filled_to_itself(text: str) -> None:
    assert environment.fill(text.replace("$", "$$"), {}) == text


@given(names, values, values)
def test_filling_puts_the_value_in_as_it_is(name: str, value: str, around: str) -> None:
    around = around.replace("$", "")
    assert (
        environment.fill(f"{around}${{{name}}}{around}", {name: value}) == around + value + around
    )
    fallback = value.replace("}", "")
    assert environment.fill(f"${{{name}:-{fallback}}}", {}) == fallback
    assert environment.fill(f"${{{name}:-{fallback}}}", {name: ""}) == fallback


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:b}", "${A-b}"])
def test_broken_references(text: str) -> None:
    with pytest.raises(environment.FillError, match=r"\$\$"):
        environment.fill(text, {"A": "x"})


def test_filling_is_bounded() -> None:
    with pytest.raises(environment.FillError, match="longer"):
        environment.fill("${A}" * 10000, {"A": "x" * 100_000})
