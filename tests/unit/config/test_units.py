from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zk2etcd.config import units


@given(st.integers(min_value=0, max_value=400 * 86400 * 1_000_000))
def test_durations_come_back_from_their_text(micros: int) -> None:
    text = units.show_duration(micros / 1_000_000)
    assert round(units.parse_duration(text) * 1_000_000) == micros


@given(st.integers(min_value=0, max_value=1 << 50))
def test_sizes_come_back_from_their_text(size: int) -> None:
    assert units.parse_size(units.show_size(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5m", 300),
        ("5m0s", 300),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("250ms", 0.25),
        ("100us", 0.0001),
        ("100µs", 0.0001),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "5 m", "-5m", "+5m", "1mm", "1d", "1y", "m", "1.2.3s", "1s ", "1s\n", "٣s", "1ns",
        "5M", "1e3s", "9" * 31 + "h", "infs", "nan",
    ],
)  # fmt: skip
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (300, "5m"), (60, "1m"), (90, "1m30s"), (0.5, "500ms"), (1.25, "1.25s")],
)
def test_shown_durations(seconds: float, text: str) -> None:
    assert units.show_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512KiB", 524288),
        ("1.5MB", 1_500_000),
        ("4096", 4096),
        ("1 MiB", 1 << 20),
        ("512k", 512000),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "-1KiB", "1XB", "1e3", "9" * 40])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(524288, "512KiB"), (100 << 20, "100MiB"), (1000, "1000B"), (0, "0B")]
)
def test_shown_sizes(size: int, text: str) -> None:
    assert units.show_size(size) == text
